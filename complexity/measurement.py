"""The calls of this room: measure a network or a file, and refuse what is over its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from complexity.budget import DEFAULT, Budget, OverBudgetError
from complexity.counters.onnx_file import OnnxFile, read_onnx
from complexity.counters.onnx_graph import Stored, count_graph
from complexity.counters.tflite_file import count_tflite
from complexity.counters.torch_trace import trace
from complexity.counters.torchinfo_count import count_official, float_twin
from complexity.front_end import front_end_macs
from complexity.operations import find_peak
from complexity.report.layers import rows_of_graph, rows_of_module, uncounted_in_graph
from complexity.report.report import Report
from runtime.errors import ConfigError, ModelFileError
from runtime.spec import FrontEndSpec

if TYPE_CHECKING:
    from torch import nn

STORED_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


def measure(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    stored_dtype: str = "int8",
    budget: Budget = DEFAULT,
    frontend: FrontEndSpec | None = None,
) -> Report:
    """Weigh a float network before its conversion.

    The deployed figures are a forecast: the operations that the network executes, every parameter and
    activation in the stored data type.

    Args:
        model: the float network; it is copied and left as it is.
        input_shape: shape of its input, [batch, ...]; the batch is counted as 1.
        stored_dtype: data type that the parameters will be stored in, a key of `STORED_BYTES`.
        budget: rules to hold it against.
        frontend: what computes its input; the last axis of ``input_shape`` is then the frames.

    Raises:
        ConfigError: where the stored data type or a torch operator of the network is unknown, or the
            network is converted to INT8 already.
        MissingExtraError: where torch or torchinfo is not installed.

    Example:
        >>> from torch import nn
        >>> measure(nn.Conv2d(1, 8, 3, bias=False), (1, 1, 10, 10)).macs
        4608
    """
    if stored_dtype not in STORED_BYTES:
        raise ConfigError(
            f"Parameters cannot be stored as '{stored_dtype}': choose one of {', '.join(STORED_BYTES)}."
        )
    twin = float_twin(model)
    official = count_official(twin, input_shape)
    traced = trace(twin, input_shape, element_bytes=STORED_BYTES[stored_dtype])
    layers, uncounted = rows_of_module(twin, official, traced)
    params = sum(row.params for row in official)
    return Report(
        model=type(model).__name__,
        budget=budget,
        official="torchinfo on the float network.",
        deployed=f"Forecast: the operations of one run, every parameter and activation as {stored_dtype}.",
        stored_dtype=stored_dtype,
        params=params,
        param_bytes=params * STORED_BYTES[stored_dtype],
        macs=sum(row.macs for row in official),
        param_bytes_by_dtype={stored_dtype: sum(layer.param_bytes_deployed for layer in layers)},
        quantization_bytes=0,
        peak=find_peak(traced.graph),
        front_end_macs=front_end_macs(frontend, input_shape[-1]) if frontend else None,
        file_bytes=None,
        uncounted=uncounted,
        layers=layers,
    )


def measure_onnx(
    path: str | Path, *, input_shape: Sequence[int] | None = None, budget: Budget = DEFAULT
) -> Report:
    """Weigh an ONNX file. Never imports torch.

    Of a model of ours the official count is the one that the exporter took of the float twin and left in
    the file, because the rule is defined there; of any other model the rule's formulas are applied to
    the operators of the graph.

    Args:
        path: a model.onnx.
        input_shape: shape of its input where the graph leaves it open; the batch is taken as 1.
        budget: rules to hold it against.

    Raises:
        ModelFileError: where the file cannot be read, or holds operators or shapes that are unknown.
    """
    file = read_onnx(path, input_shape)
    graph, stored = count_graph(file)
    stamped = file.spec is not None
    layers = rows_of_graph(graph, by_rule=not stamped)
    params, macs = _stamp(file) or (stored.params, sum(node.work.official for node in graph.nodes))
    spec = file.spec
    return Report(
        model=file.path.name,
        budget=budget,
        official=(
            "Taken at export of the float network with torchinfo, and stamped into the file."
            if stamped
            else "The rule's formulas on the operators of the graph, batch norm as it stands there."
        ),
        deployed="The operators of the graph in the order of the file; QDQ pairs folded.",
        stored_dtype=_main_dtype(stored.bytes_by_dtype),
        params=params,
        param_bytes=_bytes_by_rule(params, stored),
        macs=macs,
        param_bytes_by_dtype=stored.bytes_by_dtype,
        quantization_bytes=stored.quantization_bytes,
        peak=find_peak(graph),
        front_end_macs=front_end_macs(spec.frontend, spec.input_shape[-1]) if spec else None,
        file_bytes=sum(part.stat().st_size for part in file.parts),
        uncounted=uncounted_in_graph(graph),
        layers=layers,
    )


def measure_tflite(path: str | Path, *, budget: Budget = DEFAULT) -> Report:
    """Weigh a .tflite file by NeSsi's rule for such files.

    Args:
        path: the file.
        budget: rules to hold it against.

    Raises:
        ModelFileError: where the file cannot be read or holds operators that are unknown.
        MissingExtraError: where the package ``tflite`` is not installed.
    """
    path = Path(path)
    count = count_tflite(path)
    return Report(
        model=path.name,
        budget=budget,
        official="NeSsi's rule for TFLite: every constant that an operator reads, and its MACs.",
        deployed="The operators of the graph in the order of the file.",
        stored_dtype=_main_dtype(count.bytes_by_dtype),
        params=count.params,
        param_bytes=count.param_bytes,
        macs=sum(node.work.official for node in count.graph.nodes),
        param_bytes_by_dtype=count.bytes_by_dtype,
        quantization_bytes=count.quantization_bytes,
        peak=find_peak(count.graph),
        front_end_macs=None,
        file_bytes=path.stat().st_size,
        uncounted=uncounted_in_graph(count.graph),
        layers=rows_of_graph(count.graph, by_rule=False),
    )


def _stamp(file: OnnxFile) -> tuple[int, int] | None:
    """Parameters and MACs that the exporter counted on the float twin."""
    if file.spec is None:
        return None
    params, macs = file.spec.complexity.get("params"), file.spec.complexity.get("macs")
    if not isinstance(params, int) or not isinstance(macs, int):
        raise ModelFileError(f"{file.path} does not tell its parameters and MACs: export it again.")
    return params, macs


def _main_dtype(bytes_by_dtype: Mapping[str, int]) -> str:
    return max(bytes_by_dtype, key=lambda name: bytes_by_dtype[name], default="float32")


def _bytes_by_rule(params: int, stored: Stored) -> int:
    """Bytes of the rule's parameters: all in the main data type, but weights kept wider as they are.

    The rule knows one data type per model; biases count in it, whatever the graph computes them in.
    """
    main = max(stored.weight_elements, key=lambda size: stored.weight_elements[size], default=4.0)
    wider = sum(n * (size - main) for size, n in stored.weight_elements.items() if size > main)
    return round(params * main + wider)


def check(report: Report) -> None:
    """Stop a model that is over its limits.

    Raises:
        OverBudgetError: one sentence that says by how much.
    """
    if not report.within:
        raise OverBudgetError(report.excess())
