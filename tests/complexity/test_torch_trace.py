"""What a float network executes: agreement with its exported graph, and what torchinfo does not see."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from complexity import measure  # noqa: E402
from runtime.errors import ConfigError  # noqa: E402
from tests.complexity.closed_form import expect, layers  # noqa: E402
from tests.complexity.invariants import check_invariants  # noqa: E402
from train.students import Baseline2024, CPMobile  # noqa: E402


@settings(max_examples=30, deadline=None)
@given(layers=layers, channels=st.integers(1, 4), size=st.integers(4, 9), classes=st.integers(1, 4))
def test_random_networks_equal_a_closed_form(layers, channels, size, classes):
    expected = expect(layers, channels, size, classes)
    modules = []
    for layer, width in zip(layers, expected.channels, strict=True):
        window = {"kernel_size": layer["kernel"], "stride": layer["stride"], "padding": layer["kernel"] // 2}
        if layer["kind"] == "relu":
            modules.append(nn.ReLU())
        elif layer["kind"] == "pool":
            modules.append(nn.AvgPool2d(**window))
        else:
            out, groups = (width, width) if layer["kind"] == "depthwise" else (layer["out"], 1)
            modules.append(nn.Conv2d(width, out, bias=layer["bias"], groups=groups, **window))
    modules += [nn.Flatten(), nn.Linear(expected.features, classes, bias=False)]
    report = measure(nn.Sequential(*modules), (1, channels, size, size + 3))
    assert (report.macs_deployed, report.elementwise_ops) == (expected.macs, expected.elementwise)
    assert (report.params, report.macs) == (expected.params, expected.official)
    check_invariants(report)


def uncounted(report, kind):
    return sum(item.macs for item in report.uncounted if kind in item.kind)


def test_grn_is_what_the_rule_misses_in_cp_mobile():
    report = measure(CPMobile(), (1, 1, 256, 64))
    # every GRN squares and scales all elements, and divides and scales once a channel
    sizes = [(32, 64, 16), (32, 32, 8), (32, 32, 8), (72, 16, 8), (72, 16, 8), (168, 16, 8)]
    expected = sum(2 * channels * mels * frames + 2 * channels for channels, mels, frames in sizes)
    assert uncounted(report, "GRN") == expected == sum(item.macs for item in report.uncounted)
    assert len(report.uncounted) == 6
    assert not measure(CPMobile(grn=False), (1, 1, 256, 64)).uncounted


def test_a_transformers_attention_is_deployed_and_uncounted():
    blocks, steps, width, inner = 12, 20, 32, 64
    layer = nn.TransformerEncoderLayer(width, 4, inner, batch_first=True)
    report = measure(nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False), (1, steps, width))
    attention = 2 * steps * steps * width
    weights = steps * (4 * width * width + 2 * width * inner)
    assert report.macs_deployed == blocks * (attention + weights)
    assert uncounted(report, "products of activations") == blocks * attention
    # a linear layer over time steps counts once in torchinfo, whatever the number of steps
    assert report.macs < report.macs_deployed


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.LSTM(6, 4, batch_first=True), (1, 5, 6), 5 * 16 * 10),
        (nn.GRU(6, 4, batch_first=True), (1, 5, 6), 5 * 12 * 10),
        (nn.ConvTranspose1d(3, 4, 2), (1, 3, 6), 3 * 6 * 4 * 2),
    ],
)
def test_layers_beyond_convolutions(network, shape, expected):
    assert measure(network, shape).macs_deployed == expected


class Functional(nn.Module):
    """Products and multiplications that no module stands for."""

    def forward(self, x):
        return torch.matmul(x, x.transpose(1, 2)) * 2


def test_functional_products_are_deployed_and_uncounted():
    report = measure(Functional(), (1, 5, 7))
    assert (report.params, report.macs, report.macs_deployed) == (0, 0, 5 * 5 * 7)
    assert [item.macs for item in report.uncounted] == [5 * 5 * 7, 5 * 5]
    assert report.elementwise_ops == 25


def test_batch_norm_folds_only_behind_a_layer_that_can_take_it():
    folded = measure(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), (1, 1, 4, 4))
    alone = measure(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(1)), (1, 1, 4, 4))
    assert folded.elementwise_ops == 0
    assert alone.elementwise_ops == 16 + 2 * 16
    assert not folded.uncounted
    assert uncounted(alone, "BatchNorm2d") == 16 - 2


def test_instance_norm_never_folds():
    report = measure(nn.Sequential(nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2)), (1, 1, 4, 4))
    assert report.elementwise_ops == 7 * 2 * 16
    assert uncounted(report, "InstanceNorm2d") == 3 * 2 * 16


def test_tied_weights_are_stored_once():
    first, second = nn.Conv1d(3, 3, 1, bias=False), nn.Conv1d(3, 3, 1, bias=False)
    second.weight = first.weight
    assert measure(nn.Sequential(first, second), (1, 3, 8)).param_bytes_deployed == 9
    assert measure(nn.Sequential(first, first), (1, 3, 8)).param_bytes_deployed == 9


def test_the_2024_baseline_peaks_above_its_own_parameter_limit():
    baseline = Baseline2024()
    report = measure(baseline, (1, 1, 256, 65))
    assert report.peak_activation_bytes == 64 * 17 * (64 + 64 + 32) == 174_080
    assert report.peak.node == "stages.s1.b1.block.1.0"
    assert measure(baseline, (1, 1, 256, 65), stored_dtype="float32").peak_activation_bytes == 4 * 174_080


def test_indices_that_only_training_reads_take_no_memory():
    report = measure(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), (1, 1, 8, 8))
    assert report.peak_activation_bytes == 64 + 64  # the input is not ours to write over
    assert report.layers[-1].live_bytes == 64 + 16


def test_batch_does_not_matter():
    network = CPMobile(base_channels=16)
    assert measure(network, (1, 1, 64, 32)).totals() == measure(network, (7, 1, 64, 32)).totals()


def test_an_unknown_operator_is_named():
    class Strange(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x)

    with pytest.raises(ConfigError, match="svd"):
        measure(Strange(), (1, 8, 8))


class Spectrum(nn.Module):
    """The power spectrum of frames of 64 samples, computed by functions."""

    def forward(self, x):
        return torch.stft(x, 64, 32, window=torch.hann_window(64), return_complex=True).abs()


def test_a_functional_spectrum_is_uncounted():
    report = measure(Spectrum(), (1, 640))
    frames, bins = 21, 33
    multiplications = frames * (64 + 64 * 6 + bins * 2)  # window, real FFT of n log2(n), two squares a bin
    assert (report.macs, uncounted(report, "Spectrum")) == (0, multiplications)


class OwnWeightNorm(nn.Module):
    """A weight that ``forward`` computes from parameters, without torch's parametrizations."""

    def __init__(self):
        super().__init__()
        self.direction, self.length = nn.Parameter(torch.ones(8, 6)), nn.Parameter(torch.ones(8, 1))
        self.register_buffer("basis", torch.ones(6, 6))

    def forward(self, x):
        weight = self.length * self.direction / self.direction.norm(dim=1, keepdim=True)
        return x @ (weight @ self.basis).T


