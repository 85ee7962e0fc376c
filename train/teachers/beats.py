"""BEATs: a transformer on log-mels of 16 kHz, pre-trained without labels by acoustic tokenizers.

Chen et al., "BEATs: audio pre-training with acoustic tokenizers", ICML 2023. Names of modules follow
Microsoft's files (``cfg`` and ``model``). Front end: the preset ``beats_fbank``.

Layers are normalized after their sum, whose first term is scaled (Wang et al., "DeepNet", 2022). Scores of
attention have a bias by the distance of tokens, gated by the query (Chi et al., "XLM-E", ACL 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import ModelFileError
from train.students.shapes import Shapes
from train.teachers.vit import HEAD_DIM, PATCH, depth_of, heads_of, join_heads

_TAPS, _GROUPS, _GATES = 128, 16, 8  # of the convolution over positions; outputs of a gate's linear layer
# What a file's cfg must say for its weights to be those of this network.
_CONFIG = {
    "input_patch_size": PATCH,
    "layer_norm_first": False,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "conv_pos": _TAPS,
    "conv_pos_groups": _GROUPS,
}


class PositionConv(nn.Module):
    """A convolution over tokens with weight normalization: one norm for each of its taps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        weight = math.sqrt(4 / (_TAPS * dim)) * torch.randn(dim, dim // _GROUPS, _TAPS)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.weight_g = nn.Parameter(weight.norm(dim=(0, 1), keepdim=True))
        self.weight_v = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, dim] -> the same shape."""
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=_TAPS // 2, groups=_GROUPS)
        return F.gelu(y[..., :-1]).transpose(1, 2)


class GatedAttention(nn.Module):
    """Self-attention whose bias by distance is gated by the query."""

    def __init__(self, dim: int, relative_attention_bias: nn.Embedding) -> None:
        super().__init__()
        self.heads = heads_of(dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.grep_linear = nn.Linear(HEAD_DIM, _GATES)
        self.grep_a = nn.Parameter(torch.ones(1, self.heads, 1, 1))
        self.relative_attention_bias = relative_attention_bias  # the same one in every layer

    def forward(self, x: Tensor, distance_bias: Tensor) -> Tensor:
        """Tokens [batch, tokens, dim] and the bias [heads, tokens, tokens] -> [batch, tokens, dim]."""
        query, key, value = (self._split(part(x)) for part in (self.q_proj, self.k_proj, self.v_proj))
        gates = self.grep_linear(query).reshape(*query.shape[:3], 2, -1).sum(dim=-1).sigmoid()
        first, second = gates.split(1, dim=-1)  # [batch, heads, tokens, 1]
        bias = (first * (second * self.grep_a - 1) + 2) * distance_bias
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        result: Tensor = self.out_proj(join_heads(attended))
        return result

    def _split(self, x: Tensor) -> Tensor:
        """[batch, tokens, dim] -> [batch, heads, tokens, 64]."""
        return x.reshape(*x.shape[:2], self.heads, HEAD_DIM).transpose(1, 2)


class Layer(nn.Module):
    """Attention and perceptron, each normalized after its sum with ``alpha`` times its input."""

    def __init__(self, dim: int, alpha: float, relative_attention_bias: nn.Embedding) -> None:
        super().__init__()
        self.alpha = alpha
        self.self_attn = GatedAttention(dim, relative_attention_bias)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, distance_bias: Tensor) -> Tensor:
        """[batch, tokens, dim] -> the same shape."""
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, distance_bias))
        result: Tensor = self.final_layer_norm(self.alpha * x + self.fc2(F.gelu(self.fc1(x))))
        return result


class Encoder(nn.Module):
    """The layers, after a convolution that lets tokens differ by their position."""

    def __init__(self, dim: int, depth: int, buckets: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.pos_conv = nn.Sequential(PositionConv(dim))
        bias = nn.Embedding(buckets, heads_of(dim))
        self.layers = nn.ModuleList(Layer(dim, (2 * depth) ** 0.25, bias) for _ in range(depth))
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, dim] -> the same shape."""
        x = self.layer_norm(x + self.pos_conv(x))
        table = cast("Layer", self.layers[0]).self_attn.relative_attention_bias  # [buckets, heads]
        places = torch.arange(x.shape[1], device=x.device)
        distance = places[None] - places[:, None]
        distance_bias = table(distance_buckets(distance, table.num_embeddings, self.max_distance))
        for layer in self.layers:
            x = layer(x, distance_bias.permute(2, 0, 1))
        return x


