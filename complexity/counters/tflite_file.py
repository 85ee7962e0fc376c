"""A .tflite file, read with the ``tflite`` package: NeSsi's count, and what an interpreter executes."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

from complexity.counters.tflite_operators import COSTS, IN_PLACE, VIEWS, TfliteOperands
from complexity.error_text import first_line
from complexity.file_kinds import identify, read_model
from complexity.operations import Graph, Node
from runtime.entry_point import require
from runtime.errors import ModelFileError

# TensorType -> (name, bytes of one element); schema.fbs of TensorFlow Lite
_TYPES = {
    0: ("float32", 4), 1: ("float16", 2), 2: ("int32", 4), 3: ("uint8", 1), 4: ("int64", 8),
    6: ("bool", 1), 7: ("int16", 2), 9: ("int8", 1), 10: ("float64", 8), 15: ("uint32", 4),
    16: ("uint16", 2), 17: ("int4", 0.5),
}  # fmt: skip
# what flatbuffers raise where the bytes are not what their schema says
_UNREADABLE = (
    struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, MemoryError,
)  # fmt: skip
_SETTINGS = ("int32", "int64", "bool")  # of operators without weights: shapes and axes, not parameters


@dataclass(frozen=True)
class TfliteCount:
    """What a .tflite costs.

    Attributes:
        graph: the operations in their order.
        params: elements of the constants that operators read, as NeSsi adds them up.
        param_bytes: their bytes; NeSsi compares these with its limit.
        bytes_by_dtype: bytes of the parameters, each counted once.
        quantization_bytes: scales (float32) and zero points (int64).
    """

    graph: Graph
    params: int
    param_bytes: int
    bytes_by_dtype: dict[str, int]
    quantization_bytes: int


def count_tflite(path: Path) -> TfliteCount:
    """Read and count a .tflite file.

    Raises:
        ModelFileError: where the file cannot be read, has several graphs or a batch other than 1, or holds
            an operator or data type whose cost is unknown.
    """
    tflite = require("tflite", extra="tflite")
    data = read_model(path, hint="give a .tflite file that exists")
    if data[4:8] != b"TFL3":
        kind = identify(path) or "bytes 4 to 8 are not TFL3"
        raise ModelFileError(f"{path} is not a TFLite model ({kind}): give one, or convert it again.")
    try:
        model = tflite.Model.GetRootAsModel(data, 0)
        for index in range(model.BuffersLength()):
            model.Buffers(index).DataAsNumpy()  # fails where the file is cut short
        if model.SubgraphsLength() == 1:
            return _Reader(tflite, model, path).count()
    except _UNREADABLE as error:
        raise ModelFileError(
            f"{path} cannot be read as a TFLite model, for its tables point at bytes that are not there or "
            f"hold something else ({type(error).__name__}: {first_line(error)}): copy or convert it again."
        ) from error
    raise ModelFileError(
        f"{path} has {model.SubgraphsLength()} graphs, and only a file with one can be measured: convert it "
        "without control flow."
    )


class _Reader:
    def __init__(self, tflite: Any, model: Any, path: Path) -> None:
        self._tflite, self._model, self._path = tflite, model, path
        self._subgraph = model.Subgraphs(0)
        self._operators = [self._subgraph.Operators(i) for i in range(self._subgraph.OperatorsLength())]
        self._inputs = self._subgraph.InputsAsNumpy().tolist()
        made = {index for operator in self._operators for index in operator.OutputsAsNumpy().tolist()}
        self._activations = made | set(self._inputs)
        self._seen: set[int] = set()
        self._bytes: Counter[str] = Counter()

    def count(self) -> TfliteCount:
        for index in self._inputs:
            if self._shape(index)[:1] not in ((), (1,)):
                raise ModelFileError(f"{self._path} has a batch other than 1 built in: convert it with 1.")
        nodes = tuple(self._node(operator) for operator in self._operators)
        sizes = {self._name(index): self._size(index) for index in self._activations}
        outputs = tuple(self._name(index) for index in self._subgraph.OutputsAsNumpy().tolist())
        constants = [i for op in self._operators for i in self._read(op) if self._is_constant(i)]
        return TfliteCount(
            Graph(nodes, sizes, tuple(map(self._name, self._inputs)), outputs),
            params=sum(prod(self._shape(i)) for i in constants),
            param_bytes=sum(map(self._size, constants)),
            bytes_by_dtype=dict(self._bytes),
            quantization_bytes=sum(map(self._quantization, range(self._subgraph.TensorsLength()))),
        )

    def _node(self, operator: Any) -> Node:
        kind, read = self._kind(operator), self._read(operator)
        written = operator.OutputsAsNumpy().tolist()
        operands = TfliteOperands(
            [self._shape(i) if i >= 0 else None for i in read],
            [self._shape(i) for i in written],
            operator.BuiltinOptions(),
        )
        try:
            work = COSTS[kind](operands)
        except (LookupError, AttributeError) as error:  # an input or the options are missing
            raise ModelFileError(
                f"The operator {kind} in {self._path} lacks an input or its options: convert the file again."
            ) from error
        params, param_bytes = self._store(read, has_weights=work.macs > 0)
        return Node(
            name=self._name(written[0]),
            op=kind,
            inputs=tuple(self._name(i) for i in read if i in self._activations),
            outputs=tuple(map(self._name, written)),
            output_shape=self._shape(written[0]),
            work=work,
            params=params,
            param_bytes=param_bytes,
            reuse="view" if kind in VIEWS else "in_place" if kind in IN_PLACE else "none",
        )

    def _kind(self, operator: Any) -> str:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        kind = custom.decode() if custom else self._tflite.BUILTIN_OPCODE2NAME.get(number, str(number))
        if kind not in COSTS:
            raise ModelFileError(
                f"{self._path} holds an operator whose cost is unknown here ({kind}): replace it, or ask for "
                "it in an issue; a silent zero would be wrong."
            )
        return str(kind)

    def _store(self, read: list[int], *, has_weights: bool) -> tuple[int, int]:
        """Elements and bytes of the parameters that no operator before has used."""
        params = param_bytes = 0
        for index in read:
            dtype = self._type(index)[0] if index >= 0 else ""
            setting = dtype in _SETTINGS and not has_weights
            if self._is_constant(index) and not setting and index not in self._seen:
                self._seen.add(index)
                self._bytes[dtype] += self._size(index)
                params += prod(self._shape(index))
                param_bytes += self._size(index)
        return params, param_bytes

    def _is_constant(self, index: int) -> bool:
        return index >= 0 and index not in self._activations

    def _read(self, operator: Any) -> list[int]:
        return [int(index) for index in operator.InputsAsNumpy()]

    def _name(self, index: int) -> str:
        name = self._subgraph.Tensors(index).Name()
        return f"{index} {name.decode(errors='replace')}" if name else str(index)

    def _shape(self, index: int) -> tuple[int, ...]:
        tensor = self._subgraph.Tensors(index)
        return tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else ()

    def _type(self, index: int) -> tuple[str, float]:
        kind = self._subgraph.Tensors(index).Type()
        if kind not in _TYPES:
            raise ModelFileError(f"{self._path} holds tensors of type {kind}, whose size is unknown here.")
        return _TYPES[kind]

    def _size(self, index: int) -> int:
        return ceil(prod(self._shape(index)) * self._type(index)[1])

    def _quantization(self, index: int) -> int:
        parameters = self._subgraph.Tensors(index).Quantization()
        return 4 * parameters.ScaleLength() + 8 * parameters.ZeroPointLength() if parameters else 0
