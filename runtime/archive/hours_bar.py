"""How much of an archive is done: a bar on stderr with hours of audio done and left."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from runtime.archive.result import FileResult, Identity

_FORMAT = "{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]"


class HoursBar:
    """A bar that moves by bytes; the hours left follow from those of the bytes that are done.

    Reading the length of every file first would take minutes on a slow disk.

    Args:
        pending: the files to come.
        shown: whether to show it; by default where stderr is a terminal.

    Attributes:
        hours: of audio done.

    Example:
        >>> bar = HoursBar({"a.wav": Identity(100, 0), "b.wav": Identity(300, 0)}, shown=False)
        >>> bar.add(FileResult("a.wav", Identity(100, 0), seconds=3600.0))
        >>> bar.text()
        '1/2 files, 1.0 h done, about 3.0 h left'
    """

    def __init__(self, pending: Mapping[str, Identity], *, shown: bool | None = None) -> None:
        self._sizes = {path: identity.size for path, identity in pending.items()}
        self._total, self._bytes, self._good_bytes = sum(self._sizes.values()), 0, 0
        self._files, self.hours = 0, 0.0
        self._bar: Any = None
        if shown or (shown is None and sys.stderr is not None and sys.stderr.isatty()):
            from tqdm import tqdm  # only here: it takes 40 ms

            self._bar = tqdm(total=self._total, dynamic_ncols=True, bar_format=_FORMAT, desc=self.text())

    def add(self, result: FileResult) -> None:
        """Count a file as done."""
        size = self._sizes[result.path]
        self._files += 1
        self._bytes += size
        self._good_bytes += size if result.error is None else 0
        self.hours += result.seconds / 3600
        if self._bar is not None:
            self._bar.set_description_str(self.text(), refresh=False)
            self._bar.update(size)

    def text(self) -> str:
        """What is done and left, in words."""
        left = (self._total - self._bytes) * self.hours / self._good_bytes if self._good_bytes else None
        hours = "" if left is None else f", about {left:.1f} h left"
        return f"{self._files}/{len(self._sizes)} files, {self.hours:.1f} h done{hours}"

    def print(self, text: str) -> None:
        """Print a line to stderr, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
