"""PaSST: a vision transformer on log-mels of 32 kHz that leaves patches out in training.

Koutini et al., "Efficient training of audio transformers with patchout", Interspeech 2022. Names of modules
follow the published files (``passt-s-f128-p16-s10-ap.476-swa.pt``) and those of CP-JKU's DCASE 2023 teachers.
Front ends: ``passt_mel``, and ``passt_mel_15500`` for the teachers of DCASE 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from train.students.shapes import Shapes
from train.teachers.vit import Blocks, PatchEmbed, block_norm, depth_of

_MELS, _TIME_PATCHES = 128, 99
_SCENES = 10  # outputs of the teachers of DCASE 2023


class PaSST(nn.Module):
    """The tagger. Longer clips than the positions in time reach are cut: 99 patches are 10 s.

    Args:
        n_classes: number of labels.
        dim: width of a token, a multiple of 64.
        depth: number of blocks.
        stride: of the patches, in mels and frames.
        time_patches: positions in time.
        s_patchout_t: patches in time that are left out of every training batch, for all mels.
        s_patchout_f: patches along mels that are left out, for all times.
        u_patchout: single patches that are left out of the remaining ones.
        merge_r: tokens that a block merges (`token_merging.py`); 0 merges none.
        merge_inflect: from -1 (most of them in the first blocks) to 1.
    """

    frontend: ClassVar[str] = "passt_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = (
        "s_patchout_t", "s_patchout_f", "u_patchout", "merge_r", "merge_inflect",
    )  # fmt: skip
    unused_weights: ClassVar[tuple[str, ...]] = ("head_dist.",)  # the published network never applies it
    int8: ClassVar[bool] = False
    layers: ClassVar[tuple[str, ...]] = ("blocks.*", "norm head")
    published_by: ClassVar[str] = "kkoutini/PaSST (Apache-2.0), or CP-JKU's DCASE 2023 teachers (no licence)"

    def __init__(
        self,
        n_classes: int = 527,
        dim: int = 768,
        depth: int = 12,
        stride: int = 10,
        time_patches: int = _TIME_PATCHES,
        s_patchout_t: int = 0,
        s_patchout_f: int = 0,
        u_patchout: int = 0,
        merge_r: int = 0,
        merge_inflect: float = 0.0,
    ) -> None:
        super().__init__()
        self.s_patchout_t, self.s_patchout_f, self.u_patchout = s_patchout_t, s_patchout_f, u_patchout
        # first, because an import looks for the first key, and other networks have a cls_token, too
        self.new_pos_embed = _positions(1, 2, dim)
        self.freq_new_pos_embed = _positions(1, dim, _MELS // stride, 1)
        self.time_new_pos_embed = _positions(1, dim, 1, time_patches)
        self.cls_token = _positions(1, 1, dim)
        self.dist_token = _positions(1, 1, dim)
        self.patch_embed = PatchEmbed(dim, stride)
        self.blocks = Blocks(dim, depth, protected=2)
        self.blocks.merge(merge_r, merge_inflect)
        self.norm = block_norm(dim)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, n_classes))

    def embed(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 128, frames] -> the mean of class and distillation token [batch, dim]."""
        patches = self._leave_out(self._place(self.patch_embed(log_mel)))
        special = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        tokens = self.norm(self.blocks(torch.cat([special.expand(patches.shape[0], -1, -1), patches], dim=1)))
        embedding: Tensor = tokens[:, :2].mean(dim=1)
        return embedding

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 128, frames] -> logits [batch, classes]."""
        logits: Tensor = self.head(self.embed(log_mel))
        return logits

    def _place(self, patches: Tensor) -> Tensor:
        """Add the positions: the first ones in time, or in training a random stretch of them."""
        reach = self.time_new_pos_embed.shape[3]
        patches = patches[..., :reach]
        spare = reach - patches.shape[3]
        start = int(torch.randint(spare + 1, ())) if self.training and spare else 0
        patches = patches + self.time_new_pos_embed[..., start : start + patches.shape[3]]
        return patches + self.freq_new_pos_embed[:, :, : patches.shape[2]]

    def _leave_out(self, patches: Tensor) -> Tensor:
        """Patchout in training; [batch, dim, mel patches, time patches] -> [batch, tokens, dim]."""
        if self.training and self.s_patchout_t:
            patches = patches[..., _random_places(patches.shape[3], self.s_patchout_t)]
        if self.training and self.s_patchout_f:
            patches = patches[:, :, _random_places(patches.shape[2], self.s_patchout_f)]
        tokens = patches.flatten(2).transpose(1, 2)  # all times of a mel patch first
        if self.training and self.u_patchout:
            tokens = tokens[:, _random_places(tokens.shape[1], self.u_patchout)]
        return tokens

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        keys = ("freq_new_pos_embed", "time_new_pos_embed", "head.1.weight")
        mels, times, head = (shapes.get(key, ()) for key in keys)
        if len(mels) != 4 or len(times) != 4 or len(head) != 2 or "dist_token" not in shapes:
            return None
        strides = [stride for stride in (10, 12, 14, 16, 20) if _MELS // stride == mels[2]]
        if not strides:
            return None
        return {
            "n_classes": head[0], "dim": mels[1], "depth": depth_of(shapes, "blocks."),
            "stride": strides[0], "time_patches": times[3],
        }  # fmt: skip

    @classmethod
    def published_frontend(cls, arguments: Mapping[str, Any]) -> str:
        """The preset of published weights: that of DCASE 2023 for ten scenes."""
        return "passt_mel_15500" if arguments.get("n_classes") == _SCENES else cls.frontend


def _positions(*shape: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(shape))


def _random_places(count: int, left_out: int) -> Tensor:
    """Sorted places out of ``count``; at least one stays."""
    return torch.randperm(count)[: max(count - left_out, 1)].sort().values
