"""The live loop: polls its inputs, classifies what falls due, and says what was lost on the way.

One thread does all of it. Inputs never wait for it: a microphone overwrites its oldest samples when the
loop is too slow, and the loop answers by taking fewer windows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.audio.samples import Array
from runtime.classifier import Model
from runtime.devices.source import Chunk, Source
from runtime.live.overload import Pace
from runtime.model.prediction import Prediction
from runtime.streaming.events import Event, EventDetector, EventRules
from runtime.streaming.framing import Framer
from runtime.streaming.stream import Streams

_POLL_S = 0.04  # a device delivers about every 0.05 s; each look costs 0.1 ms
_NOTHING: Array = np.empty((0, 1), np.float32)


@dataclass(frozen=True)
class Heard:
    """A window of a live input.

    Attributes:
        source: name of the input.
        raw: what the model says to this window.
        smoothed: the same over time; its state is ``unknown`` where no class reaches its threshold.
        events: what began or ended with it.
        level_dbfs: RMS of the window, in dB of full scale; -inf for digital silence.
        late_s: from the capture of the window's last sample to now.
        dropped_s: seconds of this input that were lost so far.
    """

    source: str
    raw: Prediction
    smoothed: Prediction
    events: tuple[Event, ...]
    level_dbfs: float
    late_s: float
    dropped_s: float


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
    """The time between windows changed, of all inputs; see `runtime.live.overload.Pace`.

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
        events: the ends of what was still heard.
    """

    source: str
    events: tuple[Event, ...]


Item = Heard | DeviceChange | HopChange | Ended


@dataclass
class _Ear:
    """What the loop keeps about an input."""

    index: int
    source: Source
    detector: EventDetector
    captured_at: float = 0.0
    dropped_s: float = 0.0
    ended: bool = False


class Listener:
    """Hears one or many inputs, each with a stream and events of its own.

    Args:
        model: the network they share.
        sources: the inputs.
        hop_s: seconds from one window to the next; wider, which is told, while the machine is too slow.
        rules: of the events; those of the model file where None.
        channel: which channel to hear; their mean where None.
        clock: seconds, monotonic, that of the sources.
        sleep: waits, seconds.

    Example:
        >>> listener = Listener(load_model(model_path), [FileSource(wav_path)], hop_s=0.5)
        >>> [item.raw.start_s for item in listener if isinstance(item, Heard)]
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
    ) -> None:
        rules = rules or EventRules.of(model.spec)
        self._ears = [_Ear(i, source, EventDetector(rules)) for i, source in enumerate(sources)]
        framers = [Framer(model.spec, hop_s, source.sample_rate, channel) for source in sources]
        self._streams = Streams(model.spec, model.session.logits, framers)
        self._clock, self._sleep = clock, sleep
        self._pace = Pace(hop_s, model.spec.clip_s, clock)

    def __iter__(self) -> Iterator[Item]:
        """What is heard, until every input has ended."""
        while not all(ear.ended for ear in self._ears):
            chunks = [self._poll(ear) for ear in self._ears]
            for ear, chunk in zip(self._ears, chunks, strict=True):
                yield from self._before(ear, chunk)
            samples = [_NOTHING if chunk is None else chunk.samples for chunk in chunks]
            begun = self._clock()
            answers = self._streams.push(samples)
            if self._pace.worked(self._clock() - begun):
                yield self._change_hop("hop_narrowed", "the machine keeps up again")
            for ear, predictions in zip(self._ears, answers, strict=True):
                yield from self._tell(ear, predictions)
            if all(chunk is None for chunk in chunks):
                self._sleep(_POLL_S)

    @property
    def hop_s(self) -> float:
        """Seconds from one window to the next, now."""
        return self._pace.hop_s

    def close(self) -> None:
        """Let all inputs go."""
        for ear in self._ears:
            ear.source.close()

    def _poll(self, ear: _Ear) -> Chunk | None:
        if ear.ended:
            return None
        try:
            return ear.source.poll()
        except EOFError:
            ear.ended = True
            return Chunk(_NOTHING, self._clock(), event="ended")

    def _before(self, ear: _Ear, chunk: Chunk | None) -> Iterator[Item]:
        """What happened before the samples of a chunk: an end, a loss, a change of the device."""
        if chunk is None:
            return
        ear.captured_at = chunk.captured_at
        if chunk.event == "ended":
            yield from self._tell(ear, self._streams.finish(ear.index))
            yield Ended(ear.source.name, tuple(ear.detector.flush()))
            return
        if chunk.event:
            time_s = self._streams.elapsed_s(ear.index)
            yield DeviceChange(ear.source.name, chunk.event, chunk.detail, time_s)
        if chunk.lost_s is not None:
            ear.dropped_s += chunk.lost_s
            if chunk.overrun and self._pace.lost():
                yield self._change_hop("hop_widened", "the machine is too slow for the hop")
            yield from self._tell(ear, self._streams.gap(ear.index, chunk.lost_s))

    def _tell(self, ear: _Ear, predictions: list[Prediction]) -> Iterator[Heard]:
        """Smooth predictions and hand them out."""
        levels = self._streams.levels(ear.index)
        for raw, level_dbfs in zip(predictions, levels, strict=True):
            smoothed, events = ear.detector.push(raw)
            behind_s = max(0.0, self._streams.elapsed_s(ear.index) - raw.end_s)
            late_s = max(0.0, self._clock() - ear.captured_at + behind_s)
            yield Heard(ear.source.name, raw, smoothed, tuple(events), level_dbfs, late_s, ear.dropped_s)

    def _change_hop(self, event: str, why: str) -> HopChange:
        self._streams.set_hop(self.hop_s)
        return HopChange(event, self.hop_s, f"{why}: it is {self.hop_s:g} s from now on")
