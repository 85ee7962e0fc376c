"""The log-mel in integers (``export c --fixed-point``): numpy against float32, C against numpy to the bit."""

from __future__ import annotations

import ctypes
import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from export.c import reference
from export.c.front_end.fixed import FixedFrontEnd, quantize_samples
from export.c.front_end.fixed_source import fixed_source, fixed_values
from export.c.front_end.float_tables import check_front_end
from export.c.front_end.self_test import fading_noise
from export.c.front_end.stream import StreamSizes, config_values
from export.c.library import write_library
from export.c.read_graph import read_network
from export.cli.main import main
from runtime import load_model
from runtime.audio.log_mel import LogMel
from runtime.devices.file_source import FileSource
from runtime.errors import ModelFileError, TinysceneError
from runtime.live.live_loop import Listener, LiveResult
from runtime.model.native_session import NativeSession
from runtime.spec import PRESETS, FrontEndSpec, ModelSpec
from tests.conftest import ROOT
from tests.export.c.conftest import compile_library, kinds_of, push
from tests.small_students import FRONTEND

TONES = ("chirp", "square")
SOURCES = ROOT / "export" / "c" / "fixed_front_end"
REFUSED = {
    "beats_fbank": "framing kaldi",
    "ast_fbank": "framing kaldi",
    "ast_fbank_words": "framing kaldi",
    "ced_mel": "top_db",
}
ACCEPTED = sorted(set(PRESETS) - set(REFUSED) - {"cnn3_mel"})  # its bands are of magnitudes
CP_MEL = PRESETS["cp_mel"]
# what no preset has: odd lengths, a window shorter than a hop, the smallest FFT, a floor, great offsets
ODD = {
    "odd window": dataclasses.replace(CP_MEL, n_fft=1024, win_length=777, n_mels=40),
    "smallest FFT": dataclasses.replace(CP_MEL, n_fft=32, win_length=31, hop_length=40, n_mels=3),
    "floor": dataclasses.replace(FRONTEND, log_mode="floor", log_offset=1e-10, pad_mode="constant"),
    "great offset": dataclasses.replace(FRONTEND, log_offset=1.0, preemphasis=0.0),
    "slaney": dataclasses.replace(
        FRONTEND, n_fft=2048, mel_scale="slaney", mel_norm="slaney", n_mels=64, center=False
    ),
}


