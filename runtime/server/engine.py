"""One live loop in a thread for every model: the server's own input and all browsers share its network.

The event loop never waits for inference: it puts samples into sources, and results come back by
`call_soon_threadsafe`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from runtime.classifier import Model
from runtime.cli.formatting import LabelFormatter
from runtime.devices.source import Source
from runtime.live.live_loop import Item, Listener
from runtime.streaming.events import EventRules

Deliver = Callable[[Item], None]


class Engine:
    """Classifies the streams of one model, which come and go.

    Args:
        model: the network that they share.
        hop_s: seconds from one window to the next.
        rules: of the events.
        deliver: called with every item, in the engine's thread.
        fail: called with what ended the thread against its will, in that thread.

    Example:
        >>> from runtime.devices.file_source import FileSource
        >>> from runtime.live.live_loop import Ended
        >>> items, done, model = [], threading.Event(), load_model(model_path)
        >>> def deliver(item):
        ...     items.append(item)
        ...     if isinstance(item, Ended):
        ...         done.set()
        >>> engine = Engine(model, 1.0, EventRules.of(model.spec), deliver, print)
        >>> engine.add(FileSource(wav_path))
        >>> done.wait(60), [type(item).__name__ for item in items]
        (True, ['LiveResult', 'LiveResult', 'Ended'])
        >>> engine.stop()
    """

    def __init__(
        self,
        model: Model,
        hop_s: float,
        rules: EventRules,
        deliver: Deliver,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.model, self.rules = model, rules
        self.formatter = LabelFormatter(model.spec.task, rules)  # which labels of its results are shown
        self._listener = Listener(model, [], hop_s=hop_s, rules=rules, open_ended=True, with_columns=True)
        self._deliver, self._fail = deliver, fail
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def hop_s(self) -> float:
        """Seconds from one window to the next, now."""
        return self._listener.hop_s

    def add(self, source: Source, channel: int | None = None) -> None:
        """Classify one more source, until it ends; see `Listener.add`."""
        self._listener.add(source, channel)

    def release(self, source: Source) -> None:
        """End the stream of a source without closing it; see `Listener.remove`."""
        self._listener.remove(source)

    def stop(self) -> None:
        """End all streams and the thread."""
        self._listener.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            for item in self._listener:
                self._deliver(item)
        except (
            BaseException
        ) as error:  # a thread that ends without a word would leave a page that stands still
            self._fail(error)
