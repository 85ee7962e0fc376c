"""Post-training quantization: the noise it adds, and what lowers it."""

from __future__ import annotations

import torch

from tests.train.quantization.conftest import Windows
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import sensitivities
from train.quantization.conversion import convert
from train.quantization.ptq import Calibration
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.sensitivity import sqnr_db
from train.quantization.weights.equalization import equalize


def test_noise_is_low_and_gptq_lowers_it(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    network, x = checkpoint.build(), windows(60, 5000)[0]
    with torch.no_grad():
        expected = network(x)
        nearest = convert(network, checkpoint.input_shape, calibration.ranges("percentile"), PORTABLE)(x)
        rounded = calibration.int8_model(network, "percentile", PORTABLE)(x)
    assert sqnr_db(expected, rounded) > max(20.0, sqnr_db(expected, nearest))


def test_coarser_weights_are_noisier(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    network, x = checkpoint.build(), windows(30, 6000)[0]
    with torch.no_grad():
        expected = network(x)
        noise = [
            sqnr_db(expected, calibration.int8_model(network, "percentile", Scheme((-limit, limit)))(x))
            for limit in (1, 7, 63)
        ]
    assert noise[0] < noise[1] - 6 < noise[2] - 12


def test_corrected_biases_remove_the_mean_error(checkpoint: Checkpoint, calibration: Calibration) -> None:
    """A shift does not vanish in the average over a map, so it would reach the logits."""
    network, x = checkpoint.build(), checkpoint.calibration.float()

    def rounding(name: str, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return calibration.round(name, weight, scales, PORTABLE.weight_range)

    plain = convert(network, checkpoint.input_shape, calibration.ranges("minmax"), PORTABLE, rounding)
    corrected = calibration.int8_model(network, "minmax", PORTABLE)
    with torch.no_grad():
        shifts = [(model(x) - network(x)).mean(0).abs().mean() for model in (plain, corrected)]
    assert shifts[1] < 0.75 * shifts[0]


def test_equalized_channels_compute_the_same_with_like_ranges(
    checkpoint: Checkpoint, windows: Windows
) -> None:
    network, x = checkpoint.build(), windows(30, 8000)[0]
    with torch.no_grad():
        for name, module in network.named_modules():
            if name.endswith("block.0.1"):  # batch norm between the first layer of a block and its depthwise
                module.weight[::2] *= 30
                module.bias[::2] *= 30
    equalized = equalize(network, checkpoint.input_shape, checkpoint.calibration)

    def spread(model: torch.nn.Module) -> float:
        maxima = []
        block = model.get_submodule("stages.s1.b1.block.0")
        hook = block.register_forward_hook(lambda *call: maxima.append(call[2].amax(dim=(0, 2, 3))))
        with torch.no_grad():
            model(checkpoint.calibration.float())
        hook.remove()
        used = maxima[0][maxima[0] > 0]
        return float(used.max() / used.min())

    with torch.no_grad():
        torch.testing.assert_close(equalized(x), network(x), rtol=1e-4, atol=1e-4)
    assert spread(equalized) < 1.1 < 10 < spread(network)


def test_sensitivity_lists_every_value_worst_first(checkpoint: Checkpoint) -> None:
    rows = sensitivities(checkpoint)
    ratios = [row.sqnr_db for row in rows]
    assert ratios == sorted(ratios)
    assert {"log_mel", "in_c.0.0", "stages.s1.b1:add"} <= {row.name for row in rows}
    assert ratios[0] < ratios[-1]
