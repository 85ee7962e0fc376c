"""The shared library as an engine of the runtime."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime import load_model
from runtime.errors import ConfigError, ModelFileError
from runtime.model.elf_file import processor
from tests.conftest import ROOT
from tests.export.c.conftest import compile_library
from tests.export.c.test_operators import write_random_network


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return np.random.default_rng(3).normal(scale=0.1, size=8000 * 3 + 77).astype(np.float32)


def test_it_predicts_what_the_onnx_file_predicts(student, library, waveform):
    onnx_model, native = load_model(student("cp_mobile")), load_model(library("cp_mobile"))
    assert (native.spec, native.labels) == (onnx_model.spec, onnx_model.labels)
    pairs = zip(
        native.windows(waveform, 8000, hop_s=0.25),
        onnx_model.windows(waveform, 8000, hop_s=0.25),
        strict=True,
    )
    for actual, expected in pairs:
        assert (actual.label, actual.start_s, actual.state) == (
            expected.label,
            expected.start_s,
            expected.state,
        )
        np.testing.assert_allclose(list(actual.scores.values()), list(expected.scores.values()), atol=0.05)


def test_a_stream_has_the_predictions_of_the_whole_waveform(library, waveform):
    model = load_model(library("cp_mobile"))
    expected = model.windows(waveform, 8000, hop_s=0.25)
    stream = model.stream(hop_s=0.25)
    actual = [p for start in range(0, len(waveform), 333) for p in stream.push(waveform[start : start + 333])]
    assert actual + stream.flush() == expected


def test_many_streams_share_it(library, waveform):
    model = load_model(library("cp_mobile"))
    streams = model.streams(3, hop_s=1.0)
    for predictions in streams.push(np.stack([waveform] * 3)):
        assert [p.scores for p in predictions] == [
            p.scores for p in model.windows(waveform, 8000, hop_s=1.0)
        ][:3]


def test_it_needs_neither_onnxruntime_nor_scipy(library):
    probe = f"""
import sys
for name in ("onnxruntime", "scipy", "onnx", "torch"):
    sys.modules[name] = None
import numpy as np
from runtime import load_model
model = load_model({str(library("cp_mobile"))!r})
print(model.classify(np.ones(8000, np.float32) * np.sin(np.arange(8000, dtype=np.float32)), 8000).label)
"""
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0 and done.stdout.strip() in ("low", "middle", "high"), done.stderr


def test_it_takes_no_threads(library):
    with pytest.raises(ConfigError, match="one thread"):
        load_model(library("cp_mobile"), threads=2)


def _patched(library: Path, folder: Path, old: bytes, new: bytes) -> Path:
    """A copy with other bytes in the description."""
    data = library.read_bytes()
    assert old in data and len(old) == len(new)
    path = folder / "libmodel.so"
    path.write_bytes(data.replace(old, new))
    return path


def test_a_wrong_answer_is_refused_at_load(library, tmp_path):
    damaged, key = library("cp_mobile").read_bytes(), b'"logits": ['
    place = damaged.index(key)  # of those of the first self-test vector
    old = damaged[place : place + len(key) + 2]
    path = _patched(library("cp_mobile"), tmp_path, old, key + b"99")
    with pytest.raises(ModelFileError, match="wrong answers"):
        load_model(path)


def test_a_damaged_description_is_refused(library, tmp_path):
    path = _patched(library("cp_mobile"), tmp_path, b'"middle"', b'"mid\xffle"')
    with pytest.raises(ModelFileError, match=r"description in .* is damaged"):
        load_model(path)


@pytest.mark.skipif(not processor(Path(sys.executable)), reason="programs here are not ELF files")
def test_a_library_for_another_processor_is_refused_by_its_name(library, tmp_path):
    path = tmp_path / "libmodel.so"
    data = bytearray(library("cp_mobile").read_bytes())
    data[18:20] = b"\x16\x16"  # one that nobody has, in either order of bytes
    path.write_bytes(data)
    with pytest.raises(
        ModelFileError, match=r"is compiled for processor 5654 of .*, and this Python for \S+: "
    ):
        load_model(path)


def test_a_library_that_was_made_again_is_loaded_again(compiler, tmp_path):
    path, specs = tmp_path / "libmodel.so", []
    for seed in (3, 11):
        folder = tmp_path / str(seed)
        write_random_network(seed, 64, folder)
        made = compile_library(folder, "CFLAGS=-O0")
        path.unlink(missing_ok=True)
        shutil.copyfile(made, path)
        specs.append(load_model(path).spec)
        assert specs[-1] == load_model(path).spec == load_model(made).spec
    assert specs[0] != specs[1]
