"""Custom data that has no official splits: a seed makes them, whole recordings at a time.

The user has to name the clips that come from one recording: with clips of one recording on both sides of a
split, a score measures memory, and nothing in the numbers shows it.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.errors import DataError
from train.data.corpus import Clip, FileCorpus, Split
from train.data.hold_out import hold_out


class HeldOut(FileCorpus):
    """Clips that a seed splits, whole groups at a time.

    Args:
        root: folder that the clips' ids are relative to.
        name: what the corpus is called in the provenance, without where it lies.
        val_share: share of the groups that the test split leaves, to choose checkpoints and temperature by.
        test_share: share of the groups to report on.
        seed: another seed splits differently.
        licence: of the audio.
    """

    def __init__(
        self, root: Path, name: str, val_share: float, test_share: float, seed: int, licence: str
    ) -> None:
        self.root, self.name, self.licence = root, name, licence
        self.val_share, self.test_share, self.seed = val_share, test_share, seed

    @abstractmethod
    def all_clips(self) -> list[Clip]:
        """The clips of all splits, in a stable order."""

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, in the order of `all_clips`."""
        return self._splits[split]

    def path(self, clip: Clip) -> Path:
        """A clip's id is its place in the folder."""
        return self.root / clip.id

    def describe(self) -> dict[str, Any]:
        """Name, shares and seed."""
        return {
            "corpus": self.name,
            "val_share": self.val_share,
            "test_share": self.test_share,
            "seed": self.seed,
        }

    @cached_property
    def _splits(self) -> Mapping[Split, list[Clip]]:
        rest, test = hold_out(self.all_clips(), self.test_share, self.seed)
        train, val = hold_out(rest, self.val_share, self.seed + 1)
        return {"train": train, "val": val, "test": test}


def group_finder(group: str | None, no_groups: bool) -> Callable[[str], str]:
    """A function from a path to the name of its recording."""
    if (group is None) != no_groups:
        raise DataError(
            "Name the files that come from one recording: data.corpus.group is a regular expression that "
            "finds the recording's name in a path; set data.corpus.no_groups where every file is a recording."
        )
    if group is None:
        return str
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(
            f"data.corpus.group is no regular expression ({error}): correct {group!r}."
        ) from error

    def find(name: str) -> str:
        found = pattern.search(name)
        if not found:
            raise DataError(f"data.corpus.group ({group}) finds nothing in {name}: correct it.")
        return found[1] if pattern.groups else found[0]

    return find
