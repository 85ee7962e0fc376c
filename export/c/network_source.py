"""The C source of a network: its weights and operators as constants, and its steps."""

from __future__ import annotations

from functools import singledispatchmethod
from typing import Any

import numpy as np

from export.c.c_text import array, braces, structure
from export.c.fixed_point import Factor, Sum
from export.c.operators import (
    Add,
    Affine,
    Channels,
    Convolution,
    Lookup,
    MaxPool,
    Mean,
    Network,
    ResidualNorm,
    ResponseNorm,
    Tensor,
)
from export.c.schedule import Chain, Plan, Step

_NARROW = 64  # two products of a byte and such weights fit int16
_VECTOR = 16  # channels of the widest SIMD kernels


def network_source(network: Network, steps: list[Step], plan: Plan) -> str:
    """The file ``model_network.c``: defines ``const ts_network model_network``."""
    writer = _Writer(plan)
    for index, step in enumerate(steps):
        writer.step(index, step)
    return writer.text()


def packed_bytes(steps: list[Step]) -> int:
    """Bytes that the SIMD kernels need for weights in their own order: see ``ts_simd.c``."""
    total = 0
    for conv in _convolutions(steps):
        lanes = -(-conv.result.channels // _VECTOR) * _VECTOR
        high, wide = conv.kernel
        if conv.depthwise:
            total += high * wide * lanes * 16
        else:
            total += high * (-(-wide * conv.source.channels // 4) * 4) * lanes
        total += lanes * (4 + 4 + 8 + 8) + 256
    return total


def wide_scratch_bytes(steps: list[Step]) -> int:
    """Bytes of the rows of the SIMD kernels between the convolutions of a chain."""
    most = 0
    for step in steps:
        conv = step.operator.spatial if isinstance(step.operator, Chain) else None
        if conv is None:
            continue
        columns = conv.source.width + conv.pads[1] + conv.pads[3]
        lanes = -(-conv.source.channels // _VECTOR) * _VECTOR
        rows = 8 if conv.depthwise else conv.kernel[0]  # of a depthwise one, two strips of four
        ring = max(rows, conv.kernel[0]) * columns * lanes
        most = max(most, ring + conv.result.width * conv.result.channels)
    return most + 256


def _convolutions(steps: list[Step]) -> list[Convolution]:
    chains = [step.operator for step in steps if isinstance(step.operator, Chain)]
    return [conv for chain in chains for conv in chain.convolutions]


def _shape(tensor: Tensor) -> tuple[int, int, int]:
    return tensor.shape


def _factor(factor: Factor) -> dict[str, Any]:
    return {
        "multiplier": int(factor.multiplier[0]),
        "shift": int(factor.shift[0]),
        "off_ties": factor.off_ties,
    }


def _sum(of: Sum) -> dict[str, Any]:
    return {
        "first": of.first,
        "second": of.second,
        "offset": of.offset,
        "shift": of.shift,
        "off_ties": of.off_ties,
    }


def _steps_of(tensor: Tensor, over: Tensor) -> tuple[int, int, int]:
    """Bytes from one entry to the next along height, width and channels; 0 where one entry is repeated."""
    strides = (tensor.width * tensor.channels, tensor.channels, 1)
    return tuple(
        0 if size == 1 and whole > 1 else stride
        for stride, size, whole in zip(strides, tensor.shape, over.shape, strict=True)
    )  # type: ignore[return-value]


class _Writer:
    """Collects the constants of a network."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts: list[str] = []
        self._steps: list[str] = []
        self._convolutions = 0

    def text(self) -> str:
        """The whole file."""
        head = '/* Written by `python -m export c`. */\n#include "model_network.h"\n\n'
        steps = "static const ts_step steps[] = {\n    " + ",\n    ".join(self._steps) + "};\n\n"
        tail = "const ts_network model_network = {steps, sizeof steps / sizeof *steps, MODEL_ARENA_BYTES};\n"
        return head + "".join(self._parts) + "\n" + steps + tail

    def step(self, index: int, step: Step) -> None:
        """Write an operator and where it reads and writes."""
        place = self._plan.offsets
        inputs = [place[tensor.name] for tensor in step.sources]
        outputs = [place[tensor.name] for tensor in step.results]
        if isinstance(step.operator, Channels):
            for part, source in enumerate(inputs):
                self._channels(f"op{index}_{part}", step.operator, part, source, outputs[0])
            return
        kind, name = self._write(step.operator, f"op{index}")
        inputs += [0] * (3 - len(inputs))
        if isinstance(step.operator, Chain):
            inputs[2] = self._plan.scratch.get(index, 0)
        outputs += [0] * (2 - len(outputs))
        self._append(kind, name, inputs, outputs)

    def _append(self, kind: str, name: str, inputs: list[int], outputs: list[int]) -> None:
        fields = {"kind": kind, "operator_": f"&{name}", "in": inputs, "out": outputs}
        self._steps.append(braces(fields))

    def _structure(self, kind: str, name: str, fields: dict[str, Any]) -> str:
        self._parts.append(structure(kind, name, fields))
        return name

    @singledispatchmethod
    def _write(self, operator: Any, name: str) -> tuple[str, str]:
        raise TypeError(type(operator).__name__)

    @_write.register
    def _(self, chain: Chain, name: str) -> tuple[str, str]:
        fields = {
            role: f"&{self._convolution(conv, f'{name}_{role}')}"
            for role in ("expand", "spatial", "project")
            if (conv := getattr(chain, role)) is not None
        }
        return "TS_CHAIN", self._structure("ts_chain", name, fields)

    def _convolution(self, conv: Convolution, name: str) -> str:
        arrays: dict[str, Any] = {
            "weight": conv.weight.astype(np.int8),
            "bias": conv.bias.astype(np.int32),
            "multiplier": conv.factor.multiplier.astype(np.int32),
            "shift": conv.factor.shift.astype(np.uint8),
        }
        for field, values in arrays.items():
            self._parts.append(array(f"{name}_{field}", values))
        top, left, _, right = conv.pads
        self._convolutions += 1
        return self._structure("ts_convolution", name, {
            **{field: f"{name}_{field}" for field in arrays},
            "in": _shape(conv.source), "out": _shape(conv.result), "depthwise": conv.depthwise,
            "off_ties": conv.factor.off_ties, "narrow": int(np.abs(conv.weight.astype(int)).max()) <= _NARROW,
            "kernel_height": conv.kernel[0], "kernel_width": conv.kernel[1],
            "down": conv.strides[0], "along": conv.strides[1], "top": top, "left": left, "right": right,
            "zero_in": conv.source.zero, "zero_out": conv.result.zero,
            "low": conv.clamp.low, "high": conv.clamp.high, "id": self._convolutions - 1,
        })  # fmt: skip

    @_write.register
    def _(self, add: Add, name: str) -> tuple[str, str]:
        down, along, across = _steps_of(add.second, add.first)
        return "TS_ADD", self._structure("ts_add", name, {
            "shape": _shape(add.first), "down": down, "along": along, "across": across,
            "sum": _sum(add.sum), "low": add.clamp.low, "high": add.clamp.high,
        })  # fmt: skip

    @_write.register
    def _(self, affine: Affine, name: str) -> tuple[str, str]:
        operands = [affine.second, affine.second if affine.offset is None else affine.offset]
        steps = list(zip(*(_steps_of(tensor, affine.first) for tensor in operands), strict=True))
        return "TS_AFFINE", self._structure("ts_affine", name, {
            "shape": _shape(affine.first), "down": steps[0], "along": steps[1], "across": steps[2],
            "factor": _factor(affine.factor), "sum": _sum(affine.sum),
            "zero_first": affine.first.zero, "zero_second": affine.second.zero,
            "zero_product": affine.product, "low": affine.clamp.low, "high": affine.clamp.high,
            "constant": affine.offset is None,
        })  # fmt: skip

    @_write.register
    def _(self, mean: Mean, name: str) -> tuple[str, str]:
        square = {} if mean.square is None else {"square": _factor(mean.square)}
        return "TS_MEAN", self._structure("ts_mean", name, {
            "shape": _shape(mean.source), "axes": [axis in mean.axes for axis in range(3)],
            "squares": mean.square is not None, "zero_in": mean.source.zero, "zero_out": mean.result.zero,
            "low": mean.clamp.low, "high": mean.clamp.high, **square, "factor": _factor(mean.factor),
        })  # fmt: skip

    @_write.register
    def _(self, lookup: Lookup, name: str) -> tuple[str, str]:
        self._parts.append(array(f"{name}_table", lookup.table))
        fields = {"size": lookup.source.size, "table": f"{name}_table"}
        return "TS_LOOKUP", self._structure("ts_lookup", name, fields)

    @_write.register
    def _(self, norm: ResponseNorm, name: str) -> tuple[str, str]:
        fields = {"channels": norm.source.size, "one": norm.one, "gain": norm.gain, "floor": norm.floor}
        return "TS_RESPONSE_NORM", self._structure("ts_response_norm", name, fields)

    @_write.register
    def _(self, norm: ResidualNorm, name: str) -> tuple[str, str]:
        coefficients = ("energy", "mean", "floor", "scale_step", "scale_constant", "offset_step")
        return "TS_RESIDUAL_NORM", self._structure("ts_residual_norm", name, {
            "count": norm.mean_of.size, **{key: getattr(norm, key) for key in coefficients},
            "half_bits": norm.bits // 2, "zero_mean": norm.mean_of.zero, "zero_energy": norm.energy_of.zero,
            "zero_offset": norm.offset.zero,
        })  # fmt: skip

    @_write.register
    def _(self, pool: MaxPool, name: str) -> tuple[str, str]:
        return "TS_MAX_POOL", self._structure("ts_max_pool", name, {
            "in": _shape(pool.source), "out": _shape(pool.result),
            "kernel_height": pool.kernel[0], "kernel_width": pool.kernel[1],
            "down": pool.strides[0], "along": pool.strides[1],
        })  # fmt: skip

    def _channels(self, name: str, op: Channels, part: int, source: int, result: int) -> None:
        """The channels of one source: a step of its own."""
        pairs = [(channel, to) for to, (of, channel) in enumerate(op.places) if of == part]
        for field, values in zip(("from", "to"), zip(*pairs, strict=True), strict=True):
            self._parts.append(array(f"{name}_{field}", np.array(values, np.uint16)))
        self._structure("ts_channels", name, {
            "positions": op.result.height * op.result.width, "channels_in": op.sources[part].channels,
            "channels_out": op.result.channels, "count": len(pairs),
            "from": f"{name}_from", "to": f"{name}_to",
        })  # fmt: skip
        self._append("TS_CHANNELS", name, [source, 0, 0], [result, 0])
