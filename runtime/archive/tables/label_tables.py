"""Tables for people who look at spectrograms: Raven's selection tables, Audacity's label tracks.

Rows without a label are left out of both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from runtime.archive.result import FileResult, Row
from runtime.files import printable, write_beside

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    "Begin File", "Begin Path", "File Offset (s)", "Label", "Probability",
)  # fmt: skip


class RavenTable:
    """A selection table of Raven (Cornell Lab of Ornithology): tabs between columns, their names first.

    Raven opens a table of many recordings as one long sound, file after file: ``Begin Time (s)`` counts from
    the beginning of the first file that has selections, ``File Offset (s)`` from that of the row's own.

    Args:
        file: opened with ``newline=""``.
        low_hz: lower edge of every selection, where the model's mel bands begin.
        high_hz: upper edge.

    Example:
        >>> import sys
        >>> from runtime.archive.result import Identity, pack_rows
        >>> rows = pack_rows([Row(0.0, 1.0, "dog", 0.75, "ok")])
        >>> RavenTable(sys.stdout, 0, 16_000).add(FileResult("/a.wav", Identity(0, 0), 2.0, rows=rows))
        ... # doctest: +NORMALIZE_WHITESPACE +ELLIPSIS
        Selection View ...
        1 Spectrogram 1 1 0.000000 1.000000 0.0 16000.0 a.wav /a.wav 0.000000 dog 0.750000
    """

    def __init__(self, file: TextIO, low_hz: float, high_hz: float) -> None:
        self._file, self._edges = file, (f"{low_hz:.1f}", f"{high_hz:.1f}")
        self._selections, self._begin_s = 0, 0.0
        self._write(RAVEN_COLUMNS)

    def add(self, result: FileResult) -> None:
        """Append the selections of a file."""
        path = printable(os.path.abspath(result.path))  # noqa: PTH100 - keeps links
        name, before = os.path.basename(path), self._selections  # noqa: PTH119 - of printable text
        for row in _labelled(result):
            self._selections += 1
            times = (f"{self._begin_s + row.start_s:.6f}", f"{self._begin_s + row.end_s:.6f}")
            place = (name, path, f"{row.start_s:.6f}")
            self._write(
                (str(self._selections), "Spectrogram 1", "1", *times, *self._edges, *place, str(row.label),
                 f"{row.probability:.6f}")
            )  # fmt: skip
        if self._selections > before:
            self._begin_s += result.seconds

    def _write(self, fields: tuple[str, ...]) -> None:
        self._file.write("\t".join(map(_in_a_field, fields)) + "\n")


class AudacityTracks:
    r"""A folder of label tracks for Audacity's File > Import > Labels, one for each recording.

    A track has a line for each label: where it begins and ends, seconds, and its text, tabs between them. The
    tree of the recordings is repeated; the track of ``a/b.wav`` is ``a/b.wav.txt``.

    Args:
        folder: of the tracks; it is made where it does not exist.
        root: folder that all recordings lie in.

    Example:
        >>> import tempfile
        >>> from runtime.archive.result import Identity, pack_rows
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = pack_rows([Row(0.5, 1.5, "dog", 0.75, "ok")])
        >>> AudacityTracks(folder, "/card").add(FileResult("/card/a/b.wav", Identity(0, 0), rows=rows))
        >>> (folder / "a" / "b.wav.txt").read_text().split("\t")
        ['0.500000', '1.500000', 'dog\n']
    """

    def __init__(self, folder: Path, root: str) -> None:
        self._folder, self._root = folder, root

    def add(self, result: FileResult) -> None:
        """Write the track of a file."""
        inside = os.path.relpath(os.path.abspath(result.path), self._root)  # noqa: PTH100 - keeps links
        track = self._folder / f"{inside}.txt"
        track.parent.mkdir(parents=True, exist_ok=True)
        lines = (
            f"{row.start_s:.6f}\t{row.end_s:.6f}\t{_in_a_field(str(row.label))}\n"
            for row in _labelled(result)
        )
        with write_beside(track) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)


def _labelled(result: FileResult) -> Iterator[Row]:
    return (row for row in result.unpacked() if row.label is not None)


def _in_a_field(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
