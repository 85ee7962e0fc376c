"""Which files come from one recording, by what their names have in common.

Parts of one recording on both sides of a split make a score measure memory. Names are all that a folder
shows, so what was chosen is printed, with how to choose otherwise.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from runtime.capture.capture_name import is_sorted_capture
from runtime.errors import DataError
from train.cli.sounds import GROUPS
from train.data.datasets.held_out import group_finder

KINDS = ("speaker", "time", "folder", "name", "file")
_NEW_SESSION = timedelta(minutes=10)  # between the starts of two files
_MOST = 0.9  # share of the files whose names follow a pattern
_LEAST = 3  # speakers; fewer are a chance likeness of names
_SEPARATORS = re.compile(r"[-_. ]+")
_DATE_AND_TIME = re.compile(
    r"(?<![0-9])((?:19|20)[0-9]{2})[-_.]?([01][0-9])[-_.]?([0-3][0-9])"
    r"[-_. T]{0,3}([0-2][0-9])[-_.:h]?([0-5][0-9])(?:[-_.:m]?([0-5][0-9]))?(?![0-9])"
)

Files = Mapping[str, str]  # path to label


@dataclass(frozen=True)
class Recordings:
    """The recording of every file.

    Attributes:
        kind: of `KINDS`, ``table``, or ``regex``.
        of_file: path to the name of its recording.
        rule: what makes files one recording, as a clause.
    """

    kind: str
    of_file: dict[str, str]
    rule: str

    @property
    def count(self) -> int:
        """Number of recordings."""
        return len(set(self.of_file.values()))

    def __str__(self) -> str:
        return f"{self.count} in {len(self.of_file)} files: {self.rule}"


def find_recordings(files: Files, group: str | None) -> list[Recordings]:
    """The groupings to consider, the best first.

    Args:
        files: path below the folder to label.
        group: of `KINDS`, or a regular expression; None takes what the names suggest.

    Returns:
        One grouping where ``group`` names it. Otherwise what the names suggest, most specific first; the last
        one takes every file for a recording of its own.

    Raises:
        DataError: where the names do not have what ``group`` asks for.
    """
    if group is None:
        found = [_BY_KIND[kind](files) for kind in KINDS]
        return [recordings for recordings in found if recordings is not None]
    if group not in KINDS:
        find = group_finder(group, no_groups=False)
        rule = f"what --group {group} finds in a path is the recording"
        return [Recordings("regex", {file: find(file) for file in files}, rule)]
    recordings = _BY_KIND[group](files)
    if recordings is None:
        raise DataError(
            f"--group {group} finds nothing that the names of the files share ({next(iter(files))}): give "
            f"another of {', '.join(KINDS)}, or a regular expression."
        )
    return [recordings]


def _by_speaker(files: Files) -> Recordings | None:
    """A word at one place of the names that several classes share: ``7_jackson_3.wav``."""
    names = {file: _SEPARATORS.split(PurePosixPath(file).stem) for file in files}
    width, count = Counter(map(len, names.values())).most_common(1)[0]
    if count < _MOST * len(files):
        return None
    for place in range(width):
        values = {file: words[place] for file, words in names.items() if len(words) == width}
        if _is_speaker(values, files):
            rest = {file: file for file in files if file not in values}
            example = next(iter(values))
            rule = (
                f"'{values[example]}' in {example} is a name that several classes share, such as a "
                "speaker's or a place's, and all files with one such name are one recording"
            )
            return Recordings("speaker", {**values, **rest}, rule)
    return None


def _is_speaker(values: Mapping[str, str], files: Files) -> bool:
    """Whether words, one of each file, are neither classes nor counters, and most are in several classes."""
    if not all(len(word) > 1 and re.search("[A-Za-z]", word) for word in values.values()):
        return False
    if any(_DATE_AND_TIME.fullmatch(word) for word in values.values()):
        return False
    if all(word == PurePosixPath(file).stem and word[-1].isdigit() for file, word in values.items()):
        return False  # rec01.wav in every class only counts
    labels: dict[str, set[str]] = defaultdict(set)
    for file, word in values.items():
        labels[word].add(files[file])
    shared = sum(len(found) > 1 for found in labels.values())
    return len(labels) >= _LEAST and shared > len(labels) / 2 and len(labels) <= len(values) / 2


def _by_time(files: Files) -> Recordings | None:
    """A date and a time in the names: those of `runtime record`, of recorders and of phones."""
    times = {file: time for file in files if (time := _time(PurePosixPath(file).stem)) is not None}
    if len(times) < _MOST * len(files):
        return None
    starts = {(files[file], time) for file, time in times.items()}
    same = len(starts) <= len(times) / 2  # the time is that of a session, and a number follows
    names = {file: str(file) for file in files}
    for label in set(files.values()):
        ordered = sorted((time, file) for file, time in times.items() if files[file] == label)
        start = before = datetime.min
        for time, file in ordered:
            if time != before if same else time - before > _NEW_SESSION:
                start = time
            names[file], before = f"{label} {start:%Y-%m-%d %H:%M:%S}", time
    names = _of_sessions(names, times)
    rule = (
        "files of one class with the same date and time are one recording"
        if same
        else "files of one class that begin within ten minutes of the one before are one recording"
    )
    return Recordings("time", names, rule)


def _of_sessions(names: Mapping[str, str], times: Mapping[str, datetime]) -> dict[str, str]:
    """The captures of one session of `listen` are one recording, whatever classes they were sorted into."""
    joined: dict[str, str] = {}  # a recording to one that it is a part of

    def whole(name: str) -> str:
        while name in joined:
            name = joined[name]
        return name

    first: dict[datetime, str] = {}
    for file, time in times.items():
        if is_sorted_capture(PurePosixPath(file).stem):
            one, other = whole(first.setdefault(time, names[file])), whole(names[file])
            if one != other:
                joined[other] = one
    return {file: whole(name) for file, name in names.items()}


def _time(stem: str) -> datetime | None:
    found = _DATE_AND_TIME.search(stem)
    if found is None:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type] # six integers
    except ValueError:  # the 30th of February
        return None


def _by_folder(files: Files) -> Recordings | None:
    """Sub-folders of the class folders: ``dog/barn/1.wav``."""
    found = {file: match[1] for file in files if (match := re.search(GROUPS["folder"], file))}
    if not found:
        return None
    names = {file: f"{files[file]}/{found[file]}" if file in found else file for file in files}
    return _if_shared(Recordings("folder", names, "files of one sub-folder are one recording"))


def _by_name(files: Files) -> Recordings | None:
    """Names that differ in a number or a letter at their end: ``garden_1.wav``, ``garden_2.wav``.

    A name that is the class's own, or that all files of a class share, only numbers them.
    """
    stems = {file: match[1] for file in files if (match := re.search(GROUPS["name"], file))}
    of_class: dict[str, set[str]] = defaultdict(set)
    for file, stem in stems.items():
        of_class[files[file]].add(stem)
    names = {
        file: file
        if stem.casefold() == files[file].casefold() or len(of_class[files[file]]) == 1
        else f"{files[file]}/{stem}"
        for file, stem in stems.items()
    }
    rule = "files whose names differ only in a number or a letter at the end are one recording"
    return _if_shared(Recordings("name", {file: names.get(file, file) for file in files}, rule))


def _by_file(files: Files) -> Recordings:
    return Recordings("file", {file: file for file in files}, "every file is a recording of its own")


def _if_shared(recordings: Recordings) -> Recordings | None:
    return recordings if recordings.count < len(recordings.of_file) else None


_BY_KIND: dict[str, Callable[[Files], Recordings | None]] = {
    "speaker": _by_speaker,
    "time": _by_time,
    "folder": _by_folder,
    "name": _by_name,
    "file": _by_file,
}


def of_table(groups: Iterable[tuple[str, str]]) -> Recordings:
    """The recordings that a table names: pairs of path and group."""
    return Recordings("table", dict(groups), "as the column 'group' of the table says")


def too_few(recordings: Recordings, files: Files, least: int) -> Sequence[str]:
    """Classes whose files come from too few recordings to hold any out."""
    of_class: dict[str, set[str]] = {label: set() for label in files.values()}
    for file, label in files.items():
        of_class[label].add(recordings.of_file[file])
    return sorted(label for label, found in of_class.items() if len(found) < least)
