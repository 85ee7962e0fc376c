"""Published layouts whose keys differ from those of the networks here: they are rewritten first."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

# easy_dcase_task1 puts Microsoft's BEATs under ``encoder`` and its own head beside it.
_BEATS_FIRST, _BEATS_HEAD = "encoder.patch_embedding.weight", "classifier.linear."


def rewrite(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A table of named tensors under the keys of the networks here; most tables stay as they are."""
    prefixes = [
        key.removesuffix(_BEATS_FIRST)
        for key in tensors
        if key == _BEATS_FIRST or key.endswith(f".{_BEATS_FIRST}")
    ]
    state = dict(tensors)
    for prefix in prefixes:
        if f"{prefix}{_BEATS_HEAD}weight" in state:
            state = {_of_beats(prefix, key): value for key, value in state.items()}
    return state


def _of_beats(prefix: str, key: str) -> str:
    for theirs, ours in ((f"{prefix}encoder.", prefix), (f"{prefix}{_BEATS_HEAD}", f"{prefix}predictor.")):
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key
