"""One network in which every operator of ARITHMETIC.md stands alone, in several shapes, with extreme numbers.

Each case takes bytes of the input in an order of its own and computes one operator; the results, side by
side, are the logits. So the C of one folder runs them all, and a wrong byte names its case.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.c import reference
from export.c.fixed_point import Factor, Sum
from export.c.library import write_network
from export.c.operators import (
    Add,
    Affine,
    Channels,
    Clamp,
    Convolution,
    Lookup,
    MaxPool,
    Mean,
    Network,
    Operator,
    Reshape,
    ResidualNorm,
    ResponseNorm,
    Tensor,
    results_of,
)
from runtime.spec import ModelSpec
from tests.small_students import FRONTEND, SHAPE

Bytes = npt.NDArray[np.uint8]

_ANY = (
    # height, width, channels of the source, channels of the result, kernel, strides, pads, range of weights
    (5, 7, 37, 50, (1, 1), (1, 1), (0, 0, 0, 0), 127),
    (4, 16, 64, 48, (1, 1), (1, 1), (0, 0, 0, 0), 64),
    (3, 5, 13, 7, (1, 1), (1, 1), (0, 0, 0, 0), 64),
    (1, 1, 96, 10, (1, 1), (1, 1), (0, 0, 0, 0), 127),  # linear
    (32, 17, 1, 8, (3, 3), (2, 2), (1, 1, 1, 1), 64),  # stems
    (12, 9, 1, 32, (3, 3), (2, 1), (0, 1, 1, 0), 127),
    (9, 8, 4, 32, (2, 2), (1, 1), (1, 1, 0, 0), 64),
    (6, 11, 13, 9, (3, 2), (1, 2), (2, 0, 1, 1), 127),
    (8, 7, 5, 17, (5, 1), (1, 1), (2, 0, 2, 0), 64),
    (5, 12, 16, 16, (1, 7), (1, 3), (0, 3, 0, 3), 64),
    (6, 4, 11, 3, (6, 4), (1, 1), (0, 0, 0, 0), 64),  # all positions at once
)
_DEPTHWISE = (
    # height, width, channels, kernel, strides, pads, range of weights
    (9, 8, 32, (3, 3), (1, 1), (1, 1, 1, 1), 64),
    (9, 13, 37, (3, 3), (2, 2), (1, 1, 1, 1), 127),
    (8, 9, 48, (3, 3), (2, 1), (1, 1, 1, 1), 64),
    (7, 9, 3, (3, 3), (1, 2), (0, 0, 0, 0), 64),
    (6, 7, 16, (3, 3), (1, 1), (2, 0, 0, 2), 127),
    (12, 6, 20, (3, 1), (1, 1), (1, 0, 1, 0), 64),
    (5, 15, 20, (1, 3), (1, 1), (0, 1, 0, 1), 64),
    (8, 8, 17, (2, 4), (2, 2), (1, 2, 0, 1), 64),
    (11, 9, 22, (5, 5), (2, 1), (2, 2, 2, 2), 64),
    (9, 9, 4, (7, 7), (1, 1), (3, 3, 3, 3), 127),
    (7, 5, 1, (4, 2), (1, 1), (0, 0, 0, 0), 64),
)
# What a factor of a requantization may be: fractions with small odd denominators, which kernels may scale in
# float32, others, the least and the greatest multiplier, and factors that become 0.
_FACTORS = {
    "fractions": lambda random, n: random.integers(1, 30, n) / 1023,
    "any": lambda random, n: random.uniform(1e-4, 0.4, n),
    "powers of two": lambda random, n: 2.0 ** -random.integers(1, 14, n).astype(np.float64),
    "just below powers of two": lambda random, n: 2.0 ** -random.integers(2, 14, n) * (1 - 2.0**-31),
    "great": lambda random, n: random.uniform(0.5, 200, n),
    "tiny": lambda random, n: 2.0 ** random.uniform(-40, -24, n),
}


@dataclass(frozen=True)
class Cases:
    """The network, and where the results of every case lie in its logits.

    Attributes:
        network: of all cases.
        places: slices of the logits, by the name of a case.
    """

    network: Network
    places: dict[str, slice]

    def inputs(self, count: int, seed: int) -> Bytes:
        """Random bytes [count, 1024]: of the whole range, extremes alone, few values, and constants."""
        random, size = np.random.default_rng(seed), self.network.log_mel.size
        uniform = random.integers(0, 256, (count, size))
        narrow = np.clip(random.normal(random.uniform(0, 255, (count, 1)), 6, (count, size)), 0, 255)
        kinds = np.stack(
            [uniform, 255 * (uniform & 1), narrow.astype(np.int64), uniform[:, :1] + 0 * uniform]
        )
        kind = random.choice(4, count, p=[0.7, 0.1, 0.15, 0.05])
        return kinds[kind, np.arange(count)].astype(np.uint8)

    def expected(self, inputs: Bytes) -> Bytes:
        """The bytes of the numpy reference, [count, logits]."""
        log_mel = inputs.reshape(-1, *SHAPE[1:]).astype(np.float32)
        return reference.logits(self.network, log_mel).astype(np.uint8)

    def differing(self, actual: Bytes, expected: Bytes) -> list[str]:
        """The cases in which a byte differs."""
        wrong = np.flatnonzero((actual != expected).any(axis=0))
        return [
            name
            for name, place in self.places.items()
            if ((wrong >= place.start) & (wrong < place.stop)).any()
        ]

    def write(self, folder: Path) -> None:
        """Write the C of the network."""
        labels = tuple(map(str, range(self.network.logits.channels)))
        write_network(self.network, ModelSpec(labels=labels, frontend=FRONTEND), folder)


def make_cases(seed: int, only_convolutions: bool = False) -> Cases:
    """All cases, with weights, factors and zero points of a seed; or as many as a small memory holds."""
    maker = _Maker(seed)
    for number, (height, width, inputs, outputs, kernel, strides, pads, limit) in enumerate(_ANY):
        maker.convolution(
            f"convolution {number}", (height, width, inputs), outputs, kernel, strides, pads, limit
        )
    for number, (height, width, channels, kernel, strides, pads, limit) in enumerate(_DEPTHWISE):
        shape = (height, width, channels)
        maker.convolution(
            f"depthwise {number}", shape, channels, kernel, strides, pads, limit, depthwise=True
        )
    for name in _FACTORS:
        for bias in (0, 2**31 - 2**20):
            maker.requantization(name, bias)
    if only_convolutions:
        return maker.cases()
    maker.additions()
    maker.means()
    maker.products()
    maker.statistics()
    maker.others()
    return maker.cases()


class _Maker:
    """Collects operators, and where their results lie."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.log_mel = Tensor("log_mel", *SHAPE[2:], 1, 1.0, 0)
        self.flat = Tensor("flat", 1, 1, self.log_mel.size, 1.0, 0)
        self.operators: list[Operator] = [Reshape(self.log_mel, self.flat)]
        self.results: dict[str, Tensor] = {}

    def cases(self) -> Cases:
        """The network of all operators."""
        places, position = {}, 0
        for name, result in self.results.items():
            places[name] = slice(position, position + result.size)
            position += result.size
        logits = Tensor("logits", 1, 1, position, 1.0, 0)
        order = tuple((source, i) for source, r in enumerate(self.results.values()) for i in range(r.size))
        self.operators.append(Channels(tuple(self.results.values()), logits, order))
        return Cases(Network(self.log_mel, logits, tuple(self.operators)), places)

    def source(self, *shape: int, zero: int | None = None) -> Tensor:
        """A tensor of bytes of the input, in an order of its own."""
        name, zero = f"x{len(self.operators)}", int(self.random.integers(256)) if zero is None else zero
        size = int(np.prod(shape))
        taken = np.resize(self.random.permutation(self.flat.size), size)
        gathered = Tensor(f"{name} flat", 1, 1, size, 1.0, zero)
        tensor = Tensor(name, *shape, 1.0, zero)
        self.operators.append(Channels((self.flat,), gathered, tuple((0, int(i)) for i in taken)))
        self.operators.append(Reshape(gathered, tensor))
        return tensor

    def result(self, *shape: int) -> Tensor:
        zero = int(self.random.choice([0, 255, *self.random.integers(40, 216, size=4)]))
        return Tensor(f"y{len(self.operators)}", *shape, 1.0, zero)

    def clamp(self, result: Tensor) -> Clamp:
        """With or without a ReLU."""
        return Clamp(result.zero if result.zero < 200 and self.random.integers(2) else 0)

    def add(self, name: str, operator: Operator) -> None:
        """Append an operator; its results, side by side, are those of the case."""
        self.operators.append(operator)
        for number, result in enumerate(results_of(operator)):
            flat = Tensor(f"{result.name} flat", 1, 1, result.size, 1.0, result.zero)
            self.operators.append(Reshape(result, flat))
            self.results[f"{name}.{number}" if number else name] = flat

    def convolution(
        self, name, shape, outputs, kernel, strides, pads, limit, depthwise=False, factor="fractions"
    ) -> None:
        """Weights of the whole range; biases and factors that spread the results over the range of a byte."""
        x, (height, width, inputs), (down, along) = self.source(*shape), shape, strides
        high = (height + pads[0] + pads[2] - kernel[0]) // down + 1
        wide = (width + pads[1] + pads[3] - kernel[1]) // along + 1
        of = (*kernel, outputs) if depthwise else (outputs, *kernel, inputs)
        weight = self.random.integers(-limit, limit + 1, of).astype(np.int8)
        taps = weight.reshape(-1, outputs).T if depthwise else weight.reshape(outputs, -1)
        spread = 73 * limit / 1.7 * np.sqrt(taps.shape[1])  # of an accumulator
        ratios = self.random.uniform(0.2, 2, outputs) * 70 / spread
        if self.random.integers(2):  # as export chooses them: float32 rounds alike
            ratios = np.rint(ratios * 1023).clip(1) / 1023
        bias = self.random.normal(0, spread / 2, outputs).astype(np.int64) - 128 * taps.sum(
            axis=1, dtype=np.int64
        )
        result = self.result(high, wide, outputs)
        self.add(name, Convolution(
            x, result, weight, bias, Factor.of(ratios), strides, pads, self.clamp(result)
        ))  # fmt: skip

    def requantization(self, name: str, bias: int) -> None:
        """Sums of few products, as they are or near the ends of int32, times factors of one kind."""
        x, outputs = self.source(2, 3, 4), 48
        weight = self.random.integers(-127, 128, (outputs, 1, 1, 4)).astype(np.int8)
        biases = self.random.choice([-1, 1], outputs) * bias + self.random.integers(-99, 99, outputs)
        ratios = _FACTORS[name](self.random, outputs)
        ratios = np.minimum(ratios, (2.0**31 - 2**10) / (np.abs(biases) + 4 * 127 * 255))  # results fit int32
        result = self.result(2, 3, outputs)
        self.add(f"requantization, {name}, bias {bias}", Convolution(
            x, result, weight, biases, Factor.of(ratios), (1, 1), (0, 0, 0, 0), self.clamp(result)
        ))  # fmt: skip

    def sum(self, first: Tensor | int, second: Tensor | int, zero: int, alike: bool) -> Sum:
        zeros = [t.zero if isinstance(t, Tensor) else t for t in (first, second)]
        ratios = self.random.integers(20, 200, 2) / (127 if alike else 128)
        return Sum.of((float(ratios[0]), zeros[0]), (float(ratios[1]), zeros[1]), zero)

    def additions(self) -> None:
        shapes = [(3, 5, 69), (1, 1, 69), (3, 1, 1), (1, 5, 1), (3, 1, 69), (1, 1, 1)]
        for number, shape in enumerate([*shapes, *shapes]):
            first, second, result = self.source(3, 5, 69), self.source(*shape), self.result(3, 5, 69)
            of = self.sum(first, second, result.zero, number < len(shapes))
            self.add(f"addition {number}", Add(first, second, result, of, self.clamp(result)))

    def means(self) -> None:
        for number, axes in enumerate([(0, 1), (1, 2), (2,), (0,), (0, 1, 2)]):
            for square in (None, Factor.of(1 / 255), Factor.of(1 / 256)):
                x = self.source(9, 7, 37)
                result = self.result(*(1 if axis in axes else size for axis, size in enumerate(x.shape)))
                count = x.size // result.size
                name = f"mean {number}, {'no square' if square is None else square.multiplier[0]}"
                self.add(name, Mean(x, result, axes, square, Factor.of(1.3 / count), self.clamp(result)))

    def products(self) -> None:
        shapes = [(1, 1, 37), (4, 1, 1), (1, 1, 1), (4, 5, 37)]
        for number, shape in enumerate([*shapes, *shapes]):
            for offset in (None, (4, 1, 1), (1, 1, 37), (4, 5, 37)):
                x, factors, result = self.source(4, 5, 37), self.source(*shape), self.result(4, 5, 37)
                tail = None if offset is None else self.source(*offset)
                product = int(self.random.integers(256))
                of = self.sum(product, tail or 0, result.zero, number < len(shapes))
                if tail is None:
                    of = Sum.of((1.25 if number else 1.0, product), (0.0, 0), result.zero, 3.3)
                ratio = Factor.of(1 / 127 if number < len(shapes) else 1 / 64)
                self.add(f"product {number}, offset {offset}", Affine(
                    x, factors, tail, result, product, ratio, of, self.clamp(result)
                ))  # fmt: skip

    def statistics(self) -> None:
        for number, gain in enumerate((37 * 3 << 20, -(37 * 2 << 20), 1 << 28, 0)):
            x = self.source(1, 1, 37, zero=0)
            norm = ResponseNorm(x, self.result(1, 1, 37), (100 << 20) + 12345, gain, 1 + 777 * number)
            self.add(f"GRN {number}", norm)
        for number, bits in enumerate((30, 40)):
            means, energies = self.source(61, 1, 1), self.source(61, 1, 1)
            one = 1 << bits
            self.add(f"ResNorm {number}", ResidualNorm(
                means, energies, self.result(61, 1, 1), self.result(61, 1, 1), one // 300, one // 90_000,
                one >> 10, bits, (3 << 20) >> number, 5 << 20, (1 << 20) >> number,
            ))  # fmt: skip

    def others(self) -> None:
        x = self.source(5, 6, 13)
        table = self.random.integers(0, 256, 256).astype(np.uint8)
        self.add("lookup", Lookup(x, self.result(5, 6, 13), table))
        x = self.source(9, 8, 13)
        self.add("maximum", MaxPool(x, self.result(4, 3, 13), (3, 2), (2, 3)))
        first, second = self.source(4, 5, 6), self.source(4, 5, 3)
        places = tuple((int(i >= 6), int(i - 6 * (i >= 6))) for i in self.random.permutation(9))
        self.add("channels", Channels((first, second), self.result(4, 5, 9), places))
