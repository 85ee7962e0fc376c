"""What the speed benchmark measures besides the model that it is given."""

from __future__ import annotations

import pytest
import torch

from benchmarks.int8_speed import compare, without_grn
from runtime.errors import TinysceneError
from train.checkpoints.model_pt import Checkpoint


def test_network_without_grn_has_the_same_weights_and_its_own_statistics(checkpoint: Checkpoint) -> None:
    other = without_grn(checkpoint)
    missing = set(checkpoint.state_dict) - set(other.state_dict)
    assert missing and all(".after_block_norm." in name for name in missing)
    for name, tensor in other.state_dict.items():
        if name.endswith("weight"):
            assert torch.equal(tensor, checkpoint.state_dict[name])
    statistics = "stages.s2.b4.block.0.1.running_mean"
    assert not torch.allclose(other.state_dict[statistics], checkpoint.state_dict[statistics], rtol=1e-3)
    other.build()
    with pytest.raises(TinysceneError, match="leave out --without-grn"):
        without_grn(other)


def test_each_row_is_measured_on_its_own_file(checkpoint: Checkpoint) -> None:
    (row,) = compare([checkpoint], rounds=3)["rows"]
    operators = row["microseconds_by_operator"]
    assert "QLinearConv" in operators["int8"] and "QLinearConv" not in operators["fp32"]
    assert row["ratio_of_medians"] == row["int8"]["median_ms"] / row["fp32"]["median_ms"] > 0
