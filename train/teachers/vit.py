"""The parts that AST, PaSST and CED have in common: the vision transformer's blocks, under timm's keys.

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021: normalization before attention and before the
perceptron. Heads are 64 wide in every published file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import ConfigError
from train.teachers.token_merging import match, merge, merge_schedule

HEAD_DIM = 64
PATCH = 16  # mels and frames of a patch
_EPS = 1e-6


def heads_of(dim: int) -> int:
    """Number of heads of a width. Raises ConfigError where the width is no multiple of 64."""
    if dim < HEAD_DIM or dim % HEAD_DIM:
        raise ConfigError(f"The width of a transformer is a multiple of {HEAD_DIM}, not dim={dim}.")
    return dim // HEAD_DIM


def block_norm(dim: int) -> nn.LayerNorm:
    """Layer norm as the blocks have it."""
    return nn.LayerNorm(dim, eps=_EPS)


def depth_of(keys: Iterable[str], prefix: str) -> int:
    """Number of blocks that the keys of a state_dict name, ``blocks.0.`` and on after the prefix."""
    places = {key.removeprefix(prefix).split(".")[0] for key in keys if key.startswith(prefix)}
    return len(places)


class PatchEmbed(nn.Module):
    """Patches of 16 x 16 as vectors; they overlap where the stride is smaller."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, PATCH, stride=stride)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames] -> [batch, dim, mel patches, time patches]."""
        patches: Tensor = self.proj(log_mel)
        return patches


def join_heads(attended: Tensor) -> Tensor:
    """[batch, heads, tokens, size] -> [batch, tokens, heads * size].

    A transposed view would do in eager mode. torch's ONNX exporter refuses it after attention with a bias,
    whose result it lays out in another way.
    """
    return torch.cat(attended.unbind(dim=1), dim=2)


class Attention(nn.Module):
    """Self-attention; query, key and value come from one linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.heads = heads_of(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[batch, tokens, dim] -> the same shape, and the keys [batch, heads, tokens, 64].

        ``bias`` is added to the scores before softmax; it broadcasts to [batch, heads, tokens, tokens].
        """
        batch, tokens = x.shape[:2]
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, HEAD_DIM).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(join_heads(attended)), key


class Mlp(nn.Module):
    """A perceptron four times as wide as the tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, dim] -> the same shape."""
        result: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return result


class Block(nn.Module):
    """Attention and perceptron, each with a layer norm before it and a shortcut around it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = block_norm(dim)
        self.attn = Attention(dim)
        self.norm2 = block_norm(dim)
        self.mlp = Mlp(dim)

    def attend(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The first half: tokens of the same shape, and the keys."""
        attended, keys = self.attn(self.norm1(x), bias)
        return x + attended, keys

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, dim] -> the same shape."""
        return self.transform(self.attend(x)[0])

    def transform(self, x: Tensor) -> Tensor:
        """The second half."""
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class Blocks(nn.ModuleList):
    """The blocks one after the other, with or without token merging.

    Args:
        dim: width of a token.
        depth: number of blocks.
        protected: leading tokens that are never merged: 0, or 2 for a class and a distillation token.
    """

    def __init__(self, dim: int, depth: int, protected: int) -> None:
        super().__init__(Block(dim) for _ in range(depth))
        self.protected = protected
        self.merge()

    def merge(self, r: int = 0, inflect: float = 0.0, proportional: bool = True) -> None:
        """Switch token merging on, or with r = 0 off.

        Args:
            r: tokens that a block merges, in the mean over blocks.
            inflect: from -1 (most of them in the first blocks) to 1.
            proportional: a merged token counts in attention as often as the patches that it stands for.

        Raises:
            ConfigError: where a number makes no sense.
        """
        self.schedule = merge_schedule(r, inflect, len(self))
        self.proportional = proportional

    def __iter__(self) -> Iterator[Block]:
        """The blocks."""
        return cast("Iterator[Block]", super().__iter__())

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, dim] -> [batch, tokens less the merged ones, dim]."""
        size: Tensor | None = None  # of tokens in patches, once some are merged
        for block, r in zip(self, self.schedule, strict=True):
            bias = size.log()[:, None, None, :, 0] if size is not None and self.proportional else None
            x, keys = block.attend(x, bias)
            matching = match(keys, r, self.protected) if r else None
            if matching is not None:
                x, size = merge(x, size, matching)
            x = block.transform(x)
        return x


def merge_tokens(network: nn.Module, r: int, inflect: float = 0.0, proportional: bool = True) -> None:
    """Switch token merging of a network on, or with r = 0 off; see `Blocks.merge`.

    Raises:
        ConfigError: where the network is no AST, PaSST or CED.
    """
    found = [part for part in network.modules() if isinstance(part, Blocks)]
    if not found:
        raise ConfigError(
            f"{type(network).__name__} has no tokens that could be merged: take an ast, a passt or a ced."
        )
    for blocks in found:
        blocks.merge(r, inflect, proportional)
