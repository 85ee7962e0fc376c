"""The published teachers: counts, shapes and keys as their files have them, and their functions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import complexity
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from tests.train.teachers.tiny import TINY
from train import networks
from train.checkpoints.detect_student import front_end_of
from train.teachers.ast import fit_positions
from train.teachers.beats import distance_buckets

State = dict[str, Tensor]


def _built(name: str, **arguments):
    """A miniature in eval mode whose batch norms and positions are not those of a new network."""
    torch.manual_seed(0)
    network = networks.build(name, {**TINY[name], "n_classes": 3, **arguments}).eval()
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.dtype == torch.float32 and (value.ndim == 1 or "pos_embed" in key or key.endswith("_a")):
            value.add_(0.3 * torch.randn_like(value))
    return network


def _input(name: str, seconds: float = 1.0) -> Tensor:
    spec = FrontEndSpec.preset(front_end_of(name, {}))
    return torch.randn(2, 1, spec.n_mels, spec.frames(round(seconds * spec.sample_rate)))


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "params", "macs"),
    [
        ("cp_resnet", {}, (1, 1, 256, 43), 127_684, 28_840_396),
        ("ced", {}, (1, 1, 64, 101), 5_503_183, None),
    ],
)
def test_counts_are_the_published_ones(name, arguments, shape, params, macs):
    report = complexity.measure(networks.build(name, arguments).eval(), shape)
    assert report.params == params and macs in (None, report.macs)


def _blocks(prefix: str, dim: int) -> dict[str, list[int]]:
    return {
        f"{prefix}blocks.11.norm1.weight": [dim],
        f"{prefix}blocks.11.attn.qkv.weight": [3 * dim, dim],
        f"{prefix}blocks.11.attn.qkv.bias": [3 * dim],
        f"{prefix}blocks.11.attn.proj.bias": [dim],
        f"{prefix}blocks.11.norm2.bias": [dim],
        f"{prefix}blocks.11.mlp.fc1.weight": [4 * dim, dim],
        f"{prefix}blocks.11.mlp.fc2.weight": [dim, 4 * dim],
        f"{prefix}norm.weight": [dim],
        f"{prefix}patch_embed.proj.weight": [dim, 1, 16, 16],
        f"{prefix}patch_embed.proj.bias": [dim],
    }


PUBLISHED = {  # arguments, number of keys, some of them
    "cp_resnet": ({}, 6 + 4 * 12 + 2 * 6 + 6, {
        "in_c.0.weight": [32, 1, 5, 5], "in_c.1.running_mean": [32],
        "stage1.block1.conv1.weight": [32, 32, 3, 3], "stage1.block1.conv2.weight": [32, 32, 1, 1],
        "stage1.block2.conv2.weight": [32, 32, 3, 3], "stage1.block2.bn2.bias": [32],
        "stage2.block1.conv1.weight": [64, 16, 3, 3], "stage2.block1.conv2.weight": [64, 32, 3, 3],
        "stage2.block1.shortcut.conv.weight": [64, 16, 1, 1], "stage2.block1.shortcut.bn.weight": [64],
        "stage3.block1.conv1.weight": [92, 64, 3, 3], "stage3.block1.conv2.weight": [92, 92, 1, 1],
        "stage3.block1.shortcut.conv.weight": [92, 64, 1, 1],
        "feed_forward.0.weight": [10, 92, 1, 1], "feed_forward.1.running_var": [10],
    }),
    "ced": ({"dim": 256}, 12 * 12 + 4 + 2 + 5 + 4, {
        "time_pos_embed": [1, 256, 1, 63], "freq_pos_embed": [1, 256, 4, 1], "init_bn.1.running_mean": [64],
        "outputlayer.0.weight": [256], "outputlayer.1.weight": [527, 256], **_blocks("", 256),
    }),
    "passt": ({}, 12 * 12 + 4 + 5 + 4, {
        "cls_token": [1, 1, 768], "dist_token": [1, 1, 768], "new_pos_embed": [1, 2, 768],
        "freq_new_pos_embed": [1, 768, 12, 1], "time_new_pos_embed": [1, 768, 1, 99],
        "head.0.bias": [768], "head.1.weight": [527, 768], **_blocks("", 768),
    }),
    "ast": ({}, 12 * 12 + 4 + 3 + 4, {
        "v.cls_token": [1, 1, 768], "v.dist_token": [1, 1, 768], "v.pos_embed": [1, 1214, 768],
        "mlp_head.0.weight": [768], "mlp_head.1.weight": [527, 768], **_blocks("v.", 768),
    }),
    "beats": ({}, 12 * 20 + 1 + 2 + 2 + 3 + 2 + 2, {
        "patch_embedding.weight": [512, 1, 16, 16], "layer_norm.weight": [512],
        "post_extract_proj.weight": [768, 512], "post_extract_proj.bias": [768],
        "encoder.pos_conv.0.bias": [768], "encoder.pos_conv.0.weight_g": [1, 1, 128],
        "encoder.pos_conv.0.weight_v": [768, 48, 128], "encoder.layer_norm.bias": [768],
        "encoder.layers.0.self_attn.relative_attention_bias.weight": [320, 12],
        "encoder.layers.11.self_attn.relative_attention_bias.weight": [320, 12],
        "encoder.layers.11.self_attn.q_proj.bias": [768], "encoder.layers.11.self_attn.k_proj.bias": [768],
        "encoder.layers.11.self_attn.v_proj.weight": [768, 768],
        "encoder.layers.11.self_attn.out_proj.weight": [768, 768],
        "encoder.layers.11.self_attn.grep_linear.weight": [8, 64],
        "encoder.layers.11.self_attn.grep_linear.bias": [8],
        "encoder.layers.11.self_attn.grep_a": [1, 12, 1, 1],
        "encoder.layers.11.self_attn_layer_norm.weight": [768],
        "encoder.layers.11.fc1.weight": [3072, 768], "encoder.layers.11.fc2.bias": [768],
        "encoder.layers.11.final_layer_norm.weight": [768], "predictor.weight": [527, 768],
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_and_shapes_are_those_of_the_published_files(name):
    arguments, keys, expected = PUBLISHED[name]
    with torch.device("meta"):
        state = networks.build(name, arguments).state_dict()
    assert {key: list(state[key].shape) for key in expected} == expected
    assert len(state) == keys


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("seconds", [1.0, 2.5])
def test_one_logit_per_class_whatever_the_other_clips(name, seconds):
    network, x = _built(name), _input(name, seconds)
    with torch.no_grad():
        assert network(x).shape == (2, 3)
        torch.testing.assert_close(network(x)[1:], network(x[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_arguments_follow_from_the_shapes(name):
    arguments = {"n_classes": 7, **TINY[name]}
    state = networks.build(name, arguments).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert networks.NETWORKS[name].infer_arguments(shapes).items() >= arguments.items()
    others = [cls for other, cls in networks.NETWORKS.items() if other != name]
    assert all(cls.infer_arguments(shapes) is None for cls in others if hasattr(cls, "infer_arguments"))


@pytest.mark.parametrize("name", ["ced", "passt", "ast", "beats"])
def test_a_width_that_heads_do_not_divide_is_named(name):
    with pytest.raises(ConfigError, match="dim=100"):
        networks.build(name, {**TINY[name], "dim": 100})


# The functions, computed anew from their description.


def _linear(x: Tensor, state: State, key: str) -> Tensor:
    return x @ state[f"{key}.weight"].T + state[f"{key}.bias"]


def _norm(x: Tensor, state: State, key: str, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    unit = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return unit * state[f"{key}.weight"] + state[f"{key}.bias"]


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _batch_norm(x: Tensor, state: State, key: str) -> Tensor:
    """Along dimension 1 of [batch, channels, ...]."""
    mean, var, scale, shift = (
        state[f"{key}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


def _transformer(x: Tensor, state: State, prefix: str = "") -> Tensor:
    """Pre-norm blocks of one head, and the last norm: [tokens, 64] -> [tokens, 64]."""
    for block in ("blocks.0", "blocks.1"):
        at = f"{prefix}{block}"
        q, k, v = _linear(_norm(x, state, f"{at}.norm1", 1e-6), state, f"{at}.attn.qkv").split(64, dim=1)
        x = x + _linear((q @ k.T / 8).softmax(1) @ v, state, f"{at}.attn.proj")
        hidden = _gelu(_linear(_norm(x, state, f"{at}.norm2", 1e-6), state, f"{at}.mlp.fc1"))
        x = x + _linear(hidden, state, f"{at}.mlp.fc2")
    return _norm(x, state, f"{prefix}norm", 1e-6)


def _patches(x: Tensor, state: State, key: str, stride: int) -> Tensor:
    """[mels, frames] -> [mel patches, time patches, width], patch by patch."""
    weight, bias = state[f"{key}.weight"], state.get(f"{key}.bias", torch.zeros(()))
    rows = []
    for mel in range(0, x.shape[0] - 15, stride):
        times = range(0, x.shape[1] - 15, stride)
        row = [(weight[:, 0] * x[mel : mel + 16, time : time + 16]).sum((1, 2)) + bias for time in times]
        rows.append(torch.stack(row))
    return torch.stack(rows)


@torch.no_grad()
def test_cp_resnet_is_the_function_of_its_release():
    network = _built("cp_resnet")
    state, x = network.state_dict(), _input("cp_resnet")

    def block(x, key, padding, groups=1):
        y = F.conv2d(x, state[f"{key}.conv1.weight"], padding=padding[0], groups=groups)
        y = _batch_norm(y, state, f"{key}.bn1").relu()
        y = F.conv2d(y, state[f"{key}.conv2.weight"], padding=padding[1], groups=groups)
        y = _batch_norm(y, state, f"{key}.bn2")
        if f"{key}.shortcut.conv.weight" in state:
            x = F.conv2d(x, state[f"{key}.shortcut.conv.weight"], groups=groups)
            x = _batch_norm(x, state, f"{key}.shortcut.bn")
        return (x + y).relu()

    y = F.conv2d(x, state["in_c.0.weight"], stride=2, padding=1)
    assert y.shape[2:] == (127, 21)
    y = F.max_pool2d(_batch_norm(y, state, "in_c.1").relu(), 2)
    y = F.max_pool2d(block(y, "stage1.block1", (1, 0)), (2, 1))
    y = F.max_pool2d(block(y, "stage1.block2", (1, 1)), (2, 1))
    assert y.shape[2:] == (15, 10)
    y = block(block(y, "stage2.block1", (1, 1), groups=2), "stage3.block1", (1, 0))
    y = _batch_norm(F.conv2d(y, state["feed_forward.0.weight"]), state, "feed_forward.1")
    torch.testing.assert_close(network(x), y.mean((2, 3)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_ced_is_the_function_of_its_release(seconds):
    network = _built("ced")
    state, x = network.state_dict(), _input("ced", seconds)

    def logits(clip):
        clip = _batch_norm(clip[None, :, None], state, "init_bn.1")[0, :, 0]
        patches = _patches(clip, state, "patch_embed.proj", 16)
        assert patches.shape[:2] == (4, {1.0: 6, 10.0: 62}[seconds])
        patches = patches + state["time_pos_embed"][0, :, 0, : patches.shape[1]].T
        patches = patches + state["freq_pos_embed"][0, :, :, 0].T[:, None]
        mean = _transformer(patches.flatten(0, 1), state).mean(0)
        return _linear(_norm(mean, state, "outputlayer.0", 1e-5), state, "outputlayer.1")

    expected = torch.stack([logits(clip) for clip in x[:, 0]])
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_ced_averages_the_probabilities_of_parts():
    network, x = _built("ced", target_frames=64), torch.randn(1, 1, 64, 100)
    centred = network.init_bn(x.transpose(1, 2)).transpose(1, 2)
    parts = [centred[..., :64], F.pad(centred[..., 64:], (0, 28))]
    expected = torch.stack([network.logits_of_part(part).sigmoid() for part in parts]).mean(0)
    torch.testing.assert_close(network(x).sigmoid(), expected)


@torch.no_grad()
@pytest.mark.parametrize(("frames", "times"), [(100, 9), (998, 99), (1000, 99), (1100, 99)])
def test_passt_is_the_function_of_its_release(frames, times):
    network, x = _built("passt"), torch.randn(1, 1, 128, frames)
    state = network.state_dict()
    patches = _patches(x[0, 0], state, "patch_embed.proj", 10)[:, :times]
    assert patches.shape[:2] == (12, times)
    patches = patches + state["time_new_pos_embed"][0, :, 0, :times].T
    patches = (patches + state["freq_new_pos_embed"][0, :, :, 0].T[:, None]).flatten(0, 1)
    special = torch.cat([state["cls_token"][0], state["dist_token"][0]]) + state["new_pos_embed"][0]
    features = _transformer(torch.cat([special, patches]), state)[:2].mean(0)
    torch.testing.assert_close(network.embed(x)[0], features, rtol=1e-4, atol=1e-4)
    expected = _linear(_norm(features, state, "head.0", 1e-5), state, "head.1")
    torch.testing.assert_close(network(x)[0], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_ast_is_the_function_of_its_release():
    network, x = _built("ast"), torch.randn(1, 1, 128, 1024)
    state = network.state_dict()
    patches = _patches(x[0, 0], state, "v.patch_embed.proj", 10)
    assert patches.shape[:2] == (12, 101)
    special = torch.cat([state["v.cls_token"][0], state["v.dist_token"][0]])
    tokens = torch.cat([special, patches.flatten(0, 1)]) + state["v.pos_embed"][0]
    features = _transformer(tokens, state, "v.")[:2].mean(0)
    expected = _linear(_norm(features, state, "mlp_head.0", 1e-5), state, "mlp_head.1")
    torch.testing.assert_close(network(x)[0], expected, rtol=1e-4, atol=1e-4)


def test_positions_of_ast_are_cut_from_the_middle_or_interpolated():
    grid = torch.randn(1, 4, 12, 101)
    assert torch.equal(fit_positions(grid, 3, 12), grid[..., 44:56])
    assert torch.equal(fit_positions(grid, 3, 9), grid[..., 46:55])
    assert torch.equal(fit_positions(grid, 2, 5), grid[:, :, 4:9])
    assert torch.equal(
        fit_positions(grid, 3, 130), F.interpolate(grid, (12, 130), mode="bilinear", align_corners=False)
    )
    assert fit_positions(grid, 2, 14).shape == (1, 4, 14, 101)


def _bucket(distance: int, max_distance: int) -> int:
    size = abs(distance)
    far = 80 + math.trunc(math.log(size / 80) / math.log(max_distance / 80) * 80) if size >= 80 else size
    return min(far, 159) + 160 * (distance > 0)


@pytest.mark.parametrize("max_distance", [800, 1280])
def test_buckets_of_beats_are_exact_near_and_logarithmic_far(max_distance):
    distances = [-2000, -799, -300, -81, -80, -79, -1, 0, 1, 79, 80, 100, 495, 801]
    expected = [_bucket(d, max_distance) for d in distances]
    assert distance_buckets(torch.tensor(distances), 320, max_distance).tolist() == expected


@torch.no_grad()
@pytest.mark.parametrize("frames", [98, 998])
def test_beats_is_the_function_of_its_release(frames):
    network, x = _built("beats"), torch.randn(1, 1, 128, frames)
    state = network.state_dict()
    patches = _patches(x[0, 0].T, state, "patch_embedding", 16)  # times first
    assert patches.shape[:2] == (frames // 16, 8)
    tokens = _norm(patches.flatten(0, 1), state, "layer_norm", 1e-5)
    tokens = _linear(tokens, state, "post_extract_proj")
    v = state["encoder.pos_conv.0.weight_v"]
    weight = v / v.square().sum((0, 1)).sqrt() * state["encoder.pos_conv.0.weight_g"]
    conv = F.conv1d(tokens.T[None], weight, state["encoder.pos_conv.0.bias"], padding=64, groups=16)
    tokens = _norm(tokens + _gelu(conv[0, :, :-1].T), state, "encoder.layer_norm", 1e-5)
    count = len(tokens)
    buckets = torch.tensor([[_bucket(key - query, 800) for key in range(count)] for query in range(count)])
    table = state["encoder.layers.0.self_attn.relative_attention_bias.weight"][:, 0]
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        at, alpha = f"{layer}.self_attn", math.sqrt(2)  # (2 * 2 layers) ** 0.25
        q, k, v = (_linear(tokens, state, f"{at}.{part}_proj") for part in "qkv")
        gates = _linear(q, state, f"{at}.grep_linear").view(count, 2, 4).sum(2).sigmoid()
        gate = gates[:, 0] * (gates[:, 1] * state[f"{at}.grep_a"].item() - 1) + 2
        scores = q @ k.T / 8 + gate[:, None] * table[buckets]
        attended = _linear(scores.softmax(1) @ v, state, f"{at}.out_proj")
        tokens = _norm(alpha * tokens + attended, state, f"{layer}.self_attn_layer_norm", 1e-5)
        hidden = _linear(_gelu(_linear(tokens, state, f"{layer}.fc1")), state, f"{layer}.fc2")
        tokens = _norm(alpha * tokens + hidden, state, f"{layer}.final_layer_norm", 1e-5)
    expected = _linear(tokens, state, "predictor").mean(0)
    torch.testing.assert_close(network(x)[0], expected, rtol=1e-4, atol=1e-4)


def test_the_distance_bias_of_beats_is_one_for_all_layers():
    network = networks.build("beats", TINY["beats"])
    first, second = (layer.self_attn.relative_attention_bias.weight for layer in network.encoder.layers)
    assert first is second


def test_patchout_leaves_out_patches_in_training_alone():
    network = _built("passt", s_patchout_t=4, s_patchout_f=2, u_patchout=5)
    counts: list[int] = []
    network.blocks.register_forward_pre_hook(lambda _, inputs: counts.append(inputs[0].shape[1]))
    x = torch.randn(1, 1, 128, 100)
    network.train()(x)
    network.eval()(x)
    assert counts == [2 + (9 - 4) * (12 - 2) - 5, 2 + 9 * 12]


def test_the_teachers_of_dcase_2023_have_a_front_end_of_their_own():
    assert front_end_of("passt", {"n_classes": 10}) == "passt_mel_15500"
    assert front_end_of("passt", {"n_classes": 527}) == "passt_mel"
