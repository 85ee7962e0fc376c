"""Engines by model, subscriptions to results, counters; independent of HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from runtime.devices.source import Source
from runtime.live.live_loop import HopChange, Item, LiveResult
from runtime.server.engine import Engine
from runtime.server.limits import Limits
from runtime.server.log.event_log import EventLog
from runtime.server.metrics import Metrics
from runtime.server.models import Models
from runtime.spec import ModelSpec
from runtime.streaming.events import EventRules

Handler = Callable[[Item], None]


@dataclass(frozen=True)
class _Subscription:
    model: str
    handler: Handler
    early: Handler | None


class Service:
    """Engines, made when a model is first used, and the way of their results to whoever waits for them.

    All methods but `engine` belong to the event loop.

    Args:
        models: that clients may choose.
        hop_s: seconds from one window to the next.
        rules: of the events of a model.
        log: of the events of the server's own input.
        limits: of clients.

    Attributes:
        metrics: counters.
        failed: set once an engine's thread ended against its will.
        failure: why.

    Example:
        >>> from runtime.server.models import Models
        >>> models = Models.find(model_path)
        >>> service = Service(models, 0.25, EventRules.of, EventLog(None), Limits())
        >>> service.models.names
        ['tiny']
    """

    def __init__(
        self,
        models: Models,
        hop_s: float,
        rules: Callable[[ModelSpec], EventRules],
        log: EventLog,
        limits: Limits,
    ) -> None:
        self.models, self.log, self.limits, self.metrics = models, log, limits, Metrics()
        self.failed, self.failure = asyncio.Event(), None
        self._hop_s, self._rules = hop_s, rules
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()
        self._subscriptions: dict[str, _Subscription] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    failure: BaseException | None

    def start(self) -> None:
        """Remember the event loop that results go to."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """End all streams."""
        for engine in self._engines.values():
            engine.stop()
        self.log.close()

    def engine(self, model: str) -> Engine:
        """The engine of a model; loads it where it was not used before, so call it in another thread.

        Raises:
            KeyError, ModelFileError: see `Models.load`.
        """
        with self._lock:
            if model not in self._engines:
                loaded = self.models.load(model)
                rules = self._rules(loaded.spec)
                self._engines[model] = Engine(
                    loaded, self._hop_s, rules, lambda item: self._post(model, item), self._post_failure
                )
            return self._engines[model]

    def subscribe(
        self,
        source: Source,
        model: str,
        engine: Engine,
        handler: Handler,
        channel: int | None = None,
        early: Handler | None = None,
    ) -> None:
        """Classify a source and hand its results to a handler, in the event loop.

        Args:
            source: a name that no other source has.
            model: name of the engine's model.
            engine: classifies it.
            handler: called in the event loop.
            channel: which of its channels is classified; their mean where None.
            early: called before, in the engine's thread, which polls the source.

        Raises:
            ConfigError: where its rate or the channel makes no sense.
        """
        self._subscriptions[source.name] = _Subscription(model, handler, early)
        try:
            engine.add(source, channel)
        except BaseException:
            self.unsubscribe(source)
            raise

    def unsubscribe(self, source: Source) -> None:
        """Drop the results of a source from now on."""
        self._subscriptions.pop(source.name, None)

    def _post(self, model: str, item: Item) -> None:
        """From an engine's thread to the event loop."""
        subscription = None if isinstance(item, HopChange) else self._subscriptions.get(item.source)
        if subscription is not None and subscription.early is not None:
            subscription.early(item)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._dispatch, model, item)

    def _post_failure(self, error: BaseException) -> None:
        self.failure = error
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.failed.set)

    def _dispatch(self, model: str, item: Item) -> None:
        if isinstance(item, HopChange):
            self.metrics.set("hop_seconds", item.hop_s, model=model)
            for subscription in tuple(self._subscriptions.values()):
                if subscription.model == model:
                    subscription.handler(item)
            return
        if isinstance(item, LiveResult):
            self.metrics.add("windows_total", model=model, state=item.smoothed.state)
            self.metrics.observe_lag(item.late_s)
        if item.source in self._subscriptions:
            self._subscriptions[item.source].handler(item)
