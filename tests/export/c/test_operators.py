"""Operators with shapes, weights and factors that no student has: every kind of kernels against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.c import reference
from export.c.fixed_point import Factor, Sum
from export.c.library import write_network
from export.c.operators import Add, Affine, Clamp, Convolution, Mean, Network, Tensor
from export.c.schedule import make_steps
from runtime.errors import ModelFileError
from runtime.model.native_session import NativeSession
from runtime.model.self_test import make_input
from runtime.spec import FrontEndSpec, ModelSpec, SelfTestVector
from tests.export.c.conftest import compile_library, kinds_of
from tests.small_students import FRONTEND, SHAPE


class Builder:
    """Appends random operators to a network."""

    def __init__(self, seed: int, weight_range: int) -> None:
        self.random = np.random.default_rng(seed)
        self.weight_range = weight_range
        self.tensor = self.log_mel = Tensor("log_mel", 32, 32, 1, 1 / 16, 100)
        self.operators: list = []

    def result(self, *shape: int) -> Tensor:
        zero = int(self.random.integers(80, 120))
        return Tensor(f"t{len(self.operators)}", *shape, 0.1, zero)

    def convolution(
        self, outputs: int, kernel=(1, 1), strides=(1, 1), pads=(0, 0, 0, 0), depthwise=False
    ) -> None:
        x, (high, wide), (down, along) = self.tensor, kernel, strides
        height = (x.height + pads[0] + pads[2] - high) // down + 1
        width = (x.width + pads[1] + pads[3] - wide) // along + 1
        shape = (*kernel, outputs) if depthwise else (outputs, *kernel, x.channels)
        limit = self.weight_range
        weight = self.random.integers(-limit, limit + 1, shape).astype(np.int8)
        taps = weight.size // outputs
        ratios = self.random.uniform(1.0, 3.0, outputs) / (limit * np.sqrt(taps))
        bias = self.random.integers(-5000, 5000, outputs)
        result = self.result(height, width, outputs)
        clamp = Clamp(result.zero if self.random.integers(2) else 0)
        self.operators.append(
            Convolution(x, result, weight, bias.astype(np.int64), Factor.of(ratios), strides, pads, clamp)
        )
        self.tensor = result

    def gate(self) -> None:
        """A mean of squares over positions as factors, and a mean over channels and frames added to it."""
        x, number = self.tensor, len(self.operators)
        factors, added = self.result(1, 1, x.channels), Tensor(f"added{number}", *x.shape, 0.1, 90)
        offsets = Tensor(f"offsets{number}", x.height, 1, 1, 0.1, 40)
        product = Tensor(f"product{number}", *x.shape, 0.1, 95)
        positions, row = x.height * x.width, x.width * x.channels
        of, total = Sum.of((1.3, 50), (0.4, 40), 95), Sum.of((0.7, 95), (0.6, x.zero), 90)
        self.operators += [
            Mean(x, factors, (0, 1), Factor.of(1 / 200), Factor.of(1.1 / positions), Clamp(0)),
            Mean(x, offsets, (1, 2), None, Factor.of(0.9 / row), Clamp(0)),
            Affine(x, factors, offsets, product, 50, Factor.of(0.013), of, Clamp(95)),
            Add(product, x, added, total, Clamp(0)),
        ]
        self.tensor = added

    def network(self) -> Network:
        """Ends in a convolution over all positions, to which each of them contributes."""
        self.convolution(3, (self.tensor.height, self.tensor.width))
        return Network(self.log_mel, self.tensor, tuple(self.operators))


def random_network(seed: int, weight_range: int) -> Network:
    """A network of random operators."""
    builder = Builder(seed, weight_range)
    builder.convolution(13, (3, 2), (2, 1), (1, 1, 1, 0))
    builder.convolution(37)
    builder.convolution(37, (3, 3), (1, 2), (1, 1, 1, 1), depthwise=True)
    builder.convolution(22)
    builder.gate()
    builder.convolution(22, (5, 5), (2, 1), (2, 2, 2, 2), depthwise=True)
    builder.convolution(22, (2, 4), (1, 1), (1, 2, 0, 1), depthwise=True)
    builder.convolution(50)
    builder.convolution(9, (3, 1), (1, 1), (1, 0, 1, 0))
    builder.gate()
    return builder.network()


@pytest.mark.parametrize(("seed", "weight_range"), [(11, 64), (6, 127)])
def test_random_operators_give_the_bytes_of_the_reference(compiler, tmp_path, seed, weight_range):
    network = write_random_network(seed, weight_range, tmp_path)
    assert not any(op.factor.off_ties for op in network.operators if isinstance(op, Convolution))
    session = NativeSession(compile_library(tmp_path))
    inputs = np.random.default_rng(seed).normal(scale=4, size=(200, *SHAPE[1:])).astype(np.float32)
    expected = reference.logits(network, inputs)
    assert len(np.unique(expected)) > 10  # the inputs reach the logits
    for kind in kinds_of(session):
        session._library.model_use(kind.encode())
        np.testing.assert_array_equal(session.logits(inputs), expected, err_msg=kind)


def test_a_kernel_that_the_c_code_cannot_store_is_refused(tmp_path):
    """Its rows would overflow an array of the stack, and its width eight bits."""
    high, wide = Builder(1, 64), Builder(1, 64)
    high.convolution(2, (17, 1))
    with pytest.raises(ModelFileError, match="has a kernel of 17 x 1"):
        write_network(high.network(), ModelSpec(labels=("a", "b", "c"), frontend=FRONTEND), tmp_path)
    assert not list(tmp_path.iterdir())
    wide.tensor = wide.log_mel = Tensor("log_mel", 16, 300, 1, 1 / 16, 100)
    wide.convolution(2, (16, 255))
    assert len(make_steps(wide.network())) == 2
    wide.tensor = wide.log_mel
    wide.convolution(2, (1, 256))
    with pytest.raises(ModelFileError, match="has a kernel of 1 x 256"):
        make_steps(wide.network())


def write_random_network(
    seed: int,
    weight_range: int,
    folder: Path,
    front_end: FrontEndSpec = FRONTEND,
    hop_s: float | None = None,
) -> Network:
    """Write the C of a network of random operators, with one self-test vector."""
    network = random_network(seed, weight_range)
    logits = reference.logits(network, make_input("patches", 1, SHAPE))[0]
    spec = ModelSpec(
        labels=("a", "b", "c"), frontend=front_end,
        self_test_vectors=(SelfTestVector("patches", 1, tuple(logits.tolist())),),
        quantization={"scheme": "int8", "output_scale": 0.1, "output_zero_point": network.logits.zero},
    )  # fmt: skip
    write_network(network, spec, folder, hop_s)
    return network
