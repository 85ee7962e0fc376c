"""The name of a capture says what was found, how sure the model was, and when."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Literal

from runtime.live.takes import MAX_LABEL, NOT_IN_NAMES, is_device_name

CaptureKind = Literal["event", "miss"]

_WHEN = r"_(?P<session>[0-9]{8}T[0-9]{6})_(?P<time>[0-9]{6})"
_SORTED = re.compile(rf".*{_WHEN}(?:-[0-9]+)?")
_PATTERN = re.compile(
    rf"(?P<label>.+){_WHEN}"
    r"-(?P<kind>event|miss)-(?P<score>[01]\.\d\d)(?:-(?P<number>\d+))?\.wav"
)
_TIME_FORMAT = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class CaptureName:
    """What the name of a capture says: ``dog_20261126T230000_231742-event-0.93.wav``.

    Up to its last underscore it is the name of a session as `runtime record` writes it, so that a split can
    hold together what was captured in one hour.

    Attributes:
        label: of the class, as it can stand in the name of a file.
        session: local time at which the session began.
        time: local time of day of the middle of the capture, HHMMSS.
        kind: ``event``, or ``miss``: the score came near the threshold and no event was reported.
        score: the highest smoothed probability, two decimals.
        number: from 2 on where the names were the same without it; else 1.

    Example:
        >>> name = CaptureName.parse("dog_20261126T230000_231742-event-0.93.wav")
        >>> name.label, name.kind, name.score
        ('dog', 'event', 0.93)
        >>> str(name)
        'dog_20261126T230000_231742-event-0.93.wav'
    """

    label: str
    session: str
    time: str
    kind: CaptureKind
    score: float
    number: int = 1

    @classmethod
    def parse(cls, name: str) -> CaptureName | None:
        """Read the name of a file; None where it is not that of a capture."""
        found = _PATTERN.fullmatch(name)
        if found is None:
            return None
        kind: CaptureKind = "event" if found["kind"] == "event" else "miss"
        number = int(found["number"] or 1)
        return cls(found["label"], found["session"], found["time"], kind, float(found["score"]), number)

    def __str__(self) -> str:
        again = f"-{self.number}" if self.number > 1 else ""
        return f"{self.label}_{self.session}_{self.time}-{self.kind}-{self.score:.2f}{again}.wav"

    @property
    def described(self) -> str:
        """In words: ``event 0.93``, ``close miss 0.45``."""
        return f"{'close miss' if self.kind == 'miss' else 'event'} {self.score:.2f}"


def is_sorted_capture(stem: str) -> bool:
    """Whether the name of a file, without suffix, is one that `sorting.Sorting.move` gives a capture."""
    return _SORTED.fullmatch(stem) is not None


def middle_of(name: str) -> datetime | None:
    """Local time of the middle of a capture, by the name of its file; None where it is not that of a capture.

    Example:
        >>> middle_of("cat_20261126T230000_231742.wav")  # sorted
        datetime.datetime(2026, 11, 26, 23, 17, 42)
    """
    found = _PATTERN.fullmatch(name) or _SORTED.fullmatch(PurePath(name).stem)
    if found is None:
        return None
    day = found["session"].partition("T")[0]  # a session is at most an hour long and ends with its day
    try:
        return datetime.strptime(f"{day}T{found['time']}", _TIME_FORMAT)
    except ValueError:  # digits that are no time, such as month 13
        return None


def file_label(label: str) -> str:
    """A label of a model as the name of a file and of a class folder on any system."""
    shown = "".join(char if char.isprintable() else "-" for char in NOT_IN_NAMES.sub("-", label))
    shown = shown.strip(" .")
    if is_device_name(shown):
        shown = f"-{shown}"
    return shown.encode()[:MAX_LABEL].decode(errors="ignore").rstrip(" .") or "unnamed"


def session_of(start: float, now: float) -> str:
    """The session that a time belongs to: it begins with listening, and anew with every full hour.

    Args:
        start: of listening, seconds since the epoch.
        now: the time, seconds since the epoch.
    """
    hour = now - time.localtime(now).tm_min * 60 - time.localtime(now).tm_sec
    return time.strftime(_TIME_FORMAT, time.localtime(max(start, hour)))
