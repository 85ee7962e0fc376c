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


@pytest.mark.parametrize(
    ("preset", "one_second", "ten_seconds"),
    [
        ("cp_mel_hop750", 43, 427),
        ("passt_mel", 100, 1000),
        ("passt_mel_15500", 100, 1000),
        ("ced_mel", 101, 1001),
        ("beats_fbank", 98, 998),
        ("ast_fbank", 1024, 1024),
    ],
)
def test_frames_of_the_teachers_front_ends(preset, one_second, ten_seconds):
    spec = FrontEndSpec.preset(preset)
    assert [spec.frames(s * spec.sample_rate) for s in (1, 10)] == [one_second, ten_seconds]


def _fbank(torchaudio, wave: np.ndarray, window: str) -> np.ndarray:
    return torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(wave)[None], num_mel_bins=128, sample_frequency=16_000, dither=0.0,
        window_type=window, use_energy=False,
    ).numpy().T  # fmt: skip


def test_beats_fbank_equals_kaldis_of_16_bit_integers(torchaudio):
    wave = _noise(16_000)
    expected = (_fbank(torchaudio, wave * 2**15, "povey") - 15.41663) / (2 * 6.55582)
    found = NumpyLogMel(FrontEndSpec.preset("beats_fbank"))(wave)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_beats_fbank_of_silence_is_kaldis_floor():
    found = NumpyLogMel(FrontEndSpec.preset("beats_fbank"))(np.zeros(16_000, np.float32))
    np.testing.assert_allclose(found, (np.log(1.1920929e-07) - 15.41663) / (2 * 6.55582), rtol=1e-6)


@pytest.mark.parametrize("samples", [16_000, 176_000])
def test_ast_fbank_is_padded_or_cut_before_it_is_normalized(torchaudio, samples):
    wave = _noise(samples) + np.float32(0.05)
    expected = _fbank(torchaudio, wave - wave.mean(), "hanning")
    expected = np.pad(expected, ((0, 0), (0, max(0, 1024 - expected.shape[1]))))[:, :1024]
    found = NumpyLogMel(FrontEndSpec.preset("ast_fbank"))(wave)
    np.testing.assert_allclose(found, (expected + 4.2677393) / (2 * 4.5689974), atol=1e-4)


def test_ced_mel_equals_torchaudio_in_decibels(torchaudio):
    wave = 10 * _noise(16_000)
    wave[:8000] = 0  # its floor of -100 dB lies more than 120 dB below the maximum
    mel = torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, hop_length=160, n_mels=64, f_max=8000.0)
    expected = torchaudio.transforms.AmplitudeToDB(top_db=120)(mel(torch.from_numpy(wave)[None]))[0].numpy()
    found = NumpyLogMel(FrontEndSpec.preset("ced_mel"))(wave)
    assert found.min() == pytest.approx(found.max() - 120, abs=1e-3)
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("preset", ["ced_mel", "ast_fbank"])
def test_a_clip_does_not_depend_on_its_batch(preset):
    waves = torch.from_numpy(np.stack([_noise(16_000), 1e-3 * _noise(16_000, 1)]))
    log_mel = TorchLogMel(FrontEndSpec.preset(preset))
    torch.testing.assert_close(log_mel(waves)[1:], log_mel(waves[1:]), rtol=0, atol=0)
