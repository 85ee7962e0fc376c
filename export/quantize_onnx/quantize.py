"""Quantizes a float ONNX file to INT8 and compares the two on the calibration inputs."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from complexity.error_text import first_line
from export.quantize_onnx.calibration_arrays import (
    Array,
    CalibrationReader,
    Feed,
    model_inputs,
    read_feeds,
)
from export.quantize_onnx.own_model import refresh_metadata
from export.quantize_onnx.source_model import read_source
from runtime.entry_point import require
from runtime.errors import DataError, ModelFileError
from runtime.files import refuse_to_replace, write_beside


@dataclass(frozen=True)
class QuantizedFile:
    """The result of a quantization.

    Attributes:
        file_bytes: size of the INT8 file.
        inputs: number of calibration inputs, the rows of batches.
        agreement: share of them whose greatest output is the same in INT8.
        error: largest difference of an output.
        notes: what the user should know about the file, a sentence each.
    """

    file_bytes: int
    inputs: int
    agreement: float
    error: float
    notes: tuple[str, ...] = ()


def quantize_onnx(source: Path, calibration: Path, output: Path) -> QuantizedFile:
    """Quantize a float ONNX model; the first output is what is compared.

    The scheme is that of `export onnx` as far as ONNX Runtime's quantizer has it: uint8 activations,
    symmetric int8 weights per channel in seven bits, so that no kernel saturates, as pairs of quantize and
    dequantize nodes. A float file of `export onnx` stays a model of the runtime: its ModelSpec and its
    self-test vectors are made anew.

    Args:
        source: the float .onnx file; its weights may be external data beside it.
        calibration: a folder of .npy or .npz files, see `read_feeds`.
        output: the .onnx file to write.

    Raises:
        ModelFileError: where the file cannot be read or quantized, or gives outputs that are not finite.
        DataError: where the folder holds no inputs that the model takes.
        ConfigError: where ``output`` is the source.
    """
    refuse_to_replace([source], output)
    model = read_source(source)
    feeds = read_feeds(calibration, model_inputs(model, source))
    expected = [row for output in _run(model, feeds, source) for row in output]
    if not all(np.isfinite(row).all() for row in expected):
        raise ModelFileError(
            f"{source} gives NaN or infinite outputs for the inputs of {calibration}, which INT8 has not: "
            "correct the network, or give inputs as it was trained on."
        )
    with write_beside(output) as partial:
        _quantize(model, source, partial, feeds)
        notes = refresh_metadata(source, partial, len(expected))
        actual = [row for output in _run(onnx.load(partial), feeds, partial) for row in output]
        size = partial.stat().st_size
    same = [e.argmax() == a.argmax() for e, a in zip(expected, actual, strict=True)]
    errors = [float(np.abs(e.astype(float) - a).max()) for e, a in zip(expected, actual, strict=True)]
    return QuantizedFile(size, len(expected), float(np.mean(same)), max(errors), notes)


def _quantize(model: onnx.ModelProto, source: Path, target: Path, feeds: list[Feed]) -> None:
    tools = require("onnxruntime.quantization", extra="train")
    preprocess = require("onnxruntime.quantization.shape_inference", extra="train")
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        single, prepared = Path(folder) / "single.onnx", Path(folder) / "prepared.onnx"
        onnx.save(model, single)  # one file, whatever the source was
        try:
            preprocess.quant_pre_process(str(single), str(prepared), skip_symbolic_shape=True)
            tools.quantize_static(
                str(prepared), str(target), CalibrationReader(feeds),
                quant_format=tools.QuantFormat.QDQ, per_channel=True, reduce_range=True,
                activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
                extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
            )  # fmt: skip
        except Exception as error:  # the quantizer raises whatever its parts do
            raise ModelFileError(
                f"onnxruntime cannot quantize {source} ({first_line(error)}): simplify the model or export "
                "it another way."
            ) from error


class _without_advice:  # noqa: N801 - used as a function
    """Hide the quantizer's advice to preprocess the model, which has been done."""

    def __enter__(self) -> None:
        self._level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().setLevel(self._level)


def _run(model: onnx.ModelProto, feeds: list[Feed], path: Path) -> list[list[Array]]:
    """The first output for every row of every input, in ONNX Runtime without graph optimizations."""
    session = _session(model, path)
    first = session.get_outputs()[0].name
    try:
        return [_rows(np.asarray(session.run([first], feed)[0]), feed) for feed in feeds]
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise DataError(
            f"{path} does not run on the calibration inputs ({first_line(error)}): save others."
        ) from error


def _rows(output: Array, feed: Feed) -> list[Array]:
    """The parts of an output that belong to one row of a batch; one part where the first axis is none."""
    batches = {array.shape[0] if array.ndim else 1 for array in feed.values()}
    return list(output) if output.ndim > 1 and batches == {len(output)} else [output]


def _session(model: onnx.ModelProto, path: Path) -> Any:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, see runtime.model.session
    ort = require("onnxruntime", extra="train")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise ModelFileError(
            f"onnxruntime {ort.__version__} cannot load {path} ({first_line(error)}): export it again."
        ) from error
