"""Networks as strangers have them: counted, or refused in one sentence; never a torch error."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from complexity import measure  # noqa: E402
from runtime.errors import ConfigError  # noqa: E402


class Function(nn.Module):
    """Calls ``function(self, *inputs)``; further arguments become attributes."""

    def __init__(self, function, **attributes):
        super().__init__()
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def pruned():
    layer = nn.Conv2d(1, 8, 3)
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


class Rounded(nn.Module):
    """A parametrization with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, weight):
        return (weight / self.scale).round() * self.scale


def rounded():
    layer = nn.Conv2d(1, 8, 3)
    nn.utils.parametrize.register_parametrization(layer, "weight", Rounded())
    return layer


PARAMETRIZED = {
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 8, 3)),
    "weight_norm of old": lambda: nn.utils.weight_norm(nn.Conv2d(1, 8, 3)),
    "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 8, 3)),
    "spectral_norm of old": lambda: nn.utils.spectral_norm(nn.Conv2d(1, 8, 3)),
    "pruned": pruned,
    "rounded": rounded,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", PARAMETRIZED)
def test_a_parametrization_is_folded_into_its_weights(kind):
    network = nn.Sequential(PARAMETRIZED[kind](), nn.ReLU()).train()
    plain = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
    assert measure(network, (1, 1, 8, 8)).totals() == measure(plain, (1, 1, 8, 8)).totals()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", PARAMETRIZED)
def test_measuring_leaves_parametrizations_as_they_are(kind):
    network = PARAMETRIZED[kind]().eval()
    names, x = list(network.state_dict()), torch.randn(1, 1, 8, 8)
    before = network(x)
    measure(network, (1, 1, 8, 8))
    assert list(network.state_dict()) == names
    assert torch.equal(network(x), before)
    network(x).sum().backward()
    assert any(parameter.grad is not None for parameter in network.parameters())


def test_a_tensor_with_a_gradient_history_is_copied():
    layer = nn.Linear(8, 8)
    network = Function(lambda self, x: x * self.held[0], held=[layer.weight * 2])
    assert measure(network, (1, 8)).elementwise_ops == 64
    assert network.held[0].grad_fn is not None


def test_several_inputs_have_a_shape_each():
    network = Function(lambda self, x, state: self.layer(x) + state[0], layer=nn.Linear(8, 3))
    report = measure(network, [(1, 8), (2, 1, 3)])
    assert (report.macs_deployed, report.elementwise_ops) == (24, 3)
    assert report.peak_activation_bytes == 8 + 6 + 3
    with pytest.raises(ConfigError, match="1x8"):
        measure(network, (1, 8))


def test_a_complex_convolution_counts_real_products():
    report = measure(nn.Conv1d(2, 3, 3, bias=False, dtype=torch.complex64), (1, 2, 9))
    assert report.macs_deployed == 3 * (3 * 2 * 3 * 7)  # three real convolutions, as torch computes it
    inside = Function(
        lambda self, x: self.layer(torch.fft.fft(x)).abs(), layer=nn.Linear(8, 3, dtype=torch.complex64)
    )
    assert measure(inside, (1, 8)).macs_deployed == 4 * 24


def test_indices_are_an_input_too():
    assert measure(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3)), (1, 5)).macs_deployed == 5 * 12


def test_a_compiled_network_counts_as_the_one_it_wraps():
    network = nn.Linear(8, 3)
    assert measure(torch.compile(network), (1, 8)).totals() == measure(network, (1, 8)).totals()


@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(1, 8))])
@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_named(make):
    for network in (make(nn.Linear(8, 3)), nn.Sequential(make(nn.Linear(8, 3)))):
        with pytest.raises(ConfigError, match="TorchScript"):
            measure(network, (1, 8))


def test_a_program_of_torch_export_is_no_false_pass():
    program = torch.export.export(nn.Linear(8, 3), (torch.zeros(1, 8),))
    for network in (program, program.module()):
        with pytest.raises(ConfigError, match=r"ExportedProgram|torch\.export"):
            measure(network, (1, 8))


def fails(self, x):
    raise KeyError("mask")


@pytest.mark.parametrize(
    ("network", "shape", "facts"),
    [
        (nn.Linear(32, 4), (1, 1, 64, 64), "1x1x64x64.*64x64 and 32x4"),
        (nn.Conv2d(1, 8, 3), (1, 2, 8, 8), "1x2x8x8"),
        (Function(fails), (1, 8), "'mask'"),
        (Function(lambda self, x: x, lock=threading.Lock()), (1, 8), "lock"),
        (nn.Sequential(nn.LazyLinear(3)), (1, 8), "lazy"),
        (nn.Linear(8, 3).state_dict(), (1, 8), "OrderedDict"),
        (nn.Linear(8, 3), (), r"\(\)"),
        (nn.Linear(8, 3), (1, 0), r"\(1, 0\)"),
        (nn.Linear(8, 3), "1,8", "1,8"),
        (nn.Linear(8, 3), None, "None"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(network, shape, facts):
    with pytest.raises(ConfigError, match=facts):
        measure(network, shape)
