"""Token merging: off it changes no bit, on it merges what it says."""

from __future__ import annotations

import copy

import pytest
import torch

from runtime.errors import ConfigError
from tests.train.teachers.tiny import TINY
from train import networks
from train.teachers.token_merging import match, merge, merge_schedule
from train.teachers.vit import Block, merge_tokens

SHAPES = {"ast": (2, 1, 128, 228), "passt": (2, 1, 128, 228), "ced": (2, 1, 64, 500)}


def _built(name: str, **arguments) -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.build(name, {**TINY[name], "depth": 4, "n_classes": 3, **arguments}).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_r_of_zero_is_the_unpatched_network_to_the_bit(name):
    network, x = _built(name), torch.randn(SHAPES[name])

    def plain(blocks, inputs, output):  # the blocks one by one, which have no merging
        tokens = inputs[0]
        for block in blocks:
            tokens = Block.forward(block, tokens)
        return tokens

    unpatched = copy.deepcopy(network)
    blocks = next(part for part in unpatched.modules() if type(part).__name__ == "Blocks")
    blocks.register_forward_hook(plain)
    expected = unpatched(x)
    assert torch.equal(network(x), expected)
    merge_tokens(network, 8)
    assert not torch.equal(network(x), expected)
    merge_tokens(network, 0)
    assert torch.equal(network(x), expected)


@pytest.mark.parametrize(
    ("r", "inflect", "expected"),
    [
        (8, 0.0, [8] * 12),
        (8, -1.0, [16, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1, 0]),
        (0, -1.0, [0] * 12),
    ],
)
def test_schedules(r, inflect, expected):
    assert list(merge_schedule(r, inflect, 12)) == expected


@pytest.mark.parametrize(("r", "inflect"), [(-1, 0.0), (8, 1.5)])
def test_schedules_that_make_no_sense(r, inflect):
    with pytest.raises(ConfigError, match=str(inflect)):
        merge_schedule(r, inflect, 12)


@pytest.mark.parametrize(("r", "remaining"), [(40, 1214 - 12 * 40), (104, 45)])
def test_tokens_that_remain_of_ten_seconds(r, remaining):
    tokens = 1214
    for _ in range(12):
        keys = torch.randn(1, 1, tokens, 4)
        matching = match(keys, r, protected=2)
        if matching is not None:
            tokens = merge(torch.randn(1, tokens, 1), None, matching)[0].shape[1]
    assert tokens == remaining


def test_the_most_similar_pair_becomes_its_mean():
    keys = torch.eye(6)[None, None]
    keys[0, 0, 4] = 0.9 * keys[0, 0, 1] + 0.1 * keys[0, 0, 3]  # token 4 is like token 1
    x = torch.arange(6.0)[None, :, None]
    matching = match(keys, 1, protected=0)
    merged, size = merge(x, None, matching)
    assert sorted(merged.flatten().tolist()) == [0.0, 2.0, 2.5, 3.0, 5.0]
    assert merged[0, 2:, 0].tolist() == [2.5, 3.0, 5.0]  # odd tokens in their order
    again, sizes = merge(merged, size, match(torch.ones(1, 1, 5, 2), 1, protected=0))
    assert sizes.sum() == 6
    torch.testing.assert_close((again * sizes).sum(), torch.tensor(15.0))


def test_class_and_distillation_token_are_protected():
    x = torch.arange(20.0)[None, :, None]
    merged, _ = merge(x, None, match(torch.ones(1, 3, 20, 8), 30, protected=2))
    assert merged.shape[1] == 20 - 9 and merged[0, :2, 0].tolist() == [0.0, 1.0]


def test_networks_without_tokens_are_named():
    with pytest.raises(ConfigError, match="CPResNet"):
        merge_tokens(networks.build("cp_resnet", TINY["cp_resnet"]), 4)


@torch.no_grad()
def test_merging_is_an_argument_and_attention_counts_patches():
    x = torch.randn(SHAPES["ced"])
    proportional = _built("ced", merge_r=10, merge_inflect=-1.0)
    network = _built("ced")
    assert not torch.equal(network(x), proportional(x))
    merge_tokens(network, 10, -1.0)
    assert torch.equal(network(x), proportional(x))
    merge_tokens(network, 10, -1.0, proportional=False)
    assert not torch.equal(network(x), proportional(x))


@torch.no_grad()
def test_a_merged_token_counts_as_often_as_its_copies():
    blocks = _built("ced", depth=2).blocks
    tokens = torch.randn(1, 6, 64).repeat_interleave(2, dim=1)  # each even token equals its odd neighbour
    expected = blocks(tokens)[:, ::2]
    blocks.merge(3, -1.0)  # all six pairs in the first block, none in the second
    torch.testing.assert_close(blocks(tokens), expected, rtol=1e-4, atol=1e-4)
    blocks.merge(3, -1.0, proportional=False)  # every token twice, or every token once: the same attention
    torch.testing.assert_close(blocks(tokens), expected, rtol=1e-4, atol=1e-4)
