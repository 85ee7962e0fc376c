"""The C library: the bytes of the numpy reference from all kernels, streams, and strict compilers."""

from __future__ import annotations

import errno
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.c import reference
from export.c.library import write_library
from export.c.read_graph import read_network
from export.cli.main import main
from runtime import load_model
from runtime.audio.log_mel import LogMel
from runtime.audio.samples import to_int16
from runtime.errors import TinysceneError
from runtime.model.native_session import NativeSession
from runtime.model.self_test import make_input
from tests.export.c.conftest import STUDENTS, compile_library, kinds_of, need, push
from tests.small_students import SHAPE


def _inputs(count: int) -> np.ndarray:
    """Windows as they occur, and noise that drives every integer to its limits."""
    generator = np.random.default_rng(0)
    noise = generator.normal(scale=generator.uniform(0.1, 8, (count, 1, 1, 1)), size=(count, *SHAPE[1:]))
    extremes = np.full((3, *SHAPE[1:]), np.float32([[[[1e30]]], [[[-1e30]]], [[[np.nan]]]]))
    patches = [make_input("patches", seed, SHAPE) for seed in range(10)]
    return np.concatenate([*patches, noise, extremes]).astype(np.float32)


@pytest.mark.parametrize("name", STUDENTS)
def test_all_kernels_give_the_bytes_of_the_reference(student, library, name):
    session, inputs = NativeSession(library(name)), _inputs(100)
    expected = reference.logits(read_network(onnx.load(student(name))), np.nan_to_num(inputs, nan=-1e30))
    for kind in kinds_of(session):
        session._library.model_use(kind.encode())
        np.testing.assert_array_equal(session.logits(inputs), expected, err_msg=kind)


def test_all_kernels_give_the_same_log_mel_to_the_bit(library):
    session = NativeSession(library("cp_mobile"))
    waveform = np.random.default_rng(1).normal(scale=0.1, size=8000).astype(np.float32)
    log_mels = []
    for kind in kinds_of(session):
        session._library.model_use(kind.encode())
        log_mels.append(session.front_end(waveform))
    for log_mel in log_mels[1:]:
        np.testing.assert_array_equal(log_mel, log_mels[0])


def test_a_stream_in_c_has_the_scores_of_the_runtime_whatever_the_chunks(library):
    model = load_model(library("cp_mobile"))
    generator = np.random.default_rng(2)
    waveform = generator.normal(scale=0.1, size=4 * 8000 + 123).astype(np.float32)
    stream = model.stream(hop_s=0.25)
    expected = [list(prediction.scores.values()) for prediction in stream.push(waveform)]
    scores = [push(model.session, waveform, lambda size=size: size) for size in (1, 7, 250, 1999)]
    scores.append(push(model.session, waveform, lambda: int(generator.integers(1, 1999))))
    for each in scores:
        np.testing.assert_array_equal(each, scores[0])
    assert len(scores[0]) == len(expected)
    np.testing.assert_allclose(scores[0], expected, atol=1e-6)


@pytest.mark.parametrize("fixed_point", [False, True])
def test_a_stream_in_c_knows_the_windows_without_a_signal(student, compiler, tmp_path, fixed_point):
    write_library(student("cp_mobile"), tmp_path, fixed_point=fixed_point)
    model, generator = load_model(compile_library(tmp_path)), np.random.default_rng(5)
    levels = np.repeat(10 ** (np.float32([-20, -69.5, -70.5, -100, -72, -68, -30]) / 20), 8000)
    waveform = (0.04 + levels * generator.normal(size=len(levels))).astype(np.float32)
    if fixed_point:
        waveform = to_int16(waveform) / np.float32(32768)
    expected = [p.state == "ok" for p in model.stream(hop_s=0.25).push(waveform)]
    assert 5 < sum(expected) < len(expected) - 5
    native = model.session._library
    push(model.session, np.zeros(1, np.float32), lambda: 1)
    native.model_reset()
    found = []
    for part in np.split(waveform, range(250, len(waveform), 250)):
        if native.model_push(part.ctypes.data, len(part)):
            found.append(bool(native.model_has_signal()))
    assert found == expected


@pytest.mark.parametrize(
    ("sample", "taken_as"), [(np.nan, 0), (-np.nan, 0), (np.inf, 0), (-np.inf, 0), (1e20, 8), (-1e20, -8)]
)
def test_all_kernels_take_a_sample_that_is_no_audio_for_the_same(library, sample, taken_as):
    session = NativeSession(library("cp_mobile"))
    waveform = np.random.default_rng(4).normal(scale=0.1, size=8000).astype(np.float32)
    expected, found = waveform.copy(), waveform.copy()
    expected[4000], found[4000] = taken_as, sample
    for kind in kinds_of(session):
        session._library.model_use(kind.encode())
        scores = [push(session, samples, lambda: 1000) for samples in (found, expected)]
        np.testing.assert_array_equal(*scores, err_msg=kind)


