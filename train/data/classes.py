"""Class names, classes with too few clips, and classes that were lost while clips were read."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from runtime.errors import DataError
from train.data.corpus import Clip


def clean_label(name: str) -> str:
    """A label without the spaces around it, its accents composed: macOS writes file names decomposed."""
    return unicodedata.normalize("NFC", name.strip())


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


def thin_classes(labels: Sequence[str], training: Sequence[Clip]) -> dict[str, list[str]]:
    """Classes that a training can learn nothing or little of: what they lack to their labels.

    A corpus without any labelled training clip lacks none: it is not there to train on labels.
    """
    found = _count(training)
    counts = [(label, found.get(target, 0)) for target, label in enumerate(labels)] if found else []
    thin = {
        "no training clip": [label for label, clips in counts if clips == 0],
        "one training clip": [label for label, clips in counts if clips == 1],
    }
    return {lack: members for lack, members in thin.items() if members}


def names_alike(labels: Sequence[str]) -> list[str]:
    """Pairs of labels that differ in case, spaces or dashes alone, and may be one class: ``Cat ~ cat``."""
    seen: dict[str, str] = {}
    pairs = []
    for label in labels:
        key = re.sub(r"[\s_-]+", "", label.casefold()) or label
        if key in seen:
            pairs.append(f"{seen[key]} ~ {label}")
        seen.setdefault(key, label)
    return pairs


def _count(clips: Sequence[Clip]) -> Counter[int]:
    return Counter(target for clip in clips for target in clip.targets or ())
