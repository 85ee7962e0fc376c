"""The integers of the numpy reference: exact rationals, ONNX Runtime, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from export.c import reference
from export.c.expressions import Expression
from export.c.fixed_point import Factor, Sum
from export.c.operators import Tensor
from export.c.patterns import InverseDeviation, residual_norm
from export.c.read_graph import read_network
from export.cli.main import main
from runtime.errors import ModelFileError
from runtime.model.self_test import make_input
from runtime.model.session import run_unoptimized
from tests.export.c.conftest import STUDENTS
from tests.small_students import SHAPE, make_windows


@given(st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-31, 2.0**20))
def test_scaling_rounds_the_product_once_with_halves_up(accumulator, ratio):
    factor = Factor.of(ratio)
    exact = accumulator * Fraction(int(factor.multiplier[0]), 2 ** int(factor.shift[0]))
    assert int(factor.scale(np.int64(accumulator))[0]) == (exact + Fraction(1, 2)).__floor__()
    assert abs(float(exact) - accumulator * ratio) <= abs(accumulator * ratio) * 2.0**-30


@settings(max_examples=300)
@given(st.integers(1, 500), st.integers(0, 510), st.integers(-(2**31), 2**31 - 1))
def test_where_float32_is_said_to_round_alike_it_does(numerator, half, accumulator):
    factor = Factor.of(np.float64(np.float32(numerator / (2 * half + 1))))
    if not factor.off_ties:
        return
    scale = np.float32(int(factor.multiplier[0]) * 2.0 ** -int(factor.shift[0]))
    by_float = np.rint(np.float32(accumulator) * scale)
    by_integers = factor.scale(np.int64(accumulator))[0]
    assert np.clip(by_float, -512, 512) == np.clip(by_integers, -512, 512)


def test_a_factor_near_a_tie_is_never_said_to_round_alike():
    assert not Factor.of(0.25).off_ties  # 2 * 0.25 is a tie
    assert not Factor.of(2.0).off_ties  # it may leave int32


@given(st.integers(1, 400), st.integers(0, 400), *[st.integers(0, 255)] * 5)
def test_a_sum_of_127ths_is_the_exact_one(first, second, zero_a, zero_b, zero, a, b):
    of = Sum.of((first / 127, zero_a), (second / 127, zero_b), zero)
    exact = Fraction(first * (a - zero_a) + second * (b - zero_b), 127) + zero
    assert of.scale(np.int64(a), np.int64(b)) == (exact + Fraction(1, 2)).__floor__()


@settings(max_examples=50)
@given(st.integers(1, 400), st.integers(0, 400), *[st.integers(0, 255)] * 3, st.integers(0, 511))
def test_a_sum_that_is_off_ties_is_the_same_in_float32(first, second, zero_a, zero_b, zero, half):
    d = 2 * half + 1
    of = Sum.of((first / d, zero_a), (second / d, zero_b), zero)
    if not of.off_ties:
        return
    step, a = np.float32(2.0**-of.shift), np.arange(256, dtype=np.float32)
    offset = np.float32(of.offset) * step - np.float32(0.5)
    by_float = np.rint(a[:, None] * np.float32(of.first * step) + (a * np.float32(of.second * step) + offset))
    integers = np.arange(256, dtype=np.int64)
    exact = of.scale(integers[:, None], integers)
    np.testing.assert_array_equal(np.clip(by_float, 0, 255), np.clip(exact, 0, 255))


def test_a_sum_near_a_tie_is_never_said_to_round_alike():
    assert Sum.of((1 / 3, 0), (2 / 3, 0), 10).off_ties
    assert not Sum.of((0.5, 0), (1.0, 0), 10).off_ties


@pytest.mark.parametrize("name", STUDENTS)
def test_the_reference_equals_onnx_runtime_without_optimizations(student, name):
    path = student(name)
    network, data = read_network(onnx.load(path)), path.read_bytes()
    patches = [make_input("patches", seed, SHAPE) for seed in range(4)]
    windows = np.concatenate([make_windows(20, 5)[0].numpy(), *patches])
    expected = run_unoptimized(data, windows)[0]
    steps = np.abs(reference.logits(network, windows) - expected) / network.logits.scale
    assert steps.max() < 2.5  # statistics in float32 may lie near a tie
    assert (steps > 0.5).mean() < 0.01


def test_the_statistics_of_resnorm_are_exact_but_for_values_near_a_tie():
    sources = {name: Tensor(name, 256, 1, 1, step, 0) for name, step in (("mean", 1 / 16), ("energy", 1.0))}
    results = [Tensor(name, 256, 1, 1, step, 255) for name, step in (("scale", 0.25), ("offset", 0.02))]
    leaves = [Expression("integers", name) for name in sources]
    found = InverseDeviation(*leaves, factor=1.0, epsilon=1e-5)
    norm = residual_norm(found, 0.1, *results, lambda leaf: sources[leaf.name])
    m, e = np.arange(256), np.random.default_rng(0).integers(0, 256, (1000, 256))
    _, offsets = reference.execute(norm, m[None, :, None, None], e[:, :, None, None])

    variance = np.maximum(e - (m / 16) ** 2, 0) + 1e-5
    exact = np.clip(255 - m / 16 / np.sqrt(variance) / 0.02, 0, 255)
    near_tie = np.abs(exact % 1 - 0.5) < 1e-5
    assert near_tie.mean() < 1e-3 and (exact > 1).mean() > 0.5
    np.testing.assert_array_equal(offsets[:, :, 0, 0][~near_tie], np.floor(exact + 0.5)[~near_tie])


def test_a_float_file_is_refused_with_the_remedy(float_onnx, tmp_path):
    with pytest.raises(ModelFileError, match="--quantize"):
        main(["c", str(float_onnx), "-o", str(tmp_path / "c")])
    assert not (tmp_path / "c").exists()


def test_an_unknown_operator_is_refused_by_name(int8_onnx: Path):
    model = onnx.load(int8_onnx)
    next(node for node in model.graph.node if node.op_type == "Sqrt").op_type = "Erf"
    with pytest.raises(ModelFileError, match="Erf"):
        read_network(model)


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (helper.make_node("Transpose", ["q"], ["moved"]), {}),
        (helper.make_node("Transpose", ["absent"], ["moved"], perm=[0, 2, 3, 1]), {}),
        (helper.make_node("Reshape", ["q", "shape"], ["moved"]), {"shape": np.array([0, 0, -1])}),
    ],
    ids=["no perm", "no tensor", "axes copied"],
)
def test_a_move_that_the_parser_does_not_know_is_refused_by_name(node, constants):
    around = [
        helper.make_node("QuantizeLinear", ["log_mel", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["moved", "scale", "zero"], ["logits"]),
    ]
    constants = {"scale": np.float32(1), "zero": np.uint8(0), **constants}
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("log_mel", ["batch", 1, 8, 8]), ("logits", None))
    ]
    graph = helper.make_graph(
        [around[0], node, around[1]], "graph", values[:1], values[1:],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    with pytest.raises(ModelFileError, match=f"the {node.op_type} that gives 'moved'"):
        read_network(helper.make_model(graph))


@pytest.mark.parametrize("hop", ["0.26", "nan", "inf"])
def test_a_hop_that_does_not_divide_into_frames_is_refused(int8_onnx, tmp_path, hop):
    with pytest.raises(ModelFileError, match=rf"hop of {hop} s"):
        main(["c", str(int8_onnx), "-o", str(tmp_path / "c"), "--hop", hop])
