"""CP-Mobile: names of the published checkpoints, configurations, arguments."""

from __future__ import annotations

import pytest
import torch

import complexity
from runtime.errors import ConfigError
from train import networks, students


def test_keys_are_those_of_the_published_checkpoints():
    keys = set(students.CPMobile().state_dict())
    expected = {
        "in_c.0.0.weight", "in_c.1.1.running_mean",
        "stages.s1.b1.block.0.0.weight", "stages.s1.b3.block.2.1.bias", "stages.s2.b4.block.1.0.weight",
        "stages.s2.b5.after_block_norm.gamma", "stages.s3.b6.after_block_norm.beta",
        "feed_forward.0.weight", "feed_forward.1.running_var",
    }  # fmt: skip
    assert expected <= keys
    assert {key.split(".")[0] for key in keys} == {"in_c", "stages", "feed_forward"}


def test_grn_equals_its_definition():
    grn = students.cp_mobile.GRN()
    torch.nn.init.constant_(grn.gamma, 0.7)
    torch.nn.init.constant_(grn.beta, -0.2)
    x = torch.randn(3, 8, 5, 4)
    norm = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
    expected = 0.7 * (x * (norm / (norm.mean(dim=1, keepdim=True) + 1e-6))) - 0.2 + x
    torch.testing.assert_close(grn(x), expected)


@pytest.mark.parametrize(
    "arguments", [{}, {"base_channels": 16, "grn": False}, {"n_blocks": [1], "n_classes": 3}]
)
def test_output_has_one_logit_per_class(arguments):
    network = networks.build("cp_mobile", arguments).eval()
    assert network(torch.randn(2, 1, 256, 64)).shape == (2, arguments.get("n_classes", 10))


@pytest.mark.parametrize(
    ("name", "arguments", "nearest"),
    [("cp_mobil", {}, "cp_mobile"), ("cp_mobile", {"base_chanels": 8}, "base_channels")],
)
def test_a_typo_names_the_nearest(name, arguments, nearest):
    with pytest.raises(ConfigError, match=f"did you mean '{nearest}'"):
        networks.build(name, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_channels": -8}, "base_channels is a whole number of 0 or more, not -8"),
        ({"base_channels": 7.5}, "base_channels is a whole number of 0 or more, not 7.5"),
        ({"base_channels": 0}, "at least one of base_channels"),
        ({"expansion_rate": float("nan")}, "expansion_rate is a finite number"),
        ({"channels_multiplier": -1.0}, "channels_multiplier and expansion_rate above 0"),
        ({"n_blocks": 3}, r"n_blocks lists .* \[3, 2, 1\], not 3"),
        ({"n_blocks": [3, 0]}, "n_blocks lists"),
        ({"strides": 3}, "strides is a table of blocks"),
        ({"strides": {"b9": [2, 2]}}, "a block 'b9': .*b1"),
        ({"strides": {"b1": 2}}, r"strides\.b1 is .*, not 2"),
        ({"strides": {"b1": [0, 1]}}, r"strides\.b1 is .* of 1 or more"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        networks.build("cp_mobile", arguments)


def test_the_2024_baseline_has_its_published_size():
    network = networks.build("baseline_2024", {})
    report = complexity.measure(network, (1, 1, 256, 65))
    assert (report.params, report.macs) == (61_148, 29_419_156)
    assert not any("norm.gamma" in key for key in network.state_dict())
    assert network.eval()(torch.randn(2, 1, 256, 65)).shape == (2, 10)
