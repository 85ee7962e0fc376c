"""TF-SepNet and BC-ResNet: published counts and keys, and the function that their papers describe."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import complexity
from runtime.errors import ConfigError
from runtime.spec import PRESETS
from train import networks
from train.students.bc_resnet import BroadcastBlock
from train.students.easy_dcase import ResNorm
from train.students.tf_sepnet import SeparableBlock

TINY = {"tf_sepnet": {"base_channels": 8}, "bc_resnet": {"base_channels": 8}}


@pytest.mark.parametrize(
    ("student", "arguments", "shape", "params", "macs"),
    [
        ("tf_sepnet", {}, (1, 1, 512, 64), 126_858, 29_419_648),
        ("tf_sepnet", {"depth": 16}, (1, 1, 512, 64), 126_858, 32_024_128),
        ("tf_sepnet", {"base_channels": 40, "depth": 16}, (1, 1, 512, 64), 52_290, 13_985_080),
        ("bc_resnet", {}, (1, 1, 256, 64), 81_770, 29_584_800),
    ],
)
def test_counts_are_the_published_ones(student, arguments, shape, params, macs):
    report = complexity.measure(networks.build(student, arguments).eval(), shape)
    assert (report.params, report.macs) == (params, macs)


@pytest.mark.parametrize(
    ("student", "arguments", "expected"),
    [
        ("tf_sepnet", {}, {
            "conv_layers.0._conv.weight": [32, 1, 3, 3],
            "conv_layers.1._conv.weight": [128, 1, 3, 3],
            "conv_layers.1._bn.running_var": [128],
            "middle_layers.1.trans_conv._conv.weight": [64, 128, 1, 1],
            "middle_layers.1.freq_dw_conv._conv.weight": [32, 1, 3, 1],
            "middle_layers.2.temp_dw_conv._conv.weight": [32, 1, 1, 3],
            "middle_layers.15.freq_pw_conv._bn.bias": [80],
            "classifier.conv.weight": [10, 160, 1, 1],
            "classifier.conv.bias": [10],
        }),
        ("tf_sepnet", {"depth": 16}, {"middle_layers.12.temp_pw_conv._conv.weight": [80, 80, 1, 1]}),
        ("bc_resnet", {}, {
            "conv_layers.weight": [80, 1, 5, 5],
            "middle_layers.1.trans_conv._conv.weight": [40, 80, 1, 1],
            "middle_layers.1.freq_dw_conv.weight": [40, 1, 3, 1],
            "middle_layers.2.ssn._bn.running_mean": [40],
            "middle_layers.14.temp_dw_conv._conv.weight": [100, 1, 1, 3],
            "middle_layers.14.temp_dw_conv._bn.weight": [100],
            "middle_layers.14.pw_conv.weight": [100, 100, 1, 1],
            "classifier.conv.bias": [10],
        }),
    ],
)  # fmt: skip
def test_keys_are_those_of_the_published_checkpoints(student, arguments, expected):
    state = networks.build(student, arguments).state_dict()
    assert {key: list(state[key].shape) for key in expected} == expected
    assert not any(".dropout" in key or "swish" in key for key in state)


@pytest.mark.parametrize("student", TINY)
@pytest.mark.parametrize("frontend", ["cp_mel", "cp_mel_512", "baseline_mel"])
def test_output_has_one_logit_per_class(student, frontend):
    spec = PRESETS[frontend]
    log_mel = torch.randn(2, 1, spec.n_mels, spec.frames(spec.sample_rate))
    network = networks.build(student, {**TINY[student], "n_classes": 3}).eval()
    assert network(log_mel).shape == (2, 3)
    torch.testing.assert_close(network(log_mel)[:1], network(log_mel[:1]))


@pytest.mark.parametrize("student", TINY)
def test_arguments_follow_from_the_shapes(student):
    arguments = {"n_classes": 7, "base_channels": 16}
    state = networks.build(student, arguments).state_dict()
    found = networks.NETWORKS[student].infer_arguments({k: tuple(v.shape) for k, v in state.items()})
    assert found.items() >= arguments.items()
    others = [name for name in networks.NETWORKS if name != student]
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert all(networks.NETWORKS[name].infer_arguments(shapes) is None for name in others)


def test_residual_normalization_is_per_example_and_mel_band():
    x = torch.randn(2, 4, 5, 6)
    expected = torch.empty_like(x)
    for example in range(2):
        for mel in range(5):
            band = x[example, :, mel]
            expected[example, :, mel] = 0.1 * band + (band - band.mean()) / (band.var() + 1e-5).sqrt()
    torch.testing.assert_close(ResNorm()(x), expected)


def test_a_separable_block_convolves_interleaved_halves():
    torch.manual_seed(0)
    block = SeparableBlock(8, 8, dropout=0.1).eval()
    x = torch.randn(2, 8, 6, 5)
    shuffled = x[:, [0, 4, 1, 5, 2, 6, 3, 7]]
    mels, frames = shuffled[:, :4], shuffled[:, 4:]
    along = F.relu(
        block.freq_dw_conv._bn(F.conv2d(mels, block.freq_dw_conv._conv.weight, padding=(1, 0), groups=4))
    )
    mels = mels + block.freq_pw_conv(along.mean(2, keepdim=True))
    along = F.relu(
        block.temp_dw_conv._bn(F.conv2d(frames, block.temp_dw_conv._conv.weight, padding=(0, 1), groups=4))
    )
    frames = frames + block.temp_pw_conv(along.mean(3, keepdim=True))
    torch.testing.assert_close(block(x), torch.cat([mels, frames], dim=1))


@pytest.mark.parametrize("in_channels", [8, 12])
def test_a_broadcast_block_has_an_identity_where_widths_agree(in_channels):
    torch.manual_seed(0)
    block = BroadcastBlock(in_channels, 8, dropout=0.1).eval()
    torch.nn.init.zeros_(block.pw_conv.weight)
    x = torch.randn(2, in_channels, 6, 5)
    inner = x if in_channels == 8 else block.trans_conv(x)
    expected = block.ssn(block.freq_dw_conv(inner)) + (x if in_channels == 8 else 0)
    torch.testing.assert_close(block(x), expected.relu())


@pytest.mark.parametrize(
    ("student", "arguments"),
    [("tf_sepnet", {"depth": 15}), ("tf_sepnet", {"base_channels": 42}), ("bc_resnet", {"base_channels": 7})],
)
def test_sizes_that_cannot_be_built_are_named(student, arguments):
    with pytest.raises(ConfigError, match=str(next(iter(arguments.values())))):
        networks.build(student, arguments)
