"""What an ONNX file stores: parameters once each, by data type, and scales and zero points apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from complexity.counters.onnx_graph.dataflow import Dataflow
from complexity.counters.onnx_graph.file import OnnxFile
from complexity.counters.onnx_graph.operators import RECURRENT, SETTINGS, STATISTICS, WEIGHTED

# shapes, axes, indices of Gather and masks: settings of the graph, not parameters. An int64 tensor that a
# Cast makes the weights of a convolution, product or recurrence is one.
_INDEX_TYPES = ("int64", "bool")
_INITIAL_STATES = (5, 6)  # inputs of LSTM, GRU and RNN


@dataclass(frozen=True)
class Stored:
    """What a graph stores.

    Attributes:
        params: elements of weights, biases, and scales and shifts of normalizations.
        bytes_by_dtype: bytes of those and of running statistics, by data type.
        weight_elements: elements of the operands of convolutions, products and recurrences, by the
            bytes of one element.
        quantization_bytes: scales and zero points.
    """

    params: int
    bytes_by_dtype: dict[str, int]
    weight_elements: dict[float, int]
    quantization_bytes: int


class Storage:
    """Adds up the parameters that nodes read, each once."""

    def __init__(self, file: OnnxFile, dataflow: Dataflow) -> None:
        self._file, self._dataflow = file, dataflow
        self._seen: set[str] = set(file.scales)
        self._params = 0
        self._bytes: Counter[str] = Counter()
        self._weights: Counter[float] = Counter()

    def take(self, node: Any) -> tuple[int, int]:
        """Elements and bytes of the parameters that this node is the first to read."""
        params = total_bytes = 0
        for position, operand in enumerate(node.input):
            if position in SETTINGS.get(node.op_type, ()):
                continue
            for name in self._dataflow.origins.get(operand, frozenset()) - self._seen:
                element, shape = self._file.type(name), self._file.shape(name)
                weights = node.op_type in WEIGHTED and len(shape) > 1
                if element.name in _INDEX_TYPES and not (weights and name in self._dataflow.cast):
                    continue
                if node.op_type in RECURRENT and position in _INITIAL_STATES and self._is_zero(name):
                    continue
                self._seen.add(name)
                self._bytes[element.name] += self._file.bytes(name)
                total_bytes += self._file.bytes(name)
                if position not in STATISTICS.get(node.op_type, ()):
                    params += prod(shape) * (2 if element.name.startswith("complex") else 1)
                if weights:
                    self._weights[element.bytes] += prod(shape)
        self._params += params
        return params, total_bytes

    def _is_zero(self, name: str) -> bool:
        """Whether a stored tensor is small and all zeros, as the state that recurrences start from."""
        values = self._file.inferred.values.get(name)
        return values is not None and not values.any()

    def total(self) -> Stored:
        """The sums over all nodes so far."""
        quantization = sum(self._file.bytes(n) for n in self._file.scales if n in self._dataflow.origins)
        return Stored(self._params, dict(self._bytes), dict(self._weights), quantization)
