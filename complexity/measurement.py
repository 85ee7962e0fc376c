"""Measure a network or a file, and refuse what is over its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from complexity.activation_memory import find_peak
from complexity.budget import DEFAULT, Budget, OverBudgetError
from complexity.counters.clip_trace import trace_clip
from complexity.counters.float_reference import float_reference
from complexity.counters.onnx_graph.count import count_onnx
from complexity.counters.onnx_graph.file import OnnxFile
from complexity.counters.onnx_graph.inputs import InputShapes
from complexity.counters.onnx_graph.storage import Stored
from complexity.counters.tflite_file import count_tflite
from complexity.counters.torch_trace import Trace
from complexity.counters.torchinfo_count import count_official
from complexity.counters.uncounted_operations import uncounted_in_graph, uncounted_in_module
from complexity.front_end import front_end_macs
from complexity.report.layers import layers_of_graph, layers_of_module, modules_of
from complexity.report.report import Report
from runtime.errors import ConfigError, ModelFileError
from runtime.spec import FrontEndSpec

if TYPE_CHECKING:
    from torch import nn

_FORECAST = "Forecast: the operations of one run, every parameter and activation"
STORED_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


def measure(
    model: nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    *,
    stored_dtype: str = "int8",
    budget: Budget = DEFAULT,
    frontend: FrontEndSpec | None = None,
) -> Report:
    """Measure a float network before its conversion.

    The deployed numbers are a forecast: the operations that the network executes, every parameter and
    activation in the stored data type. What reads only parameters (weight normalization and other
    parametrizations) is folded into the weights, as every exporter does, and costs nothing.

    Args:
        model: the float network; it is copied and stays as it is.
        input_shape: shape of its input, [batch, ...], or a list with the shape of every input; the batch
            counts as 1. A first axis that the network computes along is no batch and counts whole.
        stored_dtype: data type that the parameters will be stored in, a key of `STORED_BYTES`.
        budget: rules to compare with.
        frontend: what computes its input; the last axis of ``input_shape`` is then the frames.

    Raises:
        ConfigError: where the stored data type or a torch operator of the network is unknown, where the
            network does not run on the input shape, cannot be copied, is a TorchScript module, or is
            converted to INT8 already.
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
    reference = float_reference(model)
    clip = trace_clip(reference, input_shape, element_bytes=STORED_BYTES[stored_dtype])
    traced, inputs = clip.trace, clip.inputs
    official = count_official(reference, inputs)
    modules = modules_of(reference, official, traced)
    layers = layers_of_module(modules)
    params = sum(layer.params for layer in official)
    return Report(
        model=type(model).__name__,
        budget=budget,
        official=f"torchinfo on the float network.{_describe_buffers(traced)}",
        deployed=f"{_FORECAST} as {stored_dtype}. {clip.note}".rstrip(),
        stored_dtype=stored_dtype,
        params=params,
        param_bytes=params * STORED_BYTES[stored_dtype],
        macs=sum(layer.macs for layer in official),
        param_bytes_by_dtype={stored_dtype: sum(layer.param_bytes_deployed for layer in layers)},
        quantization_bytes=0,
        peak=find_peak(traced.graph),
        front_end_macs=front_end_macs(frontend, inputs[0].shape[-1]) if frontend else None,
        file_bytes=None,
        uncounted=uncounted_in_module(modules),
        layers=layers,
    )


def measure_onnx(
    path: str | Path, *, input_shape: InputShapes | None = None, budget: Budget = DEFAULT
) -> Report:
    """Measure an ONNX file. Never imports torch.

    The official count is defined on the float network. A file that this project exported holds that
    count; for any other file the rule's formulas are applied to the operators of the graph.

    Args:
        path: an .onnx file.
        input_shape: shape of its only input, or shapes by the names of its inputs, where the graph leaves
            axes open; a batch counts as 1. Where the file fixes a first axis of several elements,
            a 1 here says that it is a batch, and the same size says that it is a part of the clip.
        budget: rules to compare with.

    Raises:
        ConfigError: where ``input_shape`` does not fit the inputs.
        ModelFileError: where the file cannot be read, holds operators or shapes that are unknown, or does
            not tell whether its first axis is a batch.
    """
    count = count_onnx(path, input_shape)
    file, graph, stored = count.file, count.graph, count.stored
    ours = file.spec is not None
    params, macs = _count_at_export(file) or (stored.params, sum(node.work.official for node in graph.nodes))
    spec = file.spec
    return Report(
        model=file.path.name,
        budget=budget,
        official=(
            "Taken at export of the float network with torchinfo, and written into the file."
            if ours
            else "The rule's formulas on the operators of the graph, batch norm as it stands there."
        ),
        deployed=" ".join(
            ["The operators of the graph in the order of the file; QDQ pairs folded.", *count.notes]
        ),
        stored_dtype=_main_dtype(stored.bytes_by_dtype),
        params=params,
        param_bytes=_bytes_by_rule(params, stored),
        macs=macs,
        param_bytes_by_dtype=stored.bytes_by_dtype,
        quantization_bytes=stored.quantization_bytes,
        peak=find_peak(graph),
        front_end_macs=front_end_macs(spec.frontend, spec.input_shape[-1]) if spec else None,
        file_bytes=sum(part.stat().st_size for part in file.files),
        uncounted=uncounted_in_graph(graph),
        layers=layers_of_graph(graph, by_rule=not ours),
    )


def measure_tflite(path: str | Path, *, budget: Budget = DEFAULT) -> Report:
    """Measure a .tflite file by NeSsi's rule for such files.

    Args:
        path: the file.
        budget: rules to compare with.

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
        layers=layers_of_graph(count.graph, by_rule=False),
    )


def _describe_buffers(traced: Trace) -> str:
    """What the rule leaves out, where a network computes with buffers."""
    if not traced.buffer_elements:
        return ""
    return (
        f" It leaves out {traced.buffer_elements:,} elements of buffers that the network computes with; the "
        "deployed bytes include them."
    )


def _count_at_export(file: OnnxFile) -> tuple[int, int] | None:
    """Parameters and MACs that the exporter counted on the float network; None in files of other tools."""
    if file.spec is None:
        return None
    params, macs = file.spec.complexity.get("params"), file.spec.complexity.get("macs")
    if not isinstance(params, int) or not isinstance(macs, int):
        raise ModelFileError(f"The metadata of {file.path} lacks its parameters and MACs: export it again.")
    return params, macs


def _main_dtype(bytes_by_dtype: Mapping[str, int]) -> str:
    return max(bytes_by_dtype, key=lambda name: bytes_by_dtype[name], default="float32")


def _bytes_by_rule(params: int, stored: Stored) -> int:
    """Bytes of the rule's parameters: all in the main data type, but weights kept wider as they are.

    The rule has one data type per model; biases count in it, whatever the graph computes them in.
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
