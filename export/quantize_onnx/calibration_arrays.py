"""Reads calibration inputs from .npy and .npz files and checks them against the inputs of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import onnx

from runtime.errors import DataError, ModelFileError

Array = npt.NDArray[Any]
Feed = dict[str, Array]  # an array for each input name


@dataclass(frozen=True)
class ModelInput:
    """An input of a model.

    Attributes:
        name: in the graph.
        dtype: of its tensor.
        shape: a free dimension is None; no shape at all where the graph has none.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        shape = "any shape" if self.shape is None else _write(self.shape)
        return f"'{self.name}' {self.dtype.name} {shape}"


def model_inputs(model: onnx.ModelProto, path: Path) -> list[ModelInput]:
    """The inputs of a graph that are no weights.

    Raises:
        ModelFileError: where there is none, or one is no tensor.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in model.graph.input:
        if value.name in constants:
            continue
        if not value.type.HasField("tensor_type"):
            raise ModelFileError(f"The input '{value.name}' of {path} is no tensor: it cannot be quantized.")
        tensor = value.type.tensor_type
        shape = None
        if tensor.HasField("shape"):
            shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        found.append(ModelInput(value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape))
    if not found:
        raise ModelFileError(f"{path} has no input, so there is nothing to quantize.")
    return found


def read_feeds(folder: Path, inputs: list[ModelInput]) -> list[Feed]:
    """Read every .npy and .npz file of a folder, in the order of their names.

    Args:
        folder: a .npy file is the only input of a model; a .npz file holds one array for each input name.
        inputs: of the model.

    Raises:
        DataError: where there is no such file, or one does not fit; it names file, expected and actual.
    """
    if not folder.is_dir():
        fault = f"{folder} is a file" if folder.exists() else f"There is no folder {folder}"
        raise DataError(f"{fault}: give a folder with inputs of the model, one .npy file each.")
    suffixes = (".npz",) if len(inputs) > 1 else (".npy", ".npz")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not paths:
        names = ", ".join(str(each) for each in inputs)
        kind = "one .npz file with an array for each input" if len(inputs) > 1 else "one .npy file each"
        raise DataError(
            f"{folder} holds no {' or '.join(suffixes)} files: save some inputs ({names}), {kind}."
        )
    return [_read_feed(path, inputs) for path in paths]


def _read_feed(path: Path, inputs: list[ModelInput]) -> Feed:
    arrays = _load(path)
    if isinstance(arrays, np.ndarray):
        return {inputs[0].name: _fit(arrays, inputs[0], path)}
    if missing := [each for each in inputs if each.name not in arrays]:
        raise DataError(
            f"{path} has no array '{missing[0].name}' (it has {', '.join(arrays) or 'none'}): save one array "
            f"for each input, {', '.join(str(each) for each in inputs)}."
        )
    return {each.name: _fit(arrays[each.name], each, path) for each in inputs}


def _load(path: Path) -> Array | Mapping[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is not an array of numbers that numpy reads: save it again.") from error


def _fit(array: Array, expected: ModelInput, path: Path) -> Array:
    """The array in the data type of the input, after all checks."""
    actual = f"{array.dtype.name} {_write(array.shape)}"
    shape = expected.shape
    fits = shape is None or (
        len(shape) == array.ndim
        and all(size in (None, given) for size, given in zip(shape, array.shape, strict=True))
    )
    kinds = "fiu" if expected.dtype.kind == "f" else "iu" if expected.dtype.kind in "iu" else "b"
    if not fits or array.dtype.kind not in kinds or not array.size:
        raise DataError(f"{path} holds {actual} and the model takes {expected}: save such an array.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{path} holds NaN or infinite numbers: leave the file out, or save it again.")
    return array.astype(expected.dtype)


def _write(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


class CalibrationReader:
    """Passes calibration inputs to ONNX Runtime's quantizer one by one (its CalibrationDataReader)."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        """The next input, None after the last."""
        return next(self._feeds, None)
