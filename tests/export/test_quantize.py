"""The INT8 file against torch, ONNX Runtime and the standard: names, bits, ties, values that stay float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.cli.main import main
from export.lint import lint
from export.onnx_graph import to_onnx
from runtime.errors import ConfigError
from runtime.model.self_test import make_input
from runtime.model.session import Session, run_optimized, run_unoptimized
from train.checkpoints.model_pt import Checkpoint, save
from train.quantization.conversion import convert, prepare
from train.quantization.graph.value_names import quantized_values
from train.quantization.ptq import Calibration, calibrate
from train.quantization.qat.fake_quantize import FakeActivation
from train.quantization.quantizer import PORTABLE, Scheme

Windows = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def calibration(checkpoint: Checkpoint) -> Calibration:
    return calibrate(checkpoint.build(), checkpoint.calibration)


def test_values_that_stay_float_pass_the_lint(checkpoint: Checkpoint, calibration: Calibration) -> None:
    name = "stages.s1.b1.block.1.0"
    int8_model = calibration.int8_model(checkpoint.build(), "percentile", Scheme(keep_float=(name,)))
    model = to_onnx(int8_model, checkpoint.input_shape)
    assert lint(model, (-64, 63), (name,)) == []
    assert any(name in fault for fault in lint(model, (-64, 63)))


def test_onnxruntime_leaves_a_float_layer_in_float(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    """One of its optimizers, which the session disables, would quantize weights between integers."""
    int8_model = calibration.int8_model(checkpoint.build(), "percentile", Scheme(keep_float=("in_c.1.0",)))
    model = to_onnx(int8_model, checkpoint.input_shape)
    model.graph.output.append(onnx.helper.make_tensor_value_info("in_c.1.0", onnx.TensorProto.UINT8, None))
    data, x = model.SerializeToString(), windows(20, 7000)[0].numpy()
    written, run = (f(data, x, ["in_c.1.0"])[0] for f in (run_unoptimized, run_optimized))
    assert np.mean(written != run) < 0.001


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "export sensitivity"),
        ("in_c.1.1.0", r"did you mean 'in_c\.1\.0'"),
        ("in_c.1.0.weight", "names no value"),
        ("", "names no value"),
    ],
)
def test_a_name_that_keeps_nothing_float_is_refused(checkpoint: Checkpoint, name: str, message: str) -> None:
    scheme = Scheme(keep_float=("in_c", name))
    with pytest.raises(ConfigError, match=message):
        prepare(checkpoint.build(), checkpoint.input_shape, scheme, FakeActivation)


def test_what_ptq_alone_takes_is_refused_elsewhere(model_pt: Path, tmp_path: Path) -> None:
    options = ["--quantize", "none", "--keep-float", "in_c", "-o", str(tmp_path / "x.onnx")]
    with pytest.raises(ConfigError, match="--keep-float is for ptq"):
        main(["onnx", str(model_pt), *options])


def test_values_keep_their_names_in_the_file(
    checkpoint: Checkpoint, calibration: Calibration, int8_onnx: Path
) -> None:
    int8_model = convert(checkpoint.build(), checkpoint.input_shape, calibration.ranges("minmax"), PORTABLE)
    graph = onnx.load(int8_onnx).graph
    read = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    values = read - {tensor.name for tensor in graph.initializer}
    assert values - {"log_mel:quantized:blocks"} == set(quantized_values(int8_model)) - {"log_mel"}
    assert len(values) == len(quantized_values(int8_model))


def test_torch_and_onnxruntime_agree_to_the_bit(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    """With optimizations, which run integer kernels, and without, which emulate them in float32."""
    x = windows(200, 6000)[0]
    int8_model = calibration.int8_model(checkpoint.build(), "percentile", PORTABLE)
    data = to_onnx(int8_model, checkpoint.input_shape).SerializeToString()
    with torch.no_grad():
        expected = int8_model(x).numpy()
    np.testing.assert_array_equal(run_unoptimized(data, x.numpy())[0], expected)
    np.testing.assert_array_equal(run_optimized(data, x.numpy())[0], expected)


def test_self_test_vectors_are_those_of_the_reference_evaluator(int8_onnx: Path) -> None:
    """onnx.reference computes every operator in numpy, by the standard's text."""
    from onnx.reference import ReferenceEvaluator

    reference, spec = ReferenceEvaluator(onnx.load(int8_onnx)), Session(int8_onnx).spec
    for vector in spec.self_test_vectors:
        log_mel = make_input(vector.formula, vector.seed, spec.input_shape)
        assert reference.run(None, {"log_mel": log_mel})[0].tolist() == [list(vector.logits)]


def test_verify_passes_the_right_model_and_fails_another(
    int8_onnx: Path,
    model_pt: Path,
    checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", str(int8_onnx)]) == 0
    assert main(["verify", str(int8_onnx), "--against", str(model_pt)]) == 0
    assert "dB  stages.s1.b1.block.0.0" in capsys.readouterr().out
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["feed_forward.0.weight"] = state["feed_forward.0.weight"].flip(0)
    save(replace(checkpoint, state_dict=state), tmp_path / "other.pt")
    assert main(["verify", str(int8_onnx), "--against", str(tmp_path / "other.pt")]) == 1
    assert "FAIL  origin" in capsys.readouterr().out


def test_no_operation_comes_near_a_tie(int8_onnx: Path) -> None:
    """What is requantized is a multiple of a fraction with an odd denominator, so kernels cannot differ."""
    model = onnx.load(int8_onnx)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}
    seen = dict.fromkeys(("Conv", "Add", "Mul", "GlobalAveragePool"), 0)
    for node in model.graph.node:
        operands = [maker.get(name) for name in node.input[:2]]
        if node.op_type not in seen or any(o is None or o.op_type != "DequantizeLinear" for o in operands):
            continue  # a statistic, in float
        reader = readers[node.output[0]]
        result = readers[reader.output[0]] if reader.op_type == "Relu" else reader
        scales = [constants[o.input[1]].astype(np.float64) for o in operands]
        step = constants[result.input[1]].astype(np.float64)
        if node.op_type == "Add":
            ratios = [float(scale / step) for scale in scales]
        elif node.op_type == "GlobalAveragePool":
            height, width = _map_shape(model, node.input[0])
            ratios = [float(scales[0] / step / (height * width))]
        else:
            ratios = np.atleast_1d(scales[0] * scales[1] / step).tolist()
        for ratio in ratios:
            fraction = Fraction(ratio).limit_denominator(1023)
            assert fraction.denominator % 2 == 1, (node.name, fraction)
            assert float(fraction) == pytest.approx(ratio, rel=1e-6), (node.name, fraction)
        seen[node.op_type] += 1
    assert min(seen.values()) > 6


def _map_shape(model: onnx.ModelProto, name: str) -> list[int]:
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    shape = next(value.type.tensor_type.shape for value in values if value.name == name)
    return [entry.dim_value for entry in shape.dim[2:]]
