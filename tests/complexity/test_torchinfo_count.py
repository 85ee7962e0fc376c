"""The official count, pinned to published counts and to torchinfo itself."""

from __future__ import annotations

import pytest

from complexity import Budget, OverBudgetError, check, measure
from complexity.front_end import front_end_macs
from runtime.audio.mel_filter_bank import mel_filter_bank
from runtime.spec import FrontEndSpec

torch = pytest.importorskip("torch")
torchinfo = pytest.importorskip("torchinfo")

from torch import nn  # noqa: E402

from train.students import Baseline2024, CPMobile  # noqa: E402


@pytest.mark.parametrize(
    ("student", "frames", "params", "macs"),
    [
        (Baseline2024, 65, 61_148, 29_419_156),
        (CPMobile, 64, 126_952, 28_893_268),
        (CPMobile, 65, 126_952, 31_684_180),
    ],
)
def test_published_counts_come_out_exactly(student, frames, params, macs):
    report = measure(student(), (1, 1, 256, frames))
    assert (report.params, report.macs) == (params, macs)
    assert (report.param_bytes, report.headroom["macs"]) == (params, 30_000_000 - macs)


def test_the_published_layer_comes_out_exactly():
    layers = measure(Baseline2024(), (1, 1, 256, 65)).layers
    block = [layer for layer in layers if layer.name.startswith("stages.s1.b3.block.1.")]
    assert (sum(layer.params for layer in block), sum(layer.macs for layer in block)) == (704, 331_904)


def test_nessi_itself_agrees():
    nessi = pytest.importorskip("nessi", reason="NeSsi is not installed (it is not on PyPI)")
    report = measure(CPMobile(), (1, 1, 256, 64))
    assert nessi.get_torch_size(CPMobile(), (1, 1, 256, 64)) == (report.macs, report.params)


class TwoPaths(nn.Module):
    """A convolution used twice, parameters outside any leaf, a linear layer over time steps."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(4, 1))
        self.linear = nn.Linear(16, 5)
        self.gru = nn.GRU(16, 3, batch_first=True)

    def forward(self, x):
        x = self.conv(self.conv(x)) * self.scale
        return self.linear(x).sum((1, 2)) + self.gru(x)[0].sum((1, 2))


@pytest.mark.parametrize("network", [TwoPaths(), CPMobile(base_channels=16)])
def test_layers_sum_to_torchinfos_totals_at_any_batch(network):
    shape = (1, 4, 16) if isinstance(network, TwoPaths) else (1, 1, 64, 32)
    oracle = torchinfo.summary(network, shape, verbose=0)
    for batch in (1, 3):
        report = measure(network, (batch, *shape[1:]))
        assert (report.params, report.macs) == (oracle.total_params, oracle.total_mult_adds)
        assert sum(layer.params for layer in report.layers) == report.params
        assert sum(layer.macs for layer in report.layers) == report.macs


def test_measuring_disturbs_neither_training_flags_nor_the_seed():
    network = CPMobile(base_channels=16).train()
    network.in_c.eval()
    flags = [module.training for module in network.modules()]
    before = torch.get_rng_state()
    measure(network, (1, 1, 64, 32))
    assert [module.training for module in network.modules()] == flags
    assert torch.equal(torch.get_rng_state(), before)


def test_over_the_limits_says_by_how_much():
    report = measure(CPMobile(), (1, 1, 256, 65), stored_dtype="float16")
    assert not report.within
    assert "253,904 parameter bytes are 125,904 (98.4%) over" in report.excess()
    assert "31,684,180 MACs are 1,684,180 (5.6%) over" in report.excess()
    with pytest.raises(OverBudgetError, match="1,684,180"):
        check(report)
    check(measure(CPMobile(), (1, 1, 256, 64)))


@pytest.mark.parametrize(
    ("rules", "stored_dtype", "within"),
    [
        ("dcase2022", "int8", True),
        ("dcase2022", "float16", False),
        ("dcase2023", "int8", True),
        ("dcase2024", "int8", True),
        ("dcase2024", "float32", False),
        ("dcase2025", "int8", True),
    ],
)
def test_rules_count_bytes_of_the_stored_type(rules, stored_dtype, within):
    report = measure(CPMobile(), (1, 1, 256, 64), stored_dtype=stored_dtype, budget=Budget.named(rules))
    assert report.within is within


def test_own_limits():
    report = measure(CPMobile(), (1, 1, 256, 64), budget=Budget.custom(max_params=126_952))
    assert report.within
    assert report.headroom == {"params": 0}
    assert not measure(CPMobile(), (1, 1, 256, 64), budget=Budget.custom(max_params=126_951)).within


def test_front_end_macs_follow_the_formula():
    report = measure(CPMobile(), (1, 1, 256, 64), frontend=FrontEndSpec.preset("cp_mel"))
    mel_entries = 3940  # of 256 x 2049
    assert report.front_end_macs == 64 * (500 + 3072 + 4096 * 12 + 2 * 2049 + mel_entries + 256)


def test_the_pre_emphasis_of_kaldis_framing_filters_every_frame_by_itself():
    spec = FrontEndSpec.preset("beats_fbank")
    assert (spec.win_length, spec.hop_length, spec.n_fft, spec.n_mels) == (400, 160, 512, 128)
    entries = int((mel_filter_bank(spec) != 0).sum())
    assert front_end_macs(spec, 1) == 400 + 400 + 512 * 9 + 2 * 257 + entries + 128
