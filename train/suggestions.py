"""A typo names the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str:
    """Half a sentence: ``did you mean 'lr'?``, or what there is to choose from."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(known)}"
