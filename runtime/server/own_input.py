"""The input of the box itself: its readers, its log, its recordings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from runtime.capture.capturing_source import CapturingSource
from runtime.capture.sorting import Sorting
from runtime.devices.source import Source
from runtime.live.json_fields import event_ago_s
from runtime.live.live_loop import Ended, Item, LiveResult
from runtime.live.recorder import Recorder
from runtime.live.service_notification import Watchdog
from runtime.server.engine import Engine
from runtime.server.service import Service
from runtime.server.web.messages import change_message, dump, event_message, window_message
from runtime.server.web.outbox import Outbox
from runtime.streaming.events import Event

Listener = Callable[[Item], None]


class OwnInput:
    """A microphone or a file of the machine that serves the page; everybody who opens the page sees it.

    All methods belong to the event loop.

    Args:
        service: classifies it.
        source: the input, or a `Recorder` around it.
        channel: which of its channels is classified; their mean where None.
        folder: of the recordings, where they are made.
        capturing: the input around which captures are made, in the source or the source itself.
        captures: sorts them.

    Attributes:
        model: name of the model in use.
        engine: of that model, once `start` is done.
        ended: whether its end was reached.
        readers: outboxes of those who look at it.
        listeners: called with every item, such as an MQTT client.

    Example:
        >>> from runtime.server.log.event_log import EventLog
        >>> from runtime.server.limits import Limits
        >>> from runtime.server.models import Models
        >>> from runtime.streaming.events import EventRules
        >>> service = Service(Models.find(model_path), 0.25, EventRules.of, EventLog(None), Limits())
        >>> OwnInput(service, FileSource(wav_path)).model
        'tiny'
    """

    engine: Engine

    def __init__(
        self,
        service: Service,
        source: Source,
        channel: int | None = None,
        folder: Path | None = None,
        capturing: CapturingSource | None = None,
        captures: Sorting | None = None,
    ) -> None:
        self._capturing, self.captures = capturing, captures
        self._service, self._source, self._channel = service, source, channel
        self.folder = folder
        self.model, self.ended = service.models.names[0], False
        self.readers: set[Outbox] = set()
        self.listeners: list[Listener] = []
        self._switch_to: tuple[str, Engine] | None = None
        self._offset_s = 0.0  # where the stream of the present model began, seconds of the source
        self._numbers: dict[str, int] = {}  # in the log, of the events that go on
        self._lost_s, self._watchdog = 0.0, Watchdog()

    @property
    def name(self) -> str:
        """Of the source."""
        return self._source.name

    async def start(self) -> None:
        """Load the model and classify the source from now on."""
        self._begin(self.model, await asyncio.to_thread(self._service.engine, self.model))

    async def use_model(self, name: str) -> None:
        """Go on with another model.

        Raises:
            KeyError, ModelFileError: see `Models.load`.
        """
        engine = await asyncio.to_thread(self._service.engine, name)
        if self.ended or name == self.model or self._switch_to is not None:
            return
        self._switch_to = name, engine
        self.engine.release(self._source)  # its end is reported next

    def started_fields(self) -> dict[str, object]:
        """What a reader has to know first."""
        return {"source": self.name, "model": self.model, "recorded": self.folder is not None}

    def _begin(self, name: str, engine: Engine) -> None:
        self.model, self.engine = name, engine
        self._lost_s = 0.0
        early = None
        if self._capturing is not None:
            self._capturing.restart(engine.rules, engine.model.spec.clip_s)
            early = self._capturing.handle
        self._service.subscribe(self._source, name, engine, self._handle, self._channel, early)

    def _handle(self, item: Item) -> None:
        if isinstance(item, LiveResult):
            self._count(item)
            self._send(window_message(item, self.engine), True)
            for event in item.events:
                self._log(event, event_ago_s(item, event))
        elif isinstance(item, Ended):
            for event in item.events:
                self._log(event, 0.0)
        else:
            self._send(change_message(item))
        for listener in self.listeners:
            listener(item)
        if isinstance(item, Ended):
            self._end()

    def _end(self) -> None:
        self._numbers.clear()
        if self._switch_to is None:
            self.ended = True
            self._send(dump({"type": "ended"}))
            return
        (name, engine), self._switch_to = self._switch_to, None
        if isinstance(self._source, Recorder):
            self._offset_s = self._source.elapsed_s
        self._begin(name, engine)
        self._send(dump({"type": "switched", "model": name}))

    def _count(self, item: LiveResult) -> None:
        metrics = self._service.metrics
        metrics.set("level_dbfs", item.level_dbfs)
        metrics.add("lost_seconds_total", item.dropped_s - self._lost_s)
        self._lost_s = item.dropped_s
        if item.raw.state != "gap":
            self._watchdog.ping()

    def _log(self, event: Event, ago_s: float) -> None:
        log, now = self._service.log, time.time()
        if event.end_s is None:
            self._service.metrics.add("events_total", label=event.label)
            start_s = self._offset_s + event.start_s
            self._numbers[event.label] = log.onset(
                event.label, event.probability, now - ago_s, start_s, source=self.name, model=self.model
            )
            number = self._numbers[event.label]
        else:
            number = self._numbers.pop(event.label)
            log.offset(number, event.probability, now - ago_s, self._offset_s + event.end_s)
        self._send(event_message(event, ago_s, id=number))

    def _send(self, message: str, is_window: bool = False) -> None:
        for outbox in self.readers:
            outbox.put(message, is_window)
