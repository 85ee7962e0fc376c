"""CED: a vision transformer on log-mels of 16 kHz, taught AudioSet by an ensemble of larger ones.

Dinkel et al., "CED: consistent ensemble distillation for audio tagging", ICASSP 2024. Names of modules follow
the published files ``audiotransformer_{tiny,mini,small,base}_*.pt``; the network is written from a
description of the function, not from its source, which is under the GPL. Front end: ``ced_mel``.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.students.shapes import Shapes
from train.teachers.vit import PATCH, Blocks, PatchEmbed, block_norm, depth_of

_MELS, _TARGET_FRAMES = 64, 1012


class CED(nn.Module):
    """The tagger. Its widths are 192 (tiny, 5.5 M parameters), 256 (mini), 384 (small) and 768 (base).

    A clip of more than ``target_frames`` is cut into parts of that length, the last one filled with zeros,
    and their probabilities are averaged. (The original leaves out the last part where it is full.)

    Args:
        n_classes: number of labels.
        dim: width of a token, a multiple of 64.
        depth: number of blocks.
        target_frames: the longest clip that is taken in one part, in frames of 10 ms.
        merge_r: tokens that a block merges (`token_merging.py`); 0 merges none.
        merge_inflect: from -1 (most of them in the first blocks) to 1.
    """

    frontend: ClassVar[str] = "ced_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = ("merge_r", "merge_inflect")
    head: ClassVar[str] = "outputlayer"
    int8: ClassVar[bool] = False
    layers: ClassVar[tuple[str, ...]] = ("blocks.*", "norm outputlayer")
    published_by: ClassVar[str] = "RicherMans/CED (code GPL-3.0; files on Zenodo, record 8275347)"

    def __init__(
        self,
        n_classes: int = 527,
        dim: int = 192,
        depth: int = 12,
        target_frames: int = _TARGET_FRAMES,
        merge_r: int = 0,
        merge_inflect: float = 0.0,
    ) -> None:
        super().__init__()
        self.target_frames = target_frames
        # first, because an import looks for the first key
        self.time_pos_embed = nn.Parameter(0.02 * torch.randn(1, dim, 1, target_frames // PATCH))
        self.freq_pos_embed = nn.Parameter(0.02 * torch.randn(1, dim, _MELS // PATCH, 1))
        self.init_bn = nn.Sequential(nn.Identity(), nn.BatchNorm2d(_MELS))
        self.patch_embed = PatchEmbed(dim, PATCH)
        self.blocks = Blocks(dim, depth, protected=0)
        self.blocks.merge(merge_r, merge_inflect)
        self.norm = block_norm(dim)
        self.outputlayer = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, n_classes))

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 64, frames] -> logits [batch, classes]."""
        x = self.normalized(log_mel)
        frames = x.shape[3]
        if frames <= self.target_frames:
            return self.logits_of_part(x)
        parts = torch.split(F.pad(x, (0, -frames % self.target_frames)), self.target_frames, dim=3)
        probabilities = torch.stack([self.logits_of_part(part).sigmoid() for part in parts]).mean(dim=0)
        return torch.logit(probabilities, eps=1e-6)

    def normalized(self, log_mel: Tensor) -> Tensor:
        """The batch norm over mel bands: [batch, 1, 64, frames] -> the same shape."""
        x: Tensor = self.init_bn(log_mel.transpose(1, 2)).transpose(1, 2)
        return x

    def normalization(self) -> tuple[Tensor, Tensor]:
        """Scale and shift of every band, [64] each, that the batch norm is in eval mode."""
        norm = cast("nn.BatchNorm2d", self.init_bn[1])
        mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
        scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
        return scale, norm.bias.detach() - mean * scale

    def logits_of_part(self, x: Tensor) -> Tensor:
        """Normalized log-mels of at most ``target_frames``, [batch, 1, 64, frames] -> [batch, classes]."""
        patches = self.patch_embed(x)
        patches = patches + self.time_pos_embed[..., : patches.shape[3]]
        patches = patches + self.freq_pos_embed[:, :, : patches.shape[2]]
        tokens = self.norm(self.blocks(patches.flatten(2).transpose(1, 2)))  # all times of a frequency first
        logits: Tensor = self.outputlayer(tokens.mean(dim=1))
        return logits

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        times, head = (shapes.get(key, ()) for key in ("time_pos_embed", "outputlayer.1.weight"))
        if len(times) != 4 or len(head) != 2 or "init_bn.1.weight" not in shapes:
            return None
        patches = times[3]
        return {
            "n_classes": head[0],
            "dim": times[1],
            "depth": depth_of(shapes, "blocks."),
            "target_frames": _TARGET_FRAMES if patches == _TARGET_FRAMES // PATCH else PATCH * patches,
        }
