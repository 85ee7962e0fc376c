"""Export of transformers that merge tokens without merging: the same weights, every token.

Which tokens are merged is decided by comparisons. Where two pairs are nearly equally similar, two runtimes
merge different ones, and a file cannot be verified against torch.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.spec import ModelSpec
from train.checkpoints.model_pt import Checkpoint

_MERGED, _LEFT_OUT = "merge_r", "without_merging"  # argument of a network; key of the provenance


def without_merging(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose network merges nothing, and says so in its provenance; any other one as it is."""
    if not checkpoint.arguments.get(_MERGED):
        return checkpoint
    arguments = {**checkpoint.arguments, _MERGED: 0}
    return replace(checkpoint, arguments=arguments, provenance={**checkpoint.provenance, _LEFT_OUT: True})


def as_exported(checkpoint: Checkpoint, spec: ModelSpec) -> Checkpoint:
    """The checkpoint that a file was made from, without merging where the file was exported so."""
    return without_merging(checkpoint) if spec.provenance.get(_LEFT_OUT) else checkpoint


def advice(checkpoint: Checkpoint) -> str | None:
    """What to do where a file of a merging network was not verified; None for any other network."""
    merged = checkpoint.arguments.get(_MERGED)
    if not merged:
        return None
    return (
        f"The network merges tokens (merge_r={merged}), and of pairs that are nearly equally similar two "
        "runtimes merge different ones: export it with --without-merging."
    )
