"""The live loop: polls its inputs, classifies the windows that fall due, and reports what was lost.

One thread does all of it. Inputs never wait for it: a microphone overwrites its oldest samples when the
loop is too slow, and the loop then widens the hop.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtime.audio.samples import Array
from runtime.classifier import Model
from runtime.devices.source import Chunk, Source
from runtime.live.overload import HopController
from runtime.model.prediction import Prediction
from runtime.streaming.events import Event, EventDetector, EventRules
from runtime.streaming.framing import Framer
from runtime.streaming.stream import Streams

_POLL_S = 0.04  # a device delivers about every 0.05 s; each poll costs 0.1 ms
_NOTHING: Array = np.empty((0, 1), np.float32)


@dataclass(frozen=True)
class LiveResult:
    """The result for one window of a live input.

    Attributes:
        source: name of the input.
        raw: the prediction for this window.
        smoothed: the same, smoothed over time; its state is ``unknown`` where no class reaches its threshold.
        events: what began or ended with it.
        level_dbfs: RMS of the window, in dB of full scale; -inf for digital silence.
        late_s: from the capture of the window's last sample to now.
        dropped_s: seconds of this input that were lost so far.
        columns: the log-mel columns that are new with this window, float32 [n_mels, columns], where the
            listener was asked for them and there is a signal.
    """

    source: str
    raw: Prediction
    smoothed: Prediction
    events: tuple[Event, ...]
    level_dbfs: float
    late_s: float
    dropped_s: float
    columns: Array | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class DeviceChange:
    """A microphone went away or came back.

    Attributes:
        source: name of the input.
        event: ``device_lost`` or ``device_back``.
        detail: why, or what came back.
        time_s: when, seconds of the stream.
    """

    source: str
    event: str
    detail: str
    time_s: float


@dataclass(frozen=True)
class HopChange:
    """The time between windows changed, of all inputs; see `runtime.live.overload.HopController`.

    Attributes:
        event: ``hop_widened`` or ``hop_narrowed``.
        hop_s: seconds from one window to the next from now on.
        detail: why, in words.
    """

    event: str
    hop_s: float
    detail: str


@dataclass(frozen=True)
class Ended:
    """An input came to its end.

    Attributes:
        source: name of the input.
        events: the offsets of events that were still active.
    """

    source: str
    events: tuple[Event, ...]


Item = LiveResult | DeviceChange | HopChange | Ended


@dataclass
class _Input:
    """The state of one input."""

    source: Source
    framer: Framer
    detector: EventDetector
    index: int = 0
    captured_at: float = 0.0
    dropped_s: float = 0.0
    ended: bool = False


class Listener:
    """Classifies one or many live inputs, each with a stream and events of its own.

    Args:
        model: the network they share.
        sources: the inputs.
        hop_s: seconds from one window to the next; wider while the machine is too slow, see `HopChange`.
        rules: of the events; those of the model file where None.
        channel: which channel to classify; their mean where None.
        clock: seconds, monotonic, that of the sources.
        sleep: waits, seconds.
        open_ended: go on without any input, until `stop`, because others may be added.
        with_columns: give `LiveResult.columns`.

    Example:
        >>> listener = Listener(load_model(model_path), [FileSource(wav_path)], hop_s=0.5)
        >>> [item.raw.start_s for item in listener if isinstance(item, LiveResult)]
        [0.0, 0.5, 1.0]
    """

    def __init__(
        self,
        model: Model,
        sources: Sequence[Source],
        *,
        hop_s: float,
        rules: EventRules | None = None,
        channel: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        open_ended: bool = False,
        with_columns: bool = False,
    ) -> None:
        self._model, self._rules = model, rules or EventRules.of(model.spec)
        self._clock, self._sleep = clock, sleep
        self._open, self._stopped, self._with_columns = open_ended, False, with_columns
        self._hop_controller = HopController(hop_s, model.spec.clip_s, clock)
        self._inputs: list[_Input] = []
        self._streams = self._make_streams()
        self._added: deque[_Input] = deque()  # and not yet polled
        self._removed: set[Source] = set()
        for source in sources:
            self.add(source, channel)
        self._update_inputs()

    def add(self, source: Source, channel: int | None = None) -> None:
        """Add an input while the loop runs, from any thread.

        Raises:
            ConfigError: where its rate or the channel makes no sense.
        """
        framer = self._model.framer(self.hop_s, source.sample_rate, channel)
        self._added.append(_Input(source, framer, EventDetector(self._rules)))

    def remove(self, source: Source) -> None:
        """Report the end of an input and let go of it without closing it, from any thread."""
        self._removed.add(source)

    def stop(self) -> None:
        """End the loop and all its inputs, from any thread."""
        self._open, self._stopped = False, True

    def __iter__(self) -> Iterator[Item]:
        """Results and changes, until every input has ended."""
        while self._update_inputs() or self._open:
            chunks = [self._poll(live_input) for live_input in self._inputs]
            for live_input, chunk in zip(self._inputs, chunks, strict=True):
                yield from self._report_changes(live_input, chunk)
            samples = [_NOTHING if chunk is None else chunk.samples for chunk in chunks]
            started = self._clock()
            emitted = self._streams.push(samples)
            if self._hop_controller.worked(self._clock() - started):
                yield self._change_hop("hop_narrowed", "the machine keeps up again")
            for live_input, predictions in zip(self._inputs, emitted, strict=True):
                yield from self._emit(live_input, predictions)
            if all(chunk is None for chunk in chunks):
                self._sleep(_POLL_S)

    @property
    def hop_s(self) -> float:
        """Seconds from one window to the next, now."""
        return self._hop_controller.hop_s

    def close(self) -> None:
        """Close all inputs."""
        for live_input in self._inputs:
            live_input.source.close()

    def _update_inputs(self) -> bool:
        """Take in what was added and close what has ended; whether any input is left.

        The batch is made anew with every change; the framers keep the state of the streams.
        """
        ended = [live_input for live_input in self._inputs if live_input.ended]
        added = [self._added.popleft() for _ in range(len(self._added))]
        for live_input in added:
            live_input.framer.set_hop(self.hop_s)  # it may have changed since `add`
        if ended or added:
            for live_input in ended:
                if live_input.source not in self._removed:
                    live_input.source.close()
                self._removed.discard(live_input.source)
            self._inputs = [live_input for live_input in self._inputs if not live_input.ended] + added
            for index, live_input in enumerate(self._inputs):
                live_input.index = index
            self._streams = self._make_streams()
        return bool(self._inputs)

    def _make_streams(self) -> Streams:
        framers = [live_input.framer for live_input in self._inputs]
        return Streams(self._model.spec, self._model.session.logits, framers, self._with_columns)

    def _poll(self, live_input: _Input) -> Chunk | None:
        try:
            if self._stopped or live_input.source in self._removed:
                raise EOFError
            return live_input.source.poll()
        except EOFError:
            live_input.ended = True
            return Chunk(_NOTHING, self._clock(), event="ended")

    def _report_changes(self, live_input: _Input, chunk: Chunk | None) -> Iterator[Item]:
        """Report what precedes the samples of a chunk: an end, a loss, a change of the device."""
        if chunk is None:
            return
        live_input.captured_at = chunk.captured_at
        if chunk.event == "ended":
            yield from self._emit(live_input, self._streams.finish(live_input.index))
            yield Ended(live_input.source.name, tuple(live_input.detector.flush()))
            return
        if chunk.event:
            time_s = self._streams.elapsed_s(live_input.index)
            yield DeviceChange(live_input.source.name, chunk.event, chunk.detail, time_s)
        if chunk.lost_s is not None:
            live_input.dropped_s += chunk.lost_s
            if chunk.overrun and self._hop_controller.lost():
                yield self._change_hop("hop_widened", "the machine is too slow for the hop")
            yield from self._emit(live_input, self._streams.gap(live_input.index, chunk.lost_s))

    def _emit(self, live_input: _Input, predictions: list[Prediction]) -> Iterator[LiveResult]:
        """Smooth predictions, and emit a result for each."""
        levels, columns = self._streams.levels(live_input.index), self._streams.columns(live_input.index)
        for raw, level_dbfs, new in zip(predictions, levels, columns, strict=True):
            smoothed, events = live_input.detector.push(raw)
            behind_s = max(0.0, self._streams.elapsed_s(live_input.index) - raw.end_s)
            late_s = max(0.0, self._clock() - live_input.captured_at + behind_s)
            lost_s, name = live_input.dropped_s, live_input.source.name
            yield LiveResult(name, raw, smoothed, tuple(events), level_dbfs, late_s, lost_s, new)

    def _change_hop(self, event: str, why: str) -> HopChange:
        self._streams.set_hop(self.hop_s)
        return HopChange(event, self.hop_s, f"{why}: it is {self.hop_s:g} s from now on")
