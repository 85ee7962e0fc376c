"""Reasons that other libraries give, quoted in one sentence of this package."""

from __future__ import annotations

_LONGEST = 200  # characters


def first_line(error: BaseException) -> str:
    """The first line of an error's text without its last stop, or the error's class where it has no text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:_LONGEST]
