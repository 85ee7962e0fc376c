"""Post-training quantization as a whole: what it keeps, what it tries, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.__main__ import main
from export.graph import to_onnx
from export.lint import lint
from export.quantize import calibrate, quantize, sensitivities
from export.sensitivity import sqnr_db
from runtime.errors import ModelFileError
from runtime.session import Session, run_optimized, run_unoptimized
from train.checkpoint import Checkpoint
from train.quantize import PORTABLE, Scheme, activation_parameters, convert, quantized_values

Windows = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]


def test_noise_stays_low_and_rounding_for_the_output_lowers_it(
    checkpoint: Checkpoint, windows: Windows
) -> None:
    network, x = checkpoint.build(), windows(60, 5000)[0]
    calibration = calibrate(network, checkpoint.calibration)
    ranges = calibration.ranges("percentile")
    with torch.no_grad():
        wanted = network(x)
        nearest = convert(network, checkpoint.input_shape, ranges, PORTABLE)(x)
        rounded = convert(network, checkpoint.input_shape, ranges, PORTABLE, calibration.weights)(x)
    assert sqnr_db(wanted, rounded) > max(20.0, sqnr_db(wanted, nearest))


def test_kept_values_stay_float_and_the_lint_knows(checkpoint: Checkpoint) -> None:
    name = "stages.s1.b1.block.1.0"
    quantized = quantize(checkpoint, Scheme(keep_float=(name,)), tolerance=1.0)
    model = to_onnx(quantized.network, checkpoint.input_shape)
    assert lint(model, (-64, 63), (name,)) == []
    assert any(name in fault for fault in lint(model, (-64, 63)))


def test_onnxruntime_leaves_a_kept_layer_in_float(checkpoint: Checkpoint, windows: Windows) -> None:
    """One of its optimizers quantizes float weights between integer neighbours; the session says no."""
    quantized = quantize(checkpoint, Scheme(keep_float=("in_c.1.0",)), tolerance=1.0)
    model = to_onnx(quantized.network, checkpoint.input_shape)
    model.graph.output.append(onnx.helper.make_tensor_value_info("in_c.1.0", onnx.TensorProto.UINT8, None))
    data, x = model.SerializeToString(), windows(20, 7000)[0].numpy()
    written, run = (f(data, x, ["in_c.1.0"])[0] for f in (run_unoptimized, run_optimized))
    assert np.mean(written != run) < 0.001


def test_no_number_of_a_binary_grid_lies_halfway_between_two_steps() -> None:
    """There torch, which multiplies by the inverse scale, and ONNX Runtime, which divides, round apart."""
    grid = torch.arange(-4096, 8192, dtype=torch.float32) / 2048  # what float16 holds between 1 and 2
    for low, high in ((-1.40625, 2.7773), (-1.5, 2.0), (-1.0, 3.0), (0.0, 255 / 64)):
        scale = torch.tensor(activation_parameters((low, high))[0])
        assert torch.equal((grid / scale).round(), (grid * (1 / scale)).round())


@pytest.mark.slow
def test_tolerance_tries_every_observer_then_float_then_fails(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelFileError, match=r"Tried: percentile: .*; mse: .*; minmax: .*; percentile with"):
        quantize(checkpoint, tolerance=-1.0)


def test_sensitivity_lists_every_value_worst_first(checkpoint: Checkpoint) -> None:
    rows = sensitivities(checkpoint)
    ratios = [row.sqnr_db for row in rows]
    assert ratios == sorted(ratios)
    assert {"log_mel", "in_c.0.0", "stages.s1.b1:add"} <= {row.name for row in rows}
    assert ratios[0] < ratios[-1]


def test_values_keep_their_names_in_the_file(checkpoint: Checkpoint, int8_onnx: Path) -> None:
    ranges = calibrate(checkpoint.build(), checkpoint.calibration).ranges("minmax")
    twin = convert(checkpoint.build(), checkpoint.input_shape, ranges, PORTABLE)
    names = {node.output[0] for node in onnx.load(int8_onnx).graph.node if node.op_type == "QuantizeLinear"}
    assert {name for name in quantized_values(twin) if name != "log_mel"} | {"log_mel:quantized"} == names


def test_torch_and_onnx_agree_to_a_few_output_steps(checkpoint: Checkpoint, windows: Windows) -> None:
    x = windows(40, 6000)[0]
    quantized = quantize(checkpoint)
    model = to_onnx(quantized.network, checkpoint.input_shape)
    with torch.no_grad():
        wanted = quantized.network(x).numpy()
    step = np.unique(np.abs(wanted[wanted != 0])).min()
    got = run_unoptimized(model.SerializeToString(), x.numpy())[0]
    assert np.abs(got - wanted).max() <= 3.01 * step


def test_unoptimized_onnxruntime_is_the_reference_evaluator(int8_onnx: Path, windows: Windows) -> None:
    """Goldens are exact: onnx.reference computes every operator in numpy, by the standard's text."""
    from onnx.reference import ReferenceEvaluator

    x = windows(2, 7000)[0].numpy()
    reference = ReferenceEvaluator(onnx.load(int8_onnx)).run(None, {"log_mel": x})[0]
    step = Session(int8_onnx).spec.quantization["output_scale"]
    np.testing.assert_allclose(run_unoptimized(int8_onnx.read_bytes(), x)[0], reference, atol=1.01 * step)


def test_verify_passes_the_right_model_and_fails_another(
    int8_onnx: Path,
    model_pt: Path,
    checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from train.checkpoint import save

    assert main(["verify", str(int8_onnx)]) == 0
    assert main(["verify", str(int8_onnx), "--against", str(model_pt)]) == 0
    assert "dB  stages.s1.b1.block.0.0" in capsys.readouterr().out
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["feed_forward.0.weight"] = state["feed_forward.0.weight"].flip(0)
    save(replace(checkpoint, state_dict=state), tmp_path / "other.pt")
    assert main(["verify", str(int8_onnx), "--against", str(tmp_path / "other.pt")]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_no_sum_comes_near_a_tie(int8_onnx: Path) -> None:
    """CPUs round ties differently; the scales keep every sum half a part of 1/127 away from one."""
    model = onnx.load(int8_onnx)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}
    sums = 0
    for node in model.graph.node:
        operands = [maker.get(name) for name in node.input]
        if node.op_type != "Add" or any(o is None or o.op_type != "DequantizeLinear" for o in operands):
            continue
        result = readers[node.output[0]]
        result = readers[result.output[0]] if result.op_type == "Relu" else result
        parts = [127 * constants[o.input[1]] / constants[result.input[1]] for o in operands]
        np.testing.assert_allclose(parts, np.rint(parts), atol=1e-3)
        sums += 1
    assert sums > 6
