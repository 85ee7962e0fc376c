"""The graph that ships, read with the ``onnx`` package alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from complexity.budget import Budget
from complexity.report import Report
from runtime.door import require
from runtime.errors import ModelFileError
from runtime.spec import ModelSpec


def measure_onnx(path: str | Path, *, budget: Budget) -> Report:
    """Weigh a model.onnx of ours: the official count is the stamp that the exporter left of its float twin.

    Raises:
        ModelFileError: where the file is no ONNX model or carries no description.
    """
    model = read_onnx(Path(path))
    spec = _read_spec(model, Path(path))
    stamp = spec.complexity
    params, macs = stamp.get("params"), stamp.get("macs")
    if not isinstance(params, int) or not isinstance(macs, int):
        raise ModelFileError(f"{path} does not tell its parameters and MACs: export it again.")
    scheme = str(spec.quantization.get("scheme", ""))
    stored_dtype = "int8" if scheme.startswith("int8") else "float32"
    return Report(
        model=Path(path).name,
        budget=budget,
        stored_dtype=stored_dtype,
        params=params,
        param_bytes=params * (1 if stored_dtype == "int8" else 4),
        macs=macs,
        macs_deployed=None,
        param_bytes_deployed=None,
        peak_activation_bytes=None,
        front_end_macs=stamp.get("front_end_macs"),
        file_bytes=Path(path).stat().st_size,
        uncounted=(),
        layers=(),
    )


def read_onnx(path: Path) -> Any:
    """Parse and check an ONNX file. Raises ModelFileError."""
    onnx = require("onnx", extra="complexity")
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}: `python -m export onnx` makes a model.onnx.")
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise whatever they like on damaged bytes
        raise ModelFileError(
            f"{path} is not an ONNX model, or damaged or cut short: copy or export it again."
        ) from error
    return model


def _read_spec(model: Any, path: Path) -> ModelSpec:
    for entry in model.metadata_props:
        if entry.key == "model_spec":
            return ModelSpec.from_json(entry.value)
    raise ModelFileError(f"{path} does not carry a model_spec: export it with `python -m export onnx`.")
