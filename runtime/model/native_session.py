"""A model as a shared library of `python -m export c`: the engine that needs neither ONNX Runtime nor scipy.

The library holds the network, the front end and the `ModelSpec` of the .onnx file that it was made from. Its
integers are those of ``export/c/ARITHMETIC.md`` on every CPU.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.log_mel import LogMel
from runtime.errors import ModelFileError
from runtime.model.elf_file import needed_bytes, processor
from runtime.model.network_input import check_input, input_shape
from runtime.model.self_test import int8_tolerance, make_input
from runtime.spec import FrontEndSpec, ModelSpec

Array = npt.NDArray[np.float32]

SUFFIXES = (".so", ".dylib", ".dll")
_INTERFACE = 1
_FUNCTIONS = ("model_init", "model_interface", "model_kernels", "model_run_batch", "model_columns",
              "model_workspace_bytes")  # fmt: skip


class NativeSession:
    """A compiled model that is loaded, checked and ready to run; it takes the place of a `Session`.

    Args:
        path: a shared library of ``make`` in a folder of ``python -m export c``. Loading it runs its code, as
            any library's: take it from where you would take a program.

    Attributes:
        spec: the description of the model in the library.
        optimization: the kernels in use, such as ``AVX2``.
        front_end: computes log-mels in the library.
        self_test_error: the largest difference of a logit from that of a self-test vector.

    Raises:
        ModelFileError: where the file cannot be loaded or is cut off, is no such library, or its
            self-test fails.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._library = _load(self.path)
        self._library.model_init()
        self.spec = _spec(self._library, self.path)
        self.optimization = self._library.model_kernels().decode()
        self._workspaces = _Workspaces(self._library.model_workspace_bytes())
        self.front_end = NativeLogMel(self.spec.frontend, self._library, self._workspaces)
        self._input_shape = input_shape(self.spec, self.path)
        self._self_test()

    def logits(self, log_mel: Array) -> Array:
        """Run the network: float32 [batch, 1, n_mels, frames] -> float32 [batch, classes].

        Raises:
            ValueError: for another shape or dtype.
        """
        check_input(log_mel, self._input_shape)
        batch = np.ascontiguousarray(log_mel)
        logits = np.empty((len(batch), len(self.spec.labels)), np.float32)
        self._library.model_run_batch(
            batch.ctypes.data, len(batch), logits.ctypes.data, self._workspaces.address
        )
        return logits

    def _self_test(self) -> None:
        tolerance = int8_tolerance(self.spec, self.path)
        self.self_test_error = 0.0
        for vector in self.spec.self_test_vectors:
            logits = self.logits(make_input(vector.formula, vector.seed, self._input_shape))[0]
            error = float(np.abs(logits - np.array(vector.logits)).max())
            self.self_test_error = max(self.self_test_error, error)
            if not error <= tolerance:
                raise ModelFileError(
                    f"{self.path} gives wrong answers on this machine (a logit is off by {error:.2g}): "
                    "compile it again with another compiler, or use the .onnx file."
                )


class NativeLogMel(LogMel):
    """The front end of a shared library: `LogMel` whose pre-emphasis and columns are computed in C.

    A library of ``export c --fixed-point`` rounds samples to 16 bits before them: then the integers of the
    network's input are those of a firmware, which the columns give times their scale.

    Args:
        spec: of the model.
        library: the loaded library.
        workspaces: of the threads that use it.
    """

    def __init__(self, spec: FrontEndSpec, library: Any, workspaces: _Workspaces) -> None:
        # LogMel's own tables are those of scipy's kernels, which are not needed here
        self.spec = spec
        self.lead = (spec.frame_samples - spec.win_length) // 2
        self._library, self._workspaces = library, workspaces
        self._emphasizes = hasattr(library, "model_emphasize")  # earlier exports: in fixed point alone

    def emphasize(self, waveform: Array, out: Array | None = None) -> Array:
        """Pre-emphasis; see `LogMel.emphasize`."""
        if not self._emphasizes:
            return super().emphasize(waveform, out)
        emphasized = np.empty(self.spec.filtered_samples(len(waveform)), np.float32) if out is None else out
        samples = np.ascontiguousarray(waveform, np.float32)
        self._library.model_emphasize(samples.ctypes.data, len(emphasized), emphasized.ctypes.data)
        return emphasized

    def columns(self, *runs: Array, out: Array | None = None) -> Array:
        """Log-mel columns of framed samples; see `LogMel.columns`."""
        log_mel = np.empty((self.spec.n_mels, sum(map(len, runs))), np.float32) if out is None else out
        item, done = log_mel.itemsize, 0
        for run in runs:
            frames = run if run.strides[1] == run.itemsize else np.ascontiguousarray(run)
            self._library.model_columns(
                frames.ctypes.data, frames.strides[0] // item, len(frames),
                log_mel.ctypes.data + item * done, log_mel.strides[0] // item, self._workspaces.address,
            )  # fmt: skip
            done += len(run)
        return log_mel


