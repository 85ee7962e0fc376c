"""INT8 for ONNX files that are not ours, by ONNX Runtime's own static quantization."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError

from runtime.entry_point import require
from runtime.errors import DataError, ModelFileError
from runtime.files import write_beside
from runtime.model.session import run_unoptimized

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ForeignResult:
    """What became of a foreign model.

    Attributes:
        file_bytes: of the INT8 file.
        inputs: number of calibration inputs.
        agreement: share of them whose greatest output is the same in INT8.
        error: largest difference of an output.
    """

    file_bytes: int
    inputs: int
    agreement: float
    error: float


def quantize_foreign(source: Path, calibration: Path, output: Path) -> ForeignResult:
    """Quantize a float ONNX model with one input; what is compared is its first output.

    The scheme is ours as far as the tool goes: uint8 activations, symmetric int8 weights per channel in
    seven bits, so that no kernel saturates, as pairs of quantize and dequantize nodes.

    Args:
        source: the float .onnx file.
        calibration: a folder of .npy files, each one float input with its batch axis of one.
        output: the .onnx file to write.

    Raises:
        ModelFileError: where the file is no ONNX model with one input, or cannot be quantized.
        DataError: where the folder holds no inputs that the model takes.
    """
    model = _read(source)
    inputs = _read_inputs(calibration)
    try:
        wanted = _outputs(model, inputs)
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise DataError(f"{source} does not take the arrays in {calibration}: {_reason(error)}") from error
    with write_beside(output) as partial:
        try:
            _quantize(source, partial, _Reader(model.graph.input[0].name, inputs))
        except Exception as error:  # and the quantizer raises whatever its parts do
            raise ModelFileError(f"onnxruntime cannot quantize {source}: {_reason(error)}") from error
        got = _outputs(_read(partial), inputs)
        size = partial.stat().st_size
    same = [w.argmax() == g.argmax() for w, g in zip(wanted, got, strict=True)]
    errors = [float(np.abs(w - g).max()) for w, g in zip(wanted, got, strict=True)]
    return ForeignResult(size, len(inputs), float(np.mean(same)), max(errors))


class _Reader:
    """Hands calibration inputs to the tool one by one (its CalibrationDataReader)."""

    def __init__(self, name: str, inputs: list[Array]) -> None:
        self._inputs: Iterator[dict[str, Array]] = iter([{name: array} for array in inputs])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._inputs, None)


def _quantize(source: Path, target: Path, reader: _Reader) -> None:
    # runtime.model.session has run the model by now, so telemetry is off before this import
    tools = require("onnxruntime.quantization", extra="train")
    preprocess = require("onnxruntime.quantization.shape_inference", extra="train")
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        preprocess.quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
        tools.quantize_static(
            prepared, str(target), reader,
            quant_format=tools.QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
            extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
        )  # fmt: skip


def _read(path: Path) -> Any:
    try:
        model = onnx.load(path)
    except (OSError, DecodeError, ValueError) as error:
        raise ModelFileError(f"{path} is missing or no ONNX model: name a float .onnx file.") from error
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor.name for tensor in model.graph.input if tensor.name not in constants]
    if len(inputs) != 1:
        raise ModelFileError(f"{path} has the inputs {inputs}: only models with one input are quantized.")
    return model


def _read_inputs(folder: Path) -> list[Array]:
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise DataError(f"{folder} holds no .npy files: save some inputs of the model there, one a file.")
    try:
        return [np.load(path, allow_pickle=False).astype(np.float32) for path in paths]
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds a file that is no array of numbers: {error}") from error


def _outputs(model: Any, inputs: list[Array]) -> list[Array]:
    data, name = model.SerializeToString(), model.graph.input[0].name
    first = model.graph.output[0].name
    return [run_unoptimized(data, array, [first], name)[0] for array in inputs]


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