def test_all_kernels_give_the_same_log_mel_of_samples_that_are_no_audio(library):
    session = NativeSession(library("cp_mobile"))
    for sample in (np.nan, -np.nan, np.inf, 1e20):
        waveform = np.full(8000, 0.1, np.float32)
        waveform[4000] = sample
        log_mels = []
        for kind in kinds_of(session):
            session._library.model_use(kind.encode())
            log_mels.append(session.front_end(waveform).view(np.uint32))
        for log_mel in log_mels[1:]:
            np.testing.assert_array_equal(log_mel, log_mels[0])


def test_the_self_test_vectors_of_a_library_are_those_of_its_arithmetic(student, compiler, tmp_path):
    write_library(student("bc_resnet"), tmp_path)
    assert load_model(compile_library(tmp_path)).session.self_test_error == 0


def test_pre_emphasis_has_the_bits_of_numpy(student, compiler, tmp_path):
    write_library(student("cp_mobile"), tmp_path)
    native = load_model(compile_library(tmp_path)).session.front_end
    assert native.spec.preemphasis
    samples = np.random.default_rng(0).normal(size=8001).astype(np.float32)
    for part in (samples, samples[3:], samples[::2]):
        np.testing.assert_array_equal(native.emphasize(part), LogMel(native.spec).emphasize(part))


@pytest.mark.slow
def test_the_self_test_passes_under_sanitizers(student, compiler, tmp_path):
    write_library(student("bc_resnet"), tmp_path)
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    program = compile_library(tmp_path, f"CFLAGS={flags}", target="self_test")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "FAIL" not in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("PASS") >= 3


@pytest.mark.slow
def test_clang_compiles_it_without_warnings_to_the_same_answers(student, compiler, tmp_path):
    need("clang")
    write_library(student("tf_sepnet"), tmp_path)
    program = compile_library(tmp_path, "CC=clang", target="self_test")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "FAIL" not in done.stdout, done.stdout


def test_a_folder_in_the_way_of_a_file_leaves_all_files_as_they_were(student, tmp_path):
    (tmp_path / "ts_network.h").mkdir()
    (tmp_path / "model.h").write_text("of before")
    with pytest.raises(TinysceneError, match=r"ts_network\.h is a folder .*: remove it\."):
        write_library(student("cp_mobile"), tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["model.h", "ts_network.h"]
    assert (tmp_path / "model.h").read_text() == "of before"


@pytest.mark.parametrize("name", ["Makefile", "model.h", "examples/README.md"])
def test_files_of_others_are_not_replaced(student, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("of a user")
    with pytest.raises(TinysceneError, match=f"{name} would be replaced"):
        write_library(student("cp_mobile"), tmp_path)
    assert (tmp_path / name).read_text() == "of a user"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(name).name]


def test_a_library_is_replaced_by_the_next_one_on_a_mount_point_too(student, tmp_path, monkeypatch):
    models, move = [student(name) for name in ("cp_mobile", "bc_resnet")], Path.replace

    def within(path, target):
        if not path.is_relative_to(tmp_path / "c"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return move(path, target)

    monkeypatch.setattr(Path, "replace", within)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "main.c").write_text("int main(void) { return 0; }")
    for model in models:
        write_library(model, tmp_path / "c")
    assert not list((tmp_path / "c").glob(".*"))


def test_both_build_systems_name_their_sources(student, tmp_path):
    write_library(student("cp_mobile"), tmp_path)
    patterns = {"common.mk": r"SOURCES :=(.*?)\n\n", "CMakeLists.txt": r"set\(SOURCES(.*?)\)"}
    listed = []
    for name, pattern in patterns.items():
        found = re.search(pattern, (tmp_path / name).read_text(), re.DOTALL)
        listed.append(re.findall(r"\w+\.c", found[1]))
    assert listed[0] == listed[1] and all((tmp_path / name).is_file() for name in listed[0])


def test_the_command_writes_a_folder_that_make_accepts(student, compiler, tmp_path, capsys):
    folder = tmp_path / "c"
    assert main(["c", str(student("cp_mobile")), "-o", str(folder), "--hop", "0.5"]) == 0
    assert "bytes" in capsys.readouterr().out
    assert "#define MODEL_HOP_SAMPLES 4000" in (folder / "model_config.h").read_text()
    assert compile_library(folder).is_file()
