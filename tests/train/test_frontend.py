"""One front end, several builders: numpy, torch and, where it has the same, torchaudio."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from runtime.audio.log_mel import LogMel as NumpyLogMel
from runtime.audio.mel_filter_bank import mel_filter_bank
from runtime.spec import PRESETS, FrontEndSpec
from train.log_mel import LogMel as TorchLogMel


@pytest.fixture(scope="module")
def torchaudio():
    """torchaudio, also beside a CPU-only torch.

    Its compiled extension is linked against CUDA and may not load; the plain Python parts do all the same
    once the module that loads it is replaced by one that says "not available".
    """
    try:
        import torchaudio
    except OSError:
        for name in [name for name in sys.modules if name.startswith("torchaudio")]:
            del sys.modules[name]
        stub = types.ModuleType("torchaudio._extension")
        stub._IS_TORCHAUDIO_EXT_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False
        stub.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = stub
        import torchaudio
    import torchaudio.compliance.kaldi
    import torchaudio.transforms

    return torchaudio


def _noise(samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("samples", [32_000, 31_999, 4097, 5000, 48_001])
def test_torch_equals_numpy(preset, samples):
    spec = FrontEndSpec.preset(preset)
    wave = _noise(samples)
    expected = NumpyLogMel(spec)(wave)
    found = TorchLogMel(spec)(torch.from_numpy(wave)[None])[0, 0].numpy()
    assert found.shape == expected.shape == (spec.n_mels, spec.frames(samples))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_kaldi_mel_filter_bank_equals_torchaudio(torchaudio):
    for name in ("cp_mel", "cp_mel_512"):
        spec = FrontEndSpec.preset(name)
        torch.set_default_dtype(torch.float64)  # in float32 its narrow low bands are off by some 1e-5
        try:
            banks, _ = torchaudio.compliance.kaldi.get_mel_banks(
                spec.n_mels, spec.n_fft, float(spec.sample_rate), spec.f_min, spec.f_max, 100.0, -500.0, 1.0
            )
        finally:
            torch.set_default_dtype(torch.float32)
        np.testing.assert_allclose(mel_filter_bank(spec)[:, :-1], banks.numpy(), atol=1e-9)
        assert not mel_filter_bank(spec)[:, -1].any()


def test_cp_mel_equals_the_published_chain(torchaudio):
    """Pre-emphasis by convolution, torch.stft, torchaudio's Kaldi banks: as CP-JKU composed it."""
    spec = FrontEndSpec.preset("cp_mel")
    wave = torch.from_numpy(_noise(32_000))[None]
    x = torch.nn.functional.conv1d(wave[:, None], torch.tensor([[[-0.97, 1.0]]]))[:, 0]
    window = torch.hann_window(spec.win_length, periodic=False)
    x = torch.stft(x, spec.n_fft, spec.hop_length, spec.win_length, window, return_complex=True).abs() ** 2
    banks, _ = torchaudio.compliance.kaldi.get_mel_banks(
        256, 4096, 32_000.0, 0.0, 15_500.0, 100.0, -500.0, 1.0
    )
    expected = (torch.log(torch.nn.functional.pad(banks, (0, 1)) @ x + 1e-5) + 4.5) / 5
    found = NumpyLogMel(spec)(wave[0].numpy())
    assert found.shape == (256, 64)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-4)


def test_baseline_mel_equals_torchaudio(torchaudio):
    spec = FrontEndSpec.preset("baseline_mel")
    mel = torchaudio.transforms.MelSpectrogram(
        32_000, n_fft=4096, win_length=3072, hop_length=500, n_mels=256
    )
    wave = _noise(32_000)
    expected = torch.log(mel(torch.from_numpy(wave)) + 1e-5).numpy()
    assert expected.shape == (256, 65)
    np.testing.assert_allclose(NumpyLogMel(spec)(wave), expected, atol=1e-4)


@pytest.mark.parametrize(("scale", "norm"), [("htk", "none"), ("slaney", "none"), ("slaney", "slaney")])
def test_mel_matrices_in_hz_equal_torchaudio(torchaudio, scale, norm):
    values = FrontEndSpec.preset("baseline_mel").to_dict() | {
        "mel_scale": scale,
        "mel_norm": norm,
        "n_mels": 40,
    }
    spec = FrontEndSpec.from_dict(values)
    expected = torchaudio.functional.melscale_fbanks(
        2049, 0.0, 16_000.0, 40, 32_000, norm=None if norm == "none" else norm, mel_scale=scale
    )
    np.testing.assert_allclose(mel_filter_bank(spec), expected.numpy().T, atol=1e-4)