def _signals(rate: int) -> dict[str, np.ndarray]:
    """A second of each, int16."""
    generator, time = np.random.default_rng(0), np.arange(rate) / rate
    noise = generator.normal(size=rate)
    waveforms = {
        "noise": 0.1 * noise,
        "quiet noise": 0.001 * noise,
        "a bit of noise": noise / 32768,
        "chirp": 0.5 * np.sin(2 * np.pi * (50 + rate / 5 * time) * time),
        "clipped": 20 * np.sin(2 * np.pi * 440 * time) + noise,
        "clicks": np.where(np.arange(rate) % 3001 == 0, 1.0, 0.0),
        "silence": 0 * time,
        "square": np.where(np.arange(rate) // 9 % 2, 1.0, -1.0),
    }
    return {name: quantize_samples(wave.astype(np.float32)) for name, wave in waveforms.items()}


def _front_end(spec: FrontEndSpec) -> FixedFrontEnd:
    """Quantized as networks are: the offset near 0, the loudest bands near 255."""
    scale = 0.12 / spec.std
    zero = round((spec.mean - np.log(spec.log_offset)) / spec.std / scale)
    return FixedFrontEnd(spec, scale, int(np.clip(zero, 0, 255)))


@pytest.mark.parametrize("name", ACCEPTED)
def test_integers_are_near_those_of_float32(name):
    spec = PRESETS[name]
    front_end, log_mel = _front_end(spec), LogMel(spec)
    for signal, samples in _signals(spec.sample_rate).items():
        expected = log_mel(samples / np.float32(32768))
        steps = np.clip(np.rint(expected / front_end.scale) + front_end.zero_point, 0, 255)
        differences = np.abs(front_end(samples) - steps)
        tonal = signal in TONES  # beside full-scale tones without noise, bands lie 100 dB below the loudest
        assert differences.max() <= (4 if tonal else 1), signal
        assert (differences > 0).mean() < (0.06 if tonal else 0.003), signal
        natural = front_end.natural_log(front_end.frames(samples)).T
        decibels = 10 / np.log(10) * (natural - (expected.astype(np.float64) * spec.std + spec.mean))
        assert np.sqrt(np.mean(decibels**2)) < (0.2 if tonal else 0.003), signal


@pytest.mark.parametrize("name", REFUSED)
def test_a_front_end_that_it_lacks_is_refused_by_name(name):
    with pytest.raises(ModelFileError, match=REFUSED[name]):
        check_front_end(PRESETS[name])


def test_magnitudes_are_refused_in_fixed_point():
    check_front_end(PRESETS["cnn3_mel"])
    with pytest.raises(ModelFileError, match=r"no power 1: export without --fixed-point"):
        FixedFrontEnd(PRESETS["cnn3_mel"], 0.03125, 45)


def test_an_offset_beyond_all_powers_is_refused():
    with pytest.raises(ModelFileError, match="log_offset 1e"):
        FixedFrontEnd(dataclasses.replace(CP_MEL, log_offset=1e12), 0.1, 0)


def test_samples_are_rounded_to_16_bits():
    samples = np.float32([0.5 / 32768, -0.5 / 32768, 0.49 / 32768, 1, -1, 2, -9, np.inf, np.nan, 1e-40])
    assert quantize_samples(samples).tolist() == [1, -1, 0, 32767, -32768, 32767, -32768, 0, 0, 0]


def _compile(front_end: FixedFrontEnd, folder: Path, *flags: str) -> ctypes.CDLL:
    """The front end alone as a library."""
    spec = front_end.spec
    sizes = StreamSizes.of(ModelSpec(labels=("a", "b"), frontend=spec), spec.hop_length / spec.sample_rate)
    values = config_values(ModelSpec(labels=("a", "b"), frontend=spec), sizes) | fixed_values(front_end)
    lines = [f"#define MODEL_{key} {value}" for key, value in values.items()]
    (folder / "model_config.h").write_text("#pragma once\n" + "\n".join(lines) + "\n")
    (folder / "model_front_end.c").write_text(fixed_source(front_end))
    strict = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC")
    command = [
        "gcc",
        *strict,
        *flags,
        f"-I{folder}",
        f"-I{SOURCES}",
        SOURCES / "ts_front_end.c",
        folder / "model_front_end.c",
    ]
    subprocess.run([*command, "-o", folder / "front_end.so"], check=True)
    return ctypes.CDLL(str(folder / "front_end.so"))


def _columns(library: ctypes.CDLL, spec: FrontEndSpec, frames: np.ndarray) -> np.ndarray:
    """What C gives for frames of samples after pre-emphasis."""
    bands = np.zeros((len(frames), spec.n_mels), np.uint8)
    for frame, out in zip(frames, bands, strict=True):
        work = np.full(2 * (spec.n_fft + 2), -1, np.int32)
        work[: spec.win_length] = frame
        library.ts_bands(ctypes.c_void_p(work.ctypes.data), ctypes.c_void_p(out.ctypes.data))
    return bands


@pytest.mark.parametrize("name", [*ACCEPTED, *ODD])
def test_c_gives_the_bytes_of_numpy(compiler, tmp_path, name):
    spec = ODD.get(name) or PRESETS[name]
    front_end = _front_end(spec)
    library = _compile(front_end, tmp_path)
    every = max(1, 16000 // spec.hop_length)
    frames = np.concatenate(
        [front_end.frames(samples)[::every] for samples in _signals(spec.sample_rate).values()]
    )
    np.testing.assert_array_equal(_columns(library, spec, frames), front_end.columns(frames))


@pytest.fixture(scope="module")
def fixed(student, compiler, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fixed")
    write_library(student("cp_mobile"), folder, fixed_point=True)
    return compile_library(folder)


def test_a_library_has_the_log_mel_of_numpy_from_all_kernels(student, fixed):
    session, log_mel = NativeSession(fixed), read_network(onnx.load(student("cp_mobile"))).log_mel
    front_end = FixedFrontEnd(session.spec.frontend, log_mel.scale, log_mel.zero)
    for samples in _signals(8000).values():
        waveform = samples / np.float32(32768)
        expected = (front_end(samples).astype(np.float32) - log_mel.zero) * np.float32(log_mel.scale)
        for kind in kinds_of(session):
            session._library.model_use(kind.encode())
            np.testing.assert_array_equal(session.front_end(waveform), expected, err_msg=kind)


def test_a_stream_has_the_logits_of_numpy_and_the_scores_of_the_runtime(student, fixed):
    network, model = read_network(onnx.load(student("cp_mobile"))), load_model(fixed)
    samples = np.concatenate([fading_noise(8000), fading_noise(8000)[::-1], fading_noise(4123)])
    waveform, generator = samples / np.float32(32768), np.random.default_rng(2)
    native = model.session._library
    native.model_logits.restype = ctypes.POINTER(ctypes.c_uint8)
    scores = [push(model.session, waveform, lambda size=size: size) for size in (1, 250, 1999)]
    scores.append(push(model.session, waveform, lambda: int(generator.integers(1, 1999))))
    for each in scores:
        np.testing.assert_array_equal(each, scores[0])
    front_end = FixedFrontEnd(model.spec.frontend, network.log_mel.scale, network.log_mel.zero)
    windows = [samples[start : start + 8000] for start in range(0, len(samples) - 7999, 2000)]
    log_mels = np.stack([front_end(window) for window in windows]).astype(np.int64)[..., None]
    logits = reference.run(network, log_mels)[network.logits.name][:, 0, 0]
    assert native.model_logits()[:3] == logits[-1].tolist()
    exact = (logits - network.logits.zero) * network.logits.scale / model.spec.temperature
    exponentials = np.exp(exact - exact.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores[0], expected, atol=2e-7)
    streamed = [list(p.scores.values()) for p in model.stream(hop_s=0.25).push(waveform)]
    np.testing.assert_allclose(streamed, expected, atol=1e-6)


def test_a_listener_has_the_scores_of_a_stream(fixed, tmp_path):
    """It takes the front end of the library, whose integers are not those of numpy."""
    model, generator = load_model(fixed), np.random.default_rng(4)
    waveform = generator.normal(scale=1e-3, size=20000).astype(np.float32)  # 16 bits change it
    soundfile.write(tmp_path / "sound.wav", waveform, 8000, "FLOAT")
    listened = [
        item.raw
        for item in Listener(model, [FileSource(tmp_path / "sound.wav")], hop_s=0.25)
        if isinstance(item, LiveResult)
    ]
    assert listened == model.stream(hop_s=0.25).whole(waveform)


def test_any_float_is_a_sample(fixed):
    session, generator = NativeSession(fixed), np.random.default_rng(3)
    words = generator.integers(0, 2**32, 16000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    samples = np.where(generator.random(16000) < 0.3, generator.normal(size=16000), words).astype(np.float32)
    expected = push(session, quantize_samples(samples) / np.float32(32768), lambda: 4000)
    np.testing.assert_array_equal(push(session, samples, lambda: 4000), expected)


def test_the_command_takes_the_option(student, tmp_path, capsys):
    assert main(["c", str(student("cp_mobile")), "-o", str(tmp_path), "--fixed-point"]) == 0
    assert "log-mel in integers" in capsys.readouterr().out
    assert "#define MODEL_FIXED_POINT 1\n" in (tmp_path / "model_config.h").read_text()
    assert not (tmp_path / "ts_front_end_core.h").exists()  # of the front end in float32
    with pytest.raises(TinysceneError, match="--fixed-point"):
        main(["c", "--install", "--fixed-point"])
