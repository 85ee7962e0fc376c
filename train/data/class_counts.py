"""Classes with too few clips to be learnt, and classes that were lost while clips were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runtime.errors import DataError
from train.data.corpus import Clip


def refuse_lost_classes(labels: Sequence[str], listed: Sequence[Clip], readable: Sequence[Clip]) -> None:
    """Make sure that every class which the corpus lists has a clip that can be read.

    Raises:
        DataError: where none of the clips of a class can be read; it names the class.
    """
    before, after = _count(listed), _count(readable)
    for target, clips in sorted(before.items()):
        if target not in after:
            raise DataError(
                f"None of the {clips} clips of the class '{labels[target]}' can be read: replace the files "
                "or remove the class from the corpus."
            )


def thin_classes(labels: Sequence[str], training: Sequence[Clip]) -> list[str]:
    """Classes with no training clip or with one, a sentence each; none where nothing is labelled."""
    found = _count(training)
    if not found:
        return []
    counts = [(label, found.get(target, 0)) for target, label in enumerate(labels)]
    return [
        f"The class '{label}' has {'one training clip' if clips else 'no training clip'}."
        for label, clips in counts
        if clips < 2
    ]


def _count(clips: Sequence[Clip]) -> Counter[int]:
    return Counter(target for clip in clips for target in clip.targets or ())
