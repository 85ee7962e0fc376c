"""The packaged model on 1,000 seconds of ESC-10: log-mel and logits of all kinds of kernels, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.c import reference
from export.c.library import write_library
from export.c.read_graph import read_network
from runtime.audio.samples import as_float
from runtime.model.native_session import NativeSession
from tests.conftest import ROOT
from tests.export.c.conftest import compile_library, kinds_of
from train.data import ESC50

MODEL = ROOT / "runtime" / "models" / "esc10.onnx"
_AT_A_TIME = 50
_LEVELS_DB = (-40, -20, 20)  # beside the level of the recording; the last one clips
_FOLDS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def session(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> NativeSession:
    folder = tmp_path_factory.mktemp("box")
    write_library(MODEL, folder)
    return NativeSession(compile_library(folder))


def _windows(root: Path, samples: int, rate: int, count: int) -> Iterator[np.ndarray]:
    """Seconds of clips, drawn without replacement."""
    corpus = ESC50(str(root), esc10=True, train_folds=_FOLDS, val_folds=(), test_folds=())
    clips = corpus.clips("train")
    for number in np.random.default_rng(0).permutation(5 * len(clips))[:count]:
        waveform = as_float(corpus.read(clips[number // 5], rate))
        window = waveform[number % 5 * samples :][:samples]
        yield np.pad(window, (0, samples - len(window)))  # some clips are shorter


def _compare(session: NativeSession, waveforms: list[np.ndarray]) -> None:
    network = read_network(onnx.load(MODEL))
    use = session._library.model_use
    for start in range(0, len(waveforms), _AT_A_TIME):
        some = waveforms[start : start + _AT_A_TIME]
        assert use(b"portable C")
        log_mels = np.stack([session.front_end(waveform)[None] for waveform in some])
        expected = reference.logits(network, log_mels)
        for kind in kinds_of(session):
            assert use(kind.encode())
            actual = np.stack([session.front_end(waveform)[None] for waveform in some])
            np.testing.assert_array_equal(actual.view(np.int32), log_mels.view(np.int32), err_msg=kind)
            np.testing.assert_array_equal(session.logits(log_mels), expected, err_msg=kind)


def test_windows_of_every_level_give_the_bytes_of_the_reference(session):
    """Without ESC-10, noise."""
    noise = np.random.default_rng(0).standard_normal((8, session.spec.clip_samples)).astype(np.float32)
    levels = 10.0 ** np.arange(-7, 1, dtype=np.float32)
    _compare(session, list((noise * levels[:, None]).clip(-1, 1)))


@pytest.mark.slow
def test_a_thousand_seconds_of_esc10_give_the_bytes_of_the_reference(session, esc10_dir):
    spec = session.spec
    windows = list(_windows(esc10_dir, spec.clip_samples, spec.frontend.sample_rate, 1000))
    _compare(session, windows)
    for level in _LEVELS_DB:
        _compare(session, [(window * np.float32(10 ** (level / 20))).clip(-1, 1) for window in windows[::4]])