class _Workspaces(threading.local):
    """Memory that the library works in, one for each thread.

    Attributes:
        address: where it begins.
    """

    def __init__(self, size: int) -> None:
        self._memory = np.zeros(size // 8 + 1, np.int64)
        self.address = int(self._memory.ctypes.data)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ModelFileError(
            f"There is no model {path}: `python -m export c` and `make` make one from an .onnx file."
        )
    try:
        if (length := path.stat().st_size) < (needed := needed_bytes(path)):
            raise ModelFileError(
                f"{path} is cut off, it has {length} of {needed} bytes: copy it again, or make it again "
                "(`python -m export c --install` where that made it, `make` where that did)."
            )
        its_own, needed_here = processor(path), processor(Path(sys.executable))
        if its_own and needed_here and its_own != needed_here:
            raise ModelFileError(
                f"{path} is compiled for {its_own}, and this Python for {needed_here}: run `make clean` and "
                "`make` in the folder of `python -m export c` here."
            )
        library = _open(path)
        functions = {name: getattr(library, name) for name in _FUNCTIONS}
    except (OSError, AttributeError) as error:
        raise ModelFileError(
            f"{path} is not a library of this toolkit for this machine ({error}): run `make` in the folder "
            "of `python -m export c` here."
        ) from error
    pointer, long, size = ctypes.c_void_p, ctypes.c_long, ctypes.c_size_t
    functions["model_run_batch"].argtypes = [pointer, long, pointer, pointer]
    functions["model_columns"].argtypes = [pointer, long, long, pointer, long, pointer]
    functions["model_kernels"].restype = ctypes.c_char_p
    functions["model_workspace_bytes"].restype = size
    if hasattr(library, "model_emphasize"):
        library.model_emphasize.argtypes = [pointer, long, pointer]
        library.model_emphasize.restype = None
    for name in ("model_init", "model_run_batch", "model_columns"):
        functions[name].restype = None
    if library.model_interface() != _INTERFACE:
        raise ModelFileError(
            f"{path} was made by another release: run `python -m export c` and `make` again."
        )
    return library


_opened: dict[Path, tuple[int, int, int]] = {}  # from a path to what lay there when it was opened first


def _open(path: Path) -> ctypes.CDLL:
    """Load a library, once more where another one lies there now.

    The system's loader gives what it loaded from a path before, whatever lies there now, so the other one is
    loaded from a copy.
    """
    place = path.resolve()
    status = place.stat()
    version = (status.st_ino, status.st_size, status.st_mtime_ns)
    if _opened.setdefault(place, version) == version:
        return ctypes.CDLL(str(place))
    with tempfile.TemporaryDirectory(prefix="tinyscene-") as name:
        return ctypes.CDLL(str(shutil.copyfile(place, Path(name) / place.name)))


def _spec(library: Any, path: Path) -> ModelSpec:
    """The description in the library."""
    try:
        text = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, "model_spec")))
    except ValueError as error:
        raise ModelFileError(f"{path} holds no description of its model: export it again.") from error
    try:
        return ModelSpec.from_json(text.decode())
    except UnicodeDecodeError as error:
        raise ModelFileError(
            f"The description in {path} is damaged (it is no UTF-8): run `make clean` and `make` again."
        ) from error