def test_what_reads_only_parameters_and_buffers_is_folded():
    report = measure(OwnWeightNorm(), (1, 6))
    assert (report.macs_deployed, report.elementwise_ops) == (8 * 6, 0)
    assert report.param_bytes_deployed == 8 * 6 + 8


class FrozenFilters(nn.Module):
    """8 filters of 64 samples, as a buffer or as parameters, and a batch norm, which has buffers too."""

    def __init__(self, *, learned):
        super().__init__()
        if learned:
            self.filters = nn.Parameter(torch.ones(8, 1, 64))
        else:
            self.register_buffer("filters", torch.ones(8, 1, 64))
        self.norm, self.out = nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.norm(nn.functional.conv1d(x, self.filters)).mean(2))


def test_weights_in_buffers_are_outside_the_rule_but_stored_and_named():
    frozen, learned = (measure(FrozenFilters(learned=value), (1, 1, 640)) for value in (False, True))
    assert frozen.params == learned.params - 512 == 16 + 27
    assert frozen.param_bytes_deployed == learned.param_bytes_deployed == 512 + 43
    assert "leaves out 512 elements of buffers" in frozen.official
    assert "buffer" not in learned.official
    check_invariants(frozen)


class ComplexProduct(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.out = nn.Parameter(torch.ones(6, 4, dtype=torch.complex64)), nn.Linear(4, 3)

    def forward(self, x):
        return self.out((torch.complex(x, x) @ self.weight).abs())


@pytest.mark.parametrize(
    ("network", "shape", "params"),
    [
        (nn.Conv1d(2, 3, 3, bias=False, dtype=torch.complex64), (1, 2, 9), 2 * 18),
        (ComplexProduct(), (1, 6), 2 * 24 + 15),
    ],
)
def test_a_complex_parameter_is_two_numbers(network, shape, params):
    report = measure(network, shape, stored_dtype="float32")
    assert (report.params, report.param_bytes, report.param_bytes_deployed) == (
        params,
        4 * params,
        4 * params,
    )
    check_invariants(report)


def test_measuring_leaves_no_hook_and_no_change():
    network = CPMobile(base_channels=16)
    before = copy.deepcopy(network.state_dict())
    fast = torch.backends.mha.get_fastpath_enabled()
    measure(network, (1, 1, 64, 32))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled() == fast
