"""scipy's compiled routines without their packages: the same bits, a fraction of the cost."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from runtime.audio import kernels
from runtime.audio.kernels import SparseRows, rfft
from runtime.audio.mel_filter_bank import mel_filter_bank
from runtime.spec import FrontEndSpec

MEL = mel_filter_bank(FrontEndSpec.preset("cp_mel")).astype(np.float32)


def frames(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, size)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 7, 64])
def test_the_same_bits_as_scipy(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waves, power = frames(count, 4096), frames(count, 2049).T.copy()
    light = rfft(waves), SparseRows(MEL) @ power
    monkeypatch.setattr(kernels, "_r2c", None)  # as with a release of scipy that keeps them elsewhere
    monkeypatch.setattr(kernels, "_csr_matvecs", None)
    public = rfft(waves), SparseRows(MEL) @ power
    for ours, theirs in zip(light, public, strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    np.testing.assert_allclose(public[1], MEL @ power, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("moved", [False, True])
def test_spectra_as_columns(moved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if moved:
        monkeypatch.setattr(kernels, "_r2c", None)
    columns = np.empty((2049, 12), np.complex64)
    assert np.array_equal(rfft(frames(12, 4096), out=columns.T), rfft(frames(12, 4096)))
    assert np.array_equal(columns.T, rfft(frames(12, 4096)))


def test_what_is_not_there_is_none() -> None:
    assert kernels._routine("scipy.fft._moved.pypocketfft", "r2c") is None
    assert kernels._routine("scipy.sparse._sparsetools", "renamed") is None


def test_the_packages_around_them_stay_out_and_can_come_later() -> None:
    probe = (
        "import sys, numpy as np, runtime.audio.log_mel as f; from runtime.spec import FrontEndSpec\n"
        "f.LogMel(FrontEndSpec.preset('cp_mel'))(np.ones(32000, np.float32))\n"
        "assert not {'scipy', 'scipy.fft', 'scipy.special', 'scipy.sparse'} & set(sys.modules)\n"
        "import scipy.fft, scipy.sparse, runtime.audio.kernels as k\n"
        "x = np.arange(8, dtype=np.float32)[None]\n"
        "assert np.array_equal(k.rfft(x), scipy.fft.rfft(x))\n"
        "assert (scipy.sparse.csr_array(np.eye(3)) @ np.ones((3, 2))).all()"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
