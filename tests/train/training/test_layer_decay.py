"""Layer-wise learning rates: every trained parameter is in one group, and rates fall towards the input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from runtime.errors import ConfigError
from tests.train.teachers.tiny import TINY
from train import networks
from train.teachers import TEACHERS
from train.training.layer_decay import parameter_groups

# of the miniatures: blocks, or stages; the head is one more, and what comes before them another one
LAYERS = {"ast": 2, "beats": 2, "ced": 2, "passt": 2, "mobilenet": 17, "cp_resnet": 4, "narrow_resnet": 5}
LAST = {
    "ast": ("mlp_head.1.weight", "v.norm.weight"), "beats": ("predictor.weight",),
    "ced": ("outputlayer.1.weight", "norm.weight"), "passt": ("head.1.weight", "norm.weight"),
    "mobilenet": ("classifier.5.weight",), "cp_resnet": ("feed_forward.0.weight",),
    "narrow_resnet": ("feed_forward.0.weight",),
}  # fmt: skip
FIRST = {
    "ast": ("v.pos_embed", "v.patch_embed.proj.weight"), "ced": ("time_pos_embed", "init_bn.1.weight"),
    "beats": ("patch_embedding.weight", "encoder.pos_conv.0.bias", "encoder.layer_norm.weight"),
    "passt": ("cls_token", "new_pos_embed", "patch_embed.proj.bias"), "cp_resnet": ("in_c.0.weight",),
    "narrow_resnet": ("stem.0.weight",),
}  # fmt: skip


def _rates(network: nn.Module, decay: float) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, 1.0, decay)
    found = [(names[id(p)], group["lr"]) for group in groups for p in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_teacher_lists_its_layers():
    assert set(LAYERS) == set(TINY) == set(TEACHERS)


@pytest.mark.parametrize("name", LAYERS)
def test_rates_fall_from_the_head_to_the_input(name):
    network, count = networks.build(name, TINY[name]), LAYERS[name]
    rates = _rates(network, 0.5)
    assert rates.keys() == dict(network.named_parameters()).keys()
    steps = (
        count if name == "mobilenet" else count + 1
    )  # all that is before its head is a child of `features`
    assert sorted(set(rates.values())) == [0.5**k for k in range(steps, -1, -1)]
    assert all(rates[key] == 1.0 for key in LAST[name])
    assert all(rates[key] == 0.5**steps for key in FIRST.get(name, ("features.0.0.weight",)))


def test_blocks_differ_by_one_step():
    rates = _rates(networks.build("ced", {"dim": 64, "depth": 3}), 0.75)
    assert [rates[f"blocks.{k}.attn.qkv.weight"] for k in range(3)] == pytest.approx([0.75**3, 0.75**2, 0.75])


def test_a_frozen_encoder_leaves_the_head_alone():
    network = networks.build("beats", TINY["beats"])
    network.encoder.requires_grad_(False)
    assert set(_rates(network, 0.5).values()) == {1.0, 0.125}  # the head, and what comes before the encoder


def test_a_decay_of_one_is_one_group():
    network = networks.build("cp_mobile", {"n_blocks": [1]})
    (group,) = parameter_groups(network, 0.1, 1.0)
    assert len(group["params"]) == len(list(network.parameters())) and group["lr"] == 0.1


def test_the_schedule_scales_every_group():
    groups = parameter_groups(networks.build("ced", TINY["ced"]), 1.0, 0.5)
    optimizer = torch.optim.AdamW(groups, 1.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0125, 0.025, 0.05, 0.1])


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.5, float("nan")])
def test_a_decay_out_of_range_is_named(decay):
    with pytest.raises(ConfigError, match="layer_decay"):
        parameter_groups(networks.build("ced", TINY["ced"]), 1.0, decay)


def test_a_network_without_layers_is_named():
    with pytest.raises(ConfigError, match="CPMobile lists no layers"):
        parameter_groups(networks.build("cp_mobile", {}), 1.0, 0.75)
