"""When a recording began, by the recorder's clock: from its header, else from its name.

Headers, both chunks of WAV: GUANO (https://guano-md.org, Song Meter and others) and the comment that
AudioMoth writes (``Recorded at 19:17:30 04/04/2018 (UTC-5) by AudioMoth ...``). Names: ``YYYYMMDD_HHMMSS``
with anything around it, as AudioMoth and Song Meter (``PREFIX_YYYYMMDD_HHMMSS.wav``, ``$`` for the underscore
with GPS) write, ISO 8601, and both with a time zone behind; those of captures, with the time of their middle.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from runtime.audio.unfinished import chunks
from runtime.capture.capture_name import middle_of
from runtime.live.takes import is_take

_MAX_TEXT_BYTES = 2**16
_TIME = re.compile(
    r"(?<!\d)(?P<year>19[789]\d|20\d\d)-?(?P<month>\d\d)-?(?P<day>\d\d)[ _T$-]?"
    r"(?P<hour>\d\d)[:-]?(?P<minute>\d\d)[:-]?(?P<second>\d\d)(?!\d)(?P<fraction>\.\d+)?"
    r"(?P<zone>Z|[+-][01]\d:?(?:00|15|30|45)(?!\d))?"
)
_AUDIOMOTH = re.compile(
    r"Recorded at (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?P<fraction>\.\d+)? "
    r"(?P<day>\d\d)/(?P<month>\d\d)/(?P<year>\d{4})(?: \(UTC(?P<zone>[+-]\d{1,2}(?::\d\d)?)?(?P<utc>\)))?"
)
_GUANO = re.compile(r"^Timestamp:(.*)$", re.MULTILINE)


def recorded_at(path: str | Path, length_s: float | None = None) -> datetime | None:
    """When a recording began; with a time zone where the header or the name has one.

    A take of `record` has the time of its session in its name and not its own: None.

    Args:
        path: of the file.
        length_s: of the recording, seconds, which the beginning of a capture depends on; None where it is not
            known.

    Example:
        >>> recorded_at("SMA01234_20240601_140505.wav")
        datetime.datetime(2024, 6, 1, 14, 5, 5)
        >>> recorded_at("take 3.wav") is None
        True
    """
    path = Path(path)
    try:
        found = next(_header_times(path), None)
    except OSError:  # as of a file that is not there, which classifying it reports
        found = None
    if found is not None:
        return found
    if (middle := middle_of(path.name)) is not None:
        return middle - timedelta(seconds=round((length_s or 0.0) / 2, 3))
    return None if is_take(path.stem) else next(_times(_TIME, path.name), None)


def _header_times(path: Path) -> Iterator[datetime]:
    with path.open("rb") as file:
        if file.read(4) not in (b"RIFF", b"RF64", b"BW64"):
            return
        comments = []
        for name, _, length in chunks(file, 12, path.stat().st_size, "<4sI"):
            if name not in (b"guan", b"LIST"):
                continue
            content = file.read(min(length, _MAX_TEXT_BYTES))
            if name == b"LIST":
                comments.append(content)
            elif (line := _GUANO.search(content.decode("utf-8", "replace"))) is not None:
                yield from _times(_TIME, line[1])
    for content in comments:  # last, because some recorders write both and only GUANO has the zone
        yield from _comment_times(content)


def _comment_times(content: bytes) -> Iterator[datetime]:
    file = io.BytesIO(content)
    for name, _, length in chunks(file, 4, len(content), "<4sI"):
        if name == b"ICMT":
            yield from _times(_AUDIOMOTH, file.read(length).decode("latin-1"))


def _times(pattern: re.Pattern[str], text: str) -> Iterator[datetime]:
    """The times of day that a text holds; digits that are none, such as month 13, are passed over."""
    for match in pattern.finditer(text):
        year, month, day, hour, minute, second = (
            int(match[name]) for name in ("year", "month", "day", "hour", "minute", "second")
        )
        try:
            began = datetime(year, month, day, hour, minute, second, tzinfo=_zone(match.groupdict()))
        except ValueError:
            continue
        yield began + timedelta(seconds=round(float(match["fraction"] or 0), 3))


def _zone(parts: dict[str, str | None]) -> timezone | None:
    """``Z``, ``+0530``, ``+05:30``, ``+5``, or AudioMoth's ``(UTC)`` with none of them."""
    zone = parts["zone"]
    if zone is None:
        return timezone.utc if parts.get("utc") else None
    if zone == "Z":
        return timezone.utc
    digits = zone[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    size = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-size if zone[0] == "-" else size)
