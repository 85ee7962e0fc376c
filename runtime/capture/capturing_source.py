"""A source whose sound is captured around events and close misses."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from runtime.capture.capture_folder import Capture, CaptureFolder
from runtime.capture.capture_name import CaptureName, file_label, session_of
from runtime.capture.history import History
from runtime.capture.triggers import REACH_S, Trigger, TriggerDetector
from runtime.devices.source import Chunk, Source
from runtime.live.live_loop import Ended, Item, LiveResult
from runtime.streaming.events import EventRules

LENGTH_S = 2.0  # of a capture; of a model with longer windows, their length
_MARGIN_S = 1.0  # beyond what is needed, for a loop that is late


class CapturingSource:
    """A `Source` that stores the sound around events and close misses, as it was delivered.

    It is fed with the results for its own samples by `handle`. Of two captures with more than half of their
    sound in common an event's is stored, and else the first; two events are both stored.

    Args:
        source: whose sound is captured.
        folder: takes the captures; not closed.
        rules: of the events.
        window_s: length of the model's windows.
        channel: the one that is classified, from 0; their mean where None.
        live: whether it sounds now. A file sounds from when it was opened, and may wait for the disk.
        clock: seconds since the epoch.

    Example:
        >>> from runtime.live.live_loop import Listener
        >>> model, captures = load_model(model_path), CaptureFolder(folder, 1_000_000)
        >>> rules = EventRules.of(model.spec, dict.fromkeys(model.labels, 0.3))
        >>> source = CapturingSource(FileSource(wav_path), captures, rules, 1.0, live=False)
        >>> for item in Listener(model, [source], hop_s=0.25, rules=rules):
        ...     source.handle(item)
        >>> captures.close()
        >>> len(list(folder.iterdir())) > 0
        True
    """

    def __init__(
        self,
        source: Source,
        folder: CaptureFolder,
        rules: EventRules,
        window_s: float,
        channel: int | None = None,
        live: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name, self.sample_rate = source.name, source.sample_rate
        self._source, self._folder, self._clock = source, folder, clock
        self._channel = slice(None) if channel is None else slice(channel, channel + 1)
        self._live, self._started = live, clock()
        self.restart(rules, window_s)

    def restart(self, rules: EventRules, window_s: float) -> None:
        """Begin anew with another model, whose times start at zero."""
        self._length_s = max(LENGTH_S, window_s)
        self._history = History(self.sample_rate, self._length_s + window_s + REACH_S + _MARGIN_S)
        self._detector = TriggerDetector(rules)
        self._pending: list[tuple[Trigger, float]] = []  # with the time of day of its middle
        self._centres: deque[float] = deque(maxlen=8)  # of the latest captures, seconds of the stream

    def poll(self) -> Chunk | None:
        """The chunk of the source, of which a copy is held for a while."""
        chunk = self._source.poll()
        if chunk is not None and chunk.lost_s:
            self._finish()  # the sound that is waited for will not come
            self._history.skip(chunk.lost_s)
        if chunk is not None and chunk.samples[:, self._channel].size:  # none of a channel that is not there
            self._history.append(chunk.samples[:, self._channel])
        return chunk

    def handle(self, item: Item) -> None:
        """Take in what the listener reports of this source."""
        if isinstance(item, LiveResult):
            for trigger in self._detector.push(item.smoothed, item.events):
                self._add(trigger)
            self._store(item.raw.end_s)  # a file's sound is here long before its results
        elif isinstance(item, Ended):
            self._finish()

    def close(self) -> None:
        """Store what waits for sound to come, without it, and close the source."""
        self._finish()
        self._source.close()

    def _add(self, trigger: Trigger) -> None:
        if trigger.kind == "miss" and any(self._overlap(trigger.centre_s, other) for other in self._centres):
            return
        if trigger.kind == "event":
            self._pending = [
                pending for pending in self._pending
                if pending[0].kind == "event" or not self._overlap(trigger.centre_s, pending[0].centre_s)
            ]  # fmt: skip
        self._centres.append(trigger.centre_s)
        self._pending.append((trigger, self._time_of_day(trigger.centre_s)))

    def _overlap(self, centre_s: float, other_s: float) -> bool:
        """Whether two captures have more than half of their sound in common."""
        return abs(centre_s - other_s) < self._length_s / 2

    def _time_of_day(self, time_s: float) -> float:
        if self._live:
            return self._clock() - (self._history.end_s - time_s)
        return self._started + time_s

    def _finish(self) -> None:
        for trigger in self._detector.finish():
            self._add(trigger)
        self._store(math.inf)

    def _store(self, until_s: float) -> None:
        """Hand on the captures whose sound has arrived by then."""
        due = [pending for pending in self._pending if self._due_s(pending[0]) <= until_s]
        self._pending = [pending for pending in self._pending if pending not in due]
        for trigger, time_of_day in due:
            samples = self._history.cut(trigger.centre_s, self._length_s)
            local = time.strftime("%H%M%S", time.localtime(time_of_day))
            session = session_of(self._started, time_of_day)
            label = file_label(trigger.label)
            name = CaptureName(label, session, local, trigger.kind, round(trigger.score, 2))
            if len(samples):
                self._folder.put(Capture(name, samples, self.sample_rate), wait=not self._live)

    def _due_s(self, trigger: Trigger) -> float:
        """When a capture is stored; a close miss later than it could be, as an event may replace it."""
        rest_s = self._length_s if trigger.kind == "miss" else self._length_s / 2
        return max(trigger.centre_s + rest_s, self._length_s)
