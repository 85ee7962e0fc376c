"""Post-training quantization as a whole: what stays equal, what is tried, what is refused."""

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
from runtime.errors import ModelFileError
from runtime.model.self_test import make_input
from runtime.model.session import Session, run_optimized, run_unoptimized
from train.checkpoints.model_pt import Checkpoint
from train.distillation.losses import soft_cross_entropy
from train.quantization.choose_ranges import quantize, quantize_as_trained, sensitivities
from train.quantization.conversion import convert, quantized_values
from train.quantization.fake_quantize import FakeQuantized
from train.quantization.label_agreement import label_loss
from train.quantization.ptq import Calibration, calibrate
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.sensitivity import sqnr_db

Windows = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def calibration(checkpoint: Checkpoint) -> Calibration:
    return calibrate(checkpoint.build(), checkpoint.calibration)


def test_noise_stays_low_and_rounding_for_the_output_lowers_it(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    network, x = checkpoint.build(), windows(60, 5000)[0]
    with torch.no_grad():
        expected = network(x)
        nearest = convert(network, checkpoint.input_shape, calibration.ranges("percentile"), PORTABLE)(x)
        rounded = calibration.twin(network, "percentile", PORTABLE)(x)
    assert sqnr_db(expected, rounded) > max(20.0, sqnr_db(expected, nearest))


def test_values_that_stay_float_pass_the_lint(checkpoint: Checkpoint, calibration: Calibration) -> None:
    name = "stages.s1.b1.block.1.0"
    int8_model = calibration.twin(checkpoint.build(), "percentile", Scheme(keep_float=(name,)))
    model = to_onnx(int8_model, checkpoint.input_shape)
    assert lint(model, (-64, 63), (name,)) == []
    assert any(name in fault for fault in lint(model, (-64, 63)))


def test_onnxruntime_leaves_a_float_layer_in_float(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    """One of its optimizers, which the session disables, would quantize weights between integers."""
    int8_model = calibration.twin(checkpoint.build(), "percentile", Scheme(keep_float=("in_c.1.0",)))
    model = to_onnx(int8_model, checkpoint.input_shape)
    model.graph.output.append(onnx.helper.make_tensor_value_info("in_c.1.0", onnx.TensorProto.UINT8, None))
    data, x = model.SerializeToString(), windows(20, 7000)[0].numpy()
    written, run = (f(data, x, ["in_c.1.0"])[0] for f in (run_unoptimized, run_optimized))
    assert np.mean(written != run) < 0.001


def test_loss_counts_labels_and_their_probability(checkpoint: Checkpoint) -> None:
    expected = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    cold = replace(checkpoint, temperature=1.0)
    assert label_loss(expected, expected, cold) == 0
    assert label_loss(expected, expected.flip(0), cold) == 1
    lower = label_loss(expected, expected / 3, cold)  # no label changes, but all give way
    assert lower == pytest.approx(float((expected.softmax(1) - (expected / 3).softmax(1)).amax(1).mean()))
    assert label_loss(expected, 2 * expected, cold) == 0  # surer is no loss
    both = replace(cold, task="multi_label")
    assert label_loss(expected - 4, expected - 10, both) == pytest.approx(1 / 3)


def test_coarser_weights_lose_more(checkpoint: Checkpoint, calibration: Calibration) -> None:
    """On windows of training, where hardly a label changes."""
    network, x = checkpoint.build(), checkpoint.calibration.float()
    with torch.no_grad():
        losses = [
            label_loss(
                network(x), calibration.twin(network, "percentile", Scheme((-limit, limit)))(x), checkpoint
            )
            for limit in (1, 3, 63)
        ]
    assert losses[0] > losses[1] > losses[2] and losses[2] < 0.01 < losses[0]


def test_training_brings_int8_nearer_to_the_float_network(
    checkpoint: Checkpoint, calibration: Calibration, windows: Windows
) -> None:
    """Weights of three bits, so that there is something to mend; judged on windows nobody has seen."""
    scheme, x = Scheme((-3, 3)), windows(120, 5000)[0]
    network, student = checkpoint.build(), checkpoint.build()
    fake = FakeQuantized(student, checkpoint.input_shape, scheme)
    fake.freeze(calibration)
    fake.train()
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)
    for step in range(40):
        view = windows(24, 2000 + step)[0]
        optimizer.zero_grad()
        soft_cross_entropy(fake(view), network(view).detach().softmax(1)).backward()
        optimizer.step()
        fake.after_step()
    weights = {**student.state_dict(), **fake.rounded_weights()}
    trained = quantize_as_trained(replace(checkpoint, state_dict=weights, quantization=fake.learned()))
    with torch.no_grad():
        expected = network(x).softmax(1)
        after_training = soft_cross_entropy(calibration.twin(network, "percentile", scheme)(x), expected)
        assert soft_cross_entropy(trained.network(x), expected) < after_training / 2


@pytest.mark.slow
def test_tolerance_tries_every_observer_then_float_then_fails(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelFileError, match=r"Tried: percentile: .*; mse: .*; minmax: .*; percentile with"):
        quantize(checkpoint, tolerance=-1.0)


# which of the nine hostile signals; the fourth and fifth are clipping and noise
NONE, SWEEP, MANY = torch.arange(9) > 8, torch.arange(9) == 2, (torch.arange(9) - 3).abs() < 2


@pytest.mark.parametrize(
    ("rule", "marks", "observer"),
    [
        ("surely_changed", [SWEEP, NONE], "mse"),
        ("surely_changed", [SWEEP] * 3, "percentile"),  # nothing is better
        ("surely_wrong", [MANY, SWEEP, MANY], "mse"),
    ],
)
def test_the_next_observer_is_tried_where_a_hostile_signal_is_heard_otherwise(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
    marks: list[torch.Tensor],
    observer: str,
) -> None:
    answers = iter(marks)
    monkeypatch.setattr(f"train.quantization.label_agreement.{rule}", lambda *_: next(answers))
    how = quantize(checkpoint, tolerance=1.0).how
    assert how["observer"] == observer and len(how["tried"]) == len(marks)
    assert "of labels and sweep" in how["tried"][0] and how["tried"][0].endswith("heard otherwise")


@pytest.mark.slow
def test_a_network_that_is_sure_of_other_labels_is_refused(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.quantization.label_agreement.surely_wrong", lambda *_: MANY)
    with pytest.raises(ModelFileError, match="sweep, clipping, noise heard otherwise"):
        quantize(checkpoint, tolerance=1.0)


def test_sensitivity_lists_every_value_worst_first(checkpoint: Checkpoint) -> None:
    rows = sensitivities(checkpoint)
    ratios = [row.sqnr_db for row in rows]
    assert ratios == sorted(ratios)
    assert {"log_mel", "in_c.0.0", "stages.s1.b1:add"} <= {row.name for row in rows}
    assert ratios[0] < ratios[-1]


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
    int8_model = calibration.twin(checkpoint.build(), "percentile", PORTABLE)
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
    from train.checkpoints.model_pt import save

    assert main(["verify", str(int8_onnx)]) == 0
    assert main(["verify", str(int8_onnx), "--against", str(model_pt)]) == 0
    assert "dB  stages.s1.b1.block.0.0" in capsys.readouterr().out
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["feed_forward.0.weight"] = state["feed_forward.0.weight"].flip(0)
    save(replace(checkpoint, state_dict=state), tmp_path / "other.pt")
    assert main(["verify", str(int8_onnx), "--against", str(tmp_path / "other.pt")]) == 1
    assert "FAIL" in capsys.readouterr().out


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
