"""The two compiled routines of scipy that a front end needs, without the packages around them.

``scipy.fft`` and ``scipy.sparse`` import scipy.special, f2py and numpy's test tools, which the runtime does
not use: 24 MB of memory and half of the time to start. So the two extension modules are loaded from their
files. Where a release of scipy has them elsewhere, the public functions compute the same bits.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.samples import Array

Spectrum = npt.NDArray[np.complex64]


def _routine(module_name: str, name: str) -> Any:
    """A function of a compiled module of scipy, without importing its packages; None where it is absent."""
    scipy = importlib.util.find_spec("scipy")
    if scipy is None or scipy.origin is None:
        return None
    folders = module_name.split(".")[1:-1]
    found = PathFinder.find_spec(module_name, [str(Path(scipy.origin).parent.joinpath(*folders))])
    if found is None or found.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    except ImportError:
        return None  # the public import will do, or say what is wrong
    return getattr(module, name, None)


# scipy 1.18 replaced pocketfft by its successor, with the same arguments
_r2c = _routine("scipy.fft._duccfft.pyduccfft", "r2c") or _routine("scipy.fft._pocketfft.pypocketfft", "r2c")
_csr_matvecs = _routine("scipy.sparse._sparsetools", "csr_matvecs")


def rfft(frames: Array, out: Spectrum | None = None) -> Spectrum:
    """`scipy.fft.rfft` along the last axis: [n, samples] -> [n, samples // 2 + 1], each row by itself.

    Args:
        frames: float32.
        out: written to and returned, where it is given; it may be the transpose of an array.
    """
    spectrum: Spectrum
    if _r2c is not None:
        spectrum = _r2c(frames, (1,), True, 0, out)
    else:
        import scipy.fft

        spectrum = scipy.fft.rfft(frames, axis=1)
        if out is not None:
            out[:] = spectrum
            spectrum = out
    return spectrum


class SparseRows:
    """A matrix that is mostly zeros, to multiply from the left; as `scipy.sparse.csr_array`.

    Args:
        rows: of the matrix, float32 [columns] each; only what is not zero is stored.

    Example:
        >>> matrix = SparseRows([np.array([0, 2, 0], np.float32), np.array([1, 0, 1], np.float32)])
        >>> matrix @ np.array([[1], [2], [3]], np.float32)
        array([[4.],
               [4.]], dtype=float32)
    """

    def __init__(self, rows: Iterable[Array]) -> None:
        places, values, ends = [], [], [0]
        for row in rows:
            places.append(np.flatnonzero(row).astype(np.int32))
            values.append(row[places[-1]])
            ends.append(ends[-1] + len(places[-1]))
        self._shape = (len(places), len(row))
        self._csr = (np.array(ends, np.int32), np.concatenate(places), np.concatenate(values))

    def __matmul__(self, dense: Array) -> Array:
        """[columns, n] -> [rows, n]: every column by itself, summed in the order of the rows' entries."""
        product: Array
        if _csr_matvecs is not None:
            product = np.zeros((self._shape[0], dense.shape[1]), np.float32)
            _csr_matvecs(*self._shape, dense.shape[1], *self._csr, dense.ravel(), product.ravel())
        else:
            import scipy.sparse

            ends, places, values = self._csr
            product = scipy.sparse.csr_array((values, places, ends), shape=self._shape) @ dense
        return product
