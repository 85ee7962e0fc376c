"""Token merging: similar tokens of a transformer become one, so that later blocks have less to compute.

Bolya et al., "Token merging: your ViT but faster", ICLR 2023. Tokens at even places are matched with those at
odd places by the cosine of their keys; the r best pairs of a block are merged into their mean. A token counts
in that mean, and in the attention of later blocks, as often as the patches that it stands for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from runtime.errors import ConfigError


class Matching(NamedTuple):
    """Which tokens of a sequence are merged.

    Attributes:
        merged: places among the even tokens, [batch, r]; these go.
        retained: places among the even tokens, [batch, even - r]; these stay.
        into: places among the odd tokens that take the merged ones in, [batch, r].
        protected: leading tokens that take no part: 0, or 2 for a class and a distillation token.
    """

    merged: Tensor
    retained: Tensor
    into: Tensor
    protected: int


def merge_schedule(r: int, inflect: float, depth: int) -> tuple[int, ...]:
    """Tokens to merge in every block.

    Args:
        r: the mean over blocks.
        inflect: 0 merges r in every block, -1 goes down from 2 r to 0, 1 goes up from 0 to 2 r.
        depth: number of blocks.

    Raises:
        ConfigError: where r is negative or inflect lies outside of [-1, 1].
    """
    if r < 0 or not -1 <= inflect <= 1:
        raise ConfigError(
            f"Token merging takes merge_r from 0 and merge_inflect in [-1, 1], not {r}, {inflect}."
        )
    first = int(r * (1 - inflect))
    step = 2 * (r - first) / max(depth - 1, 1)
    return tuple(int(first + step * block) for block in range(depth))


def match(keys: Tensor, r: int, protected: int) -> Matching | None:
    """Match the tokens of a sequence by their keys.

    Args:
        keys: of the attention, [batch, heads, tokens, head_dim].
        r: pairs to merge; fewer where the sequence is too short.
        protected: leading tokens that are never merged, 0 or 2.

    Returns:
        None where nothing is to merge.
    """
    r = min(r, (keys.shape[2] - protected) // 2)
    if r <= 0:
        return None
    metric = keys.mean(dim=1)
    metric = metric / metric.norm(dim=-1, keepdim=True)
    scores = metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)  # [batch, even, odd]
    if protected:
        scores[:, 0, :] = -torch.inf
        scores[:, :, 0] = -torch.inf
    best, partner = scores.max(dim=2)
    order = best.argsort(dim=1, descending=True)
    merged, retained = order[:, :r], order[:, r:]
    if protected:
        retained = retained.sort(dim=1).values  # the class token stays first
    return Matching(merged, retained, partner.gather(1, merged), protected)


def merge(x: Tensor, size: Tensor | None, matching: Matching) -> tuple[Tensor, Tensor]:
    """Merge tokens [batch, tokens, dim] into means over the patches that they stand for.

    Args:
        x: the tokens.
        size: how many patches each of them stands for, [batch, tokens, 1]; None for one each.
        matching: from `match`.

    Returns:
        The remaining tokens, even ones before odd ones (but the two protected first), and their sizes.
    """
    size = torch.ones_like(x[..., :1]) if size is None else size
    sums, sizes = _add(x * size, matching), _add(size, matching)
    return sums / sizes, sizes


def _add(x: Tensor, matching: Matching) -> Tensor:
    """Add merged tokens to their partners: [batch, tokens, dim] -> [batch, tokens - r, dim]."""
    even, odd = x[:, ::2], x[:, 1::2]
    merged, retained, into = (places.unsqueeze(2).expand(-1, -1, x.shape[2]) for places in matching[:3])
    odd = odd.scatter_add(1, into, even.gather(1, merged))
    even = even.gather(1, retained)
    if matching.protected:
        return torch.cat([even[:, :1], odd[:, :1], even[:, 1:], odd[:, 1:]], dim=1)
    return torch.cat([even, odd], dim=1)
