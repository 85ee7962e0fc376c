"""A progress bar on stderr for a batch of files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Progress:
    """A bar while it is iterated over, and lines printed above it.

    Args:
        items: of the batch.
        shown: whether a bar is useful; it appears only where stderr is a terminal.

    Attributes:
        current: the item that was handed out last.

    Example:
        >>> list(Progress(["a.wav", "b.wav"], shown=False))
        ['a.wav', 'b.wav']
    """

    def __init__(self, items: Sequence[T], *, shown: bool) -> None:
        self._items: Sequence[Any] = items
        self.current: Any = None
        self._bar: Any = None
        if shown and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm  # only here: it takes 40 ms

            self._bar = tqdm(total=len(items), unit="file", dynamic_ncols=True)

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self._items:
                self.current = item
                yield item
                if self._bar is not None:
                    self._bar.update()
        finally:
            if self._bar is not None:
                self._bar.close()

    def print(self, text: str) -> None:
        """Print a line to stderr, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(text, file=sys.stderr, flush=True)
