"""Clips held out by whole groups, a share of every class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from runtime.errors import DataError
from train.data.corpus import Clip, check_seed

_UNLABELLED = -1  # the class of clips that nobody labelled


def hold_out(clips: Sequence[Clip], share: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Take about a share of every class away, group by whole group.

    Args:
        clips: to choose from.
        share: of the groups of each class, in [0, 1]. A class with two groups or more gives at least one,
            and keeps at least one unless the share is 1. A clip of several labels counts for the one that
            fewest clips have, one without labels for a class of its own.
        seed: another seed chooses other groups.

    Returns:
        The clips that stay and those held out, both in their order.

    Raises:
        DataError: where the share or the seed is out of range.
    """
    if not 0 <= share <= 1:
        raise DataError(f"A share of clips to hold out lies in [0, 1], not {share}.")
    check_seed(seed)
    frequency = Counter(target for clip in clips for target in clip.targets or ())
    of_class: dict[int, dict[str, None]] = {}
    owner: dict[str, int] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        rarest = min(clip.targets or (_UNLABELLED,), key=lambda target: (frequency[target], target))
        target = owner.setdefault(clip.group, rarest)  # a group of several classes counts for its first
        of_class.setdefault(target, {})[clip.group] = None
    chosen: set[str] = set()
    for target, members in sorted(of_class.items()):
        order = np.random.default_rng((seed, max(target, 0))).permutation(sorted(members))
        most = len(order) if share == 1 else len(order) - 1
        count = min(max(round(share * len(order)), 1), most) if share else 0
        chosen.update(order[:count].tolist())
    return [c for c in clips if c.group not in chosen], [c for c in clips if c.group in chosen]
