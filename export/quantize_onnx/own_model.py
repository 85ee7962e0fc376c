"""Describes a quantized file of `export onnx` anew: ModelSpec, self-test vectors and checksum."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from complexity.measurement import measure_onnx
from export.metadata import attach_metadata, float_statistics
from export.self_test_vectors import choose_self_test_vectors
from runtime.errors import ModelFileError
from runtime.model.model_file import SPEC_KEY
from runtime.model.session import OUTPUT, Session
from runtime.spec import ModelSpec

_REMEDY = "quantize its model.pt: `python -m export onnx MODEL.PT --quantize ptq`"


def refresh_metadata(source: Path, quantized: Path, inputs: int) -> tuple[str, ...]:
    """Describe a quantized file anew where its source is a model of this toolkit.

    Args:
        source: the float file, for messages.
        quantized: what the quantizer made of it; it is written again.
        inputs: number of calibration inputs, for the provenance.

    Returns:
        Notes for the user; none where the source is of another toolkit.

    Raises:
        ModelFileError: where the runtime would refuse the result.
    """
    model = onnx.load(quantized)
    spec_json = next((entry.value for entry in model.metadata_props if entry.key == SPEC_KEY), None)
    if spec_json is None:
        return ()
    spec = ModelSpec.from_json(spec_json)
    provenance = {"tool": f"onnxruntime {version('onnxruntime')}", "inputs": inputs}
    spec = replace(
        spec,
        quantization=_describe(model, source),
        provenance={**spec.provenance, "quantize_onnx": provenance},
        self_test_vectors=choose_self_test_vectors(model.SerializeToString(), spec.input_shape),
    )
    quantized.write_bytes(attach_metadata(model, spec))
    spec = replace(spec, complexity=spec.complexity | measure_onnx(quantized).totals())
    quantized.write_bytes(attach_metadata(model, spec))
    try:
        Session(quantized)
    except ModelFileError as error:
        raise ModelFileError(
            f"{source} is a model of this toolkit whose quantized form the runtime refuses: {_REMEDY}."
        ) from error
    note = (
        f"{source} is a model of this toolkit: the result loads in the runtime, but was not verified on "
        f"audio nor made bit-equal on other CPUs; for both, {_REMEDY}"
    )
    return (note,)


def _describe(model: onnx.ModelProto, source: Path) -> dict[str, Any]:
    """``ModelSpec.quantization`` of the quantizer's scheme."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    last = next((node for node in model.graph.node if OUTPUT in node.output), None)
    if last is None or last.op_type != "DequantizeLinear":
        raise ModelFileError(f"The logits of {source} stay float when it is quantized: {_REMEDY}.")
    weights = [value for value in constants.values() if value.dtype == np.int8 and value.ndim > 1]
    return {
        "scheme": "int8",
        "method": "onnxruntime",
        "weight_range": [min(int(w.min()) for w in weights), max(int(w.max()) for w in weights)],
        "output_scale": float(constants[last.input[1]]),
        "output_zero_point": int(constants[last.input[2]]) if len(last.input) > 2 else 0,
        "keep_float": [],
        **float_statistics(model),
    }