def distance_buckets(distance: Tensor, buckets: int, max_distance: int) -> Tensor:
    """The bucket of a distance (key less query): exact when small, then logarithmic; half for each sign."""
    a_side = buckets // 2
    exact = a_side // 2
    size = distance.abs()
    ratio = torch.log(size.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (ratio * (a_side - exact)).long()).clamp_max(a_side - 1)
    return torch.where(size < exact, size, far) + a_side * (distance > 0)


class BEATs(nn.Module):
    """The encoder with one linear layer on every token, whose logits are averaged.

    Args:
        n_classes: number of labels.
        dim: width of a token, a multiple of 64.
        depth: number of layers.
        embed_dim: width of a patch before the encoder.
        buckets: of distances between tokens.
        max_distance: distance from which all share a bucket; the ``cfg`` of Microsoft's files has it.
    """

    frontend: ClassVar[str] = "beats_fbank"
    not_in_weights: ClassVar[tuple[str, ...]] = ("max_distance",)
    head: ClassVar[str] = "predictor"
    int8: ClassVar[bool] = False
    layers: ClassVar[tuple[str, ...]] = ("encoder.layers.*", "predictor")
    published_by: ClassVar[str] = "microsoft/unilm's BEATs (code MIT), or easy_dcase_task1 (Apache-2.0)"

    def __init__(
        self,
        n_classes: int = 527,
        dim: int = 768,
        depth: int = 12,
        embed_dim: int = 512,
        buckets: int = 320,
        max_distance: int = 800,
    ) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(1, embed_dim, PATCH, stride=PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(embed_dim)
        self.post_extract_proj = nn.Linear(embed_dim, dim)
        self.encoder = Encoder(dim, depth, buckets, max_distance)
        self.predictor = nn.Linear(dim, n_classes)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 128, frames] -> logits [batch, classes]."""
        patches = self.patch_embedding(log_mel.transpose(2, 3))  # [batch, embed_dim, times, mel patches]
        tokens = self.post_extract_proj(self.layer_norm(patches.flatten(2).transpose(1, 2)))
        logits: Tensor = self.predictor(self.encoder(tokens)).mean(dim=1)
        return logits

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do.

        Files of the pre-training have no head, and so no number of classes.
        """
        keys = (
            "post_extract_proj.weight",
            "encoder.layers.0.self_attn.relative_attention_bias.weight",
            "predictor.weight",
        )
        projection, bias, head = (shapes.get(key, ()) for key in keys)
        if len(projection) != 2 or len(bias) != 2:
            return None
        arguments = {
            "dim": projection[0], "embed_dim": projection[1], "buckets": bias[0],
            "depth": depth_of(shapes, "encoder.layers."),
        }  # fmt: skip
        return arguments | ({"n_classes": head[0]} if len(head) == 2 else {})

    @classmethod
    def arguments_of_config(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments from the ``cfg`` of Microsoft's files.

        Raises:
            ModelFileError: where it describes a variant that is not this network.
        """
        for name, value in _CONFIG.items():
            if config.get(name, value) != value:
                raise ModelFileError(
                    f"The cfg of the file has {name}={config[name]}, and BEATs is built here with "
                    f"{name}={value} only: take one of the released files."
                )
        return {"max_distance": config["max_distance"]} if "max_distance" in config else {}
