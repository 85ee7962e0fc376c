"""AST: the audio spectrogram transformer, a vision transformer on log-mels of 16 kHz.

Gong et al., "AST: audio spectrogram transformer", Interspeech 2021. Names of modules follow the published
files (``audioset_10_10_0.4593.pth``, whose keys begin with ``module.``). Front end: the preset ``ast_fbank``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.students.shapes import Shapes
from train.teachers.vit import PATCH, Blocks, PatchEmbed, block_norm, depth_of

_MELS, _TIME_PATCHES, _SPECIAL = 128, 101, 2
_STRIDES = (10, 12, 14, 16)  # of the published files


def _patches(size: int, stride: int) -> int:
    return (size - PATCH) // stride + 1


class VisionTransformer(nn.Module):
    """The encoder, with a class and a distillation token before the patches."""

    def __init__(self, dim: int, depth: int, stride: int, time_patches: int) -> None:
        super().__init__()
        self.grid = (_patches(_MELS, stride), time_patches)
        tokens = _SPECIAL + self.grid[0] * self.grid[1]
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.dist_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, tokens, dim))
        self.patch_embed = PatchEmbed(dim, stride)
        self.blocks = Blocks(dim, depth, protected=_SPECIAL)
        self.norm = block_norm(dim)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames] -> the mean of class and distillation token [batch, dim]."""
        patches = self.patch_embed(log_mel)
        positions = self._positions(patches.shape[2], patches.shape[3])
        special = torch.cat([self.cls_token, self.dist_token], dim=1).expand(patches.shape[0], -1, -1)
        tokens = torch.cat([special, patches.flatten(2).transpose(1, 2)], dim=1) + positions
        embedding: Tensor = self.norm(self.blocks(tokens))[:, :_SPECIAL].mean(dim=1)
        return embedding

    def _positions(self, mel_patches: int, time_patches: int) -> Tensor:
        """The positional embedding of a grid of another size: [1, 2 + patches, dim]."""
        if (mel_patches, time_patches) == self.grid:
            return self.pos_embed
        special, rest = self.pos_embed[:, :_SPECIAL], self.pos_embed[:, _SPECIAL:]
        grid = rest.transpose(1, 2).reshape(1, -1, *self.grid)
        grid = fit_positions(fit_positions(grid, 3, time_patches), 2, mel_patches)
        return torch.cat([special, grid.flatten(2).transpose(1, 2)], dim=1)


def fit_positions(grid: Tensor, axis: int, size: int) -> Tensor:
    """Cut a positional embedding [1, dim, mel patches, time patches] from its middle, or interpolate it."""
    have = grid.shape[axis]
    if size <= have:
        return grid.narrow(axis, have // 2 - size // 2, size)
    shape = (grid.shape[2], size) if axis == 3 else (size, grid.shape[3])
    return F.interpolate(grid, shape, mode="bilinear")


class AST(nn.Module):
    """The tagger. Its widths are 192 (tiny), 384 (small) and 768 (base224 and base384).

    Args:
        n_classes: number of labels.
        dim: width of a token, a multiple of 64.
        depth: number of blocks.
        stride: of the patches, in mels and frames.
        time_patches: of the positional embedding, 101 for 1024 frames; the clips may be shorter or longer.
        merge_r: tokens that a block merges (`token_merging.py`); 0 merges none.
        merge_inflect: from -1 (most of them in the first blocks) to 1.
    """

    frontend: ClassVar[str] = "ast_fbank"
    not_in_weights: ClassVar[tuple[str, ...]] = ("merge_r", "merge_inflect")
    head: ClassVar[str] = "mlp_head"
    unused_weights: ClassVar[tuple[str, ...]] = ("v.head.", "v.head_dist.")  # of ImageNet
    int8: ClassVar[bool] = False
    layers: ClassVar[tuple[str, ...]] = ("v.blocks.*", "v.norm mlp_head")
    published_by: ClassVar[str] = "YuanGongND/ast (code BSD-3-Clause)"

    def __init__(
        self,
        n_classes: int = 527,
        dim: int = 768,
        depth: int = 12,
        stride: int = 10,
        time_patches: int = _TIME_PATCHES,
        merge_r: int = 0,
        merge_inflect: float = 0.0,
    ) -> None:
        super().__init__()
        self.v = VisionTransformer(dim, depth, stride, time_patches)
        self.v.blocks.merge(merge_r, merge_inflect)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, n_classes))

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 128, frames] -> logits [batch, classes]."""
        logits: Tensor = self.mlp_head(self.v(log_mel))
        return logits

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        positions, head = (shapes.get(key, ()) for key in ("v.pos_embed", "mlp_head.1.weight"))
        if len(positions) != 3 or len(head) != 2:
            return None
        patches = positions[1] - _SPECIAL
        strides = [stride for stride in _STRIDES if patches % _patches(_MELS, stride) == 0]
        if not strides:
            return None
        return {
            "n_classes": head[0], "dim": positions[2], "depth": depth_of(shapes, "v.blocks."),
            "stride": strides[0], "time_patches": patches // _patches(_MELS, strides[0]),
        }  # fmt: skip
