"""Quantization-aware training: what moves in which phase, and what a saved state says about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from runtime.errors import ModelFileError
from tests.small_students import SHAPE
from tests.train.quantization.conftest import Windows
from train.checkpoints.model_pt import Checkpoint
from train.distillation.losses import soft_cross_entropy
from train.quantization.choose_ranges import quantize_as_trained
from train.quantization.ptq import Calibration, calibrate
from train.quantization.qat.freeze import freeze
from train.quantization.qat.network import QatNetwork
from train.quantization.qat.phases import QatPhase, phase_of_epoch
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.sensitivity import sqnr_db


def _trained(checkpoint: Checkpoint, student: nn.Module, network: QatNetwork) -> Checkpoint:
    weights = {**student.state_dict(), **network.rounded_weights()}
    return replace(checkpoint, state_dict=weights, quantization=network.learned())


def _state(network: QatNetwork) -> dict[str, object]:
    return {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in network.state_dict().items()
    }


@pytest.mark.parametrize(
    ("epochs", "share", "frozen"),
    [(8, 1.0, range(8)), (3, 0.3, [2]), (24, 1 / 6, range(20, 24)), (4, 0.01, [3])],
)
def test_the_last_part_is_frozen_and_at_least_one_epoch(epochs: int, share: float, frozen: range) -> None:
    phases = [phase_of_epoch(epoch, epochs, share) for epoch in range(epochs)]
    assert [epoch for epoch, phase in enumerate(phases) if phase is QatPhase.FROZEN] == list(frozen)


def test_ranges_follow_batches_only_while_observing(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    network = QatNetwork(checkpoint.build(), SHAPE, PORTABLE)
    network.observe(checkpoint.calibration)

    def moves() -> bool:
        before = network.learned()["ranges"]
        network(5 * windows(24, 3)[0])
        return bool(network.learned()["ranges"] != before)

    assert network.train() is network and moves()
    network.eval()
    assert not moves()
    freeze(network, calibration)
    network.train()
    assert not moves()


def test_training_brings_int8_nearer_to_the_float_network(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    """Weights of three bits, so that there is an error to reduce; measured on other windows."""
    scheme, x = Scheme((-3, 3)), windows(120, 5000)[0]
    network, student = checkpoint.build(), checkpoint.build()
    qat_network = QatNetwork(student, checkpoint.input_shape, scheme)
    freeze(qat_network, calibration)
    qat_network.train()
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)
    for step in range(40):
        view = windows(24, 2000 + step)[0]
        optimizer.zero_grad()
        soft_cross_entropy(qat_network(view), network(view).detach().softmax(1)).backward()
        with qat_network.fixed_norm_scales():
            optimizer.step()
    trained = quantize_as_trained(_trained(checkpoint, student, qat_network))
    with torch.no_grad():
        expected = network(x).softmax(1)
        of_ptq = soft_cross_entropy(calibration.int8_model(network, "percentile", scheme)(x), expected)
        assert soft_cross_entropy(trained.network(x), expected) < of_ptq / 2


def test_a_statistic_that_is_rounded_to_zero_has_a_finite_gradient(
    checkpoint: Checkpoint, windows: Windows
) -> None:
    """GRN takes the root of a mean of squares, which fake quantization rounds to zero in quiet channels."""
    student = checkpoint.build()
    network = QatNetwork(student, SHAPE, PORTABLE)
    network.observe(checkpoint.calibration)
    statistics = [value for name, value in network.values.items() if name.endswith(":mean")]
    assert statistics
    for statistic in statistics:
        statistic.set_range((0.0, 1e6))  # every statistic is less than half a step
    network.eval()
    network(windows(8, 1)[0]).sum().backward()
    gradients = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_what_is_trained_is_what_is_exported(shuffle_net: Checkpoint) -> None:
    student, x = shuffle_net.build(), shuffle_net.calibration.float()
    network = QatNetwork(student, shuffle_net.input_shape, PORTABLE)
    network.observe(x)
    network.train()
    nn.functional.cross_entropy(network(x), shuffle_net.calibration_targets).backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    freeze(network, calibrate(student, x))
    network.eval()
    int8_model = quantize_as_trained(_trained(shuffle_net, student, network)).network
    with torch.no_grad():
        assert sqnr_db(network(x), int8_model(x)) > 30


def test_frozen_training_starts_from_the_integers_of_ptq_and_keeps_the_scales(
    shuffle_net: Checkpoint,
) -> None:
    student, x = shuffle_net.build(), shuffle_net.calibration.float()
    network = QatNetwork(student, shuffle_net.input_shape, PORTABLE)
    network.observe(x)
    reference = shuffle_net.build()
    calibration = calibrate(reference, x)
    freeze(network, calibration)
    network.train()
    with torch.no_grad():
        of_ptq = calibration.int8_model(reference, "percentile", PORTABLE)(x)
        assert sqnr_db(of_ptq, network(x)) > 30  # biases are integers in one and not in the other
    optimizer = torch.optim.Adam((p for p in student.parameters() if p.requires_grad), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), shuffle_net.calibration_targets).backward()
        optimizer.step()
    trained = _trained(shuffle_net, student, network)
    int8_model = quantize_as_trained(trained).network
    with torch.no_grad():
        assert sqnr_db(network(x), of_ptq) < sqnr_db(network(x), int8_model(x)) > 30
    # a weight that is a multiple of its scale already is not rounded again
    again = QatNetwork(trained.build(), shuffle_net.input_shape, PORTABLE)
    again(x)
    scales = trained.quantization["scales"]
    for layer in again.layers:
        folded = layer.fake.folded
        integers = folded / torch.tensor(scales[layer.fake.name]).reshape(-1, *[1] * (folded.ndim - 1))
        torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-3)


def test_a_saved_state_contains_its_phase(shuffle_net: Checkpoint) -> None:
    """A run continued after its last epoch, or whose best epoch lies before the freeze, trains no more."""
    student, x = shuffle_net.build(), shuffle_net.calibration.float()
    network = QatNetwork(student, shuffle_net.input_shape, PORTABLE)
    network.observe(x)
    observing = _state(network)
    freeze(network, calibrate(shuffle_net.build(), x))
    frozen, learned, rounded = _state(network), network.learned(), network.rounded_weights()
    network.load_state_dict(observing)
    assert network.phase is QatPhase.OBSERVING
    assert not network.rounded_weights() and "scales" not in network.learned()
    assert network(x).isfinite().all()
    other = QatNetwork(shuffle_net.build(), shuffle_net.input_shape, PORTABLE)
    other.load_state_dict(frozen)
    assert other.phase is QatPhase.FROZEN and other.learned() == learned
    for name, weight in other.rounded_weights().items():
        torch.testing.assert_close(weight, rounded[name], rtol=0, atol=0)


def test_a_loaded_state_computes_what_the_saved_one_did(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    x = windows(8, 9)[0]
    networks = [QatNetwork(checkpoint.build(), SHAPE, PORTABLE).eval() for _ in range(2)]
    freeze(networks[0], calibration)
    networks[1].load_state_dict(networks[0].state_dict())
    with torch.no_grad():
        torch.testing.assert_close(networks[1](x), networks[0](x), rtol=0, atol=0)


def test_ranges_of_another_release_are_one_sentence(shuffle_net: Checkpoint) -> None:
    learned = {
        "method": "qat",
        "weight_range": [-64, 63],
        "keep_float": [],
        "ranges": {"log_mel": [0.0, 1.0]},
    }
    with pytest.raises(ModelFileError, match="another release"):
        quantize_as_trained(replace(shuffle_net, quantization=learned))
