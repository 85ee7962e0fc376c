"""The packaged model compiled for this machine, and who runs it then."""

from __future__ import annotations

import numpy as np
import pytest

from export.c.install import install_library
from export.cli.main import main
from runtime import classifier, load_model
from runtime.errors import TinysceneError
from runtime.model.native_library import installed_library, library_path
from runtime.model.native_session import NativeSession
from runtime.model.session import Session


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_load_model_prefers_the_installed_library(student, compiler, cache, monkeypatch):
    path = student("cp_mobile")
    monkeypatch.setattr(classifier, "packaged_model", lambda: path)
    assert isinstance(load_model().session, Session)
    install_library(path)
    model, expected = load_model(), load_model(path)
    assert isinstance(model.session, NativeSession) and isinstance(expected.session, Session)
    waveform = np.random.default_rng(0).normal(scale=0.1, size=8000).astype(np.float32)
    assert model.classify(waveform, 8000).label == expected.classify(waveform, 8000).label
    assert isinstance(load_model(threads=2).session, Session)

    library = installed_library(path)
    assert library is not None
    library.chmod(0o666)  # others could replace it
    assert installed_library(path) is None


def test_a_library_that_does_not_load_is_passed_over_with_a_warning(student, cache, monkeypatch):
    path = student("cp_mobile")
    monkeypatch.setattr(classifier, "packaged_model", lambda: path)
    library_path(path).parent.mkdir()
    library_path(path).write_bytes(b"no library")
    with pytest.warns(UserWarning, match="ONNX Runtime takes the place"):
        assert isinstance(load_model().session, Session)


def test_without_a_compiler_a_sentence_says_what_is_missing(student, cache, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(TinysceneError, match="C compiler and make are needed"):
        install_library(student("cp_mobile"))
    assert installed_library(student("cp_mobile")) is None


@pytest.mark.parametrize("option", [["--hop", "0.5"], ["--layout", "arduino"], ["--fixed-point"]])
def test_options_that_an_installed_library_cannot_have_are_refused(cache, option):
    with pytest.raises(TinysceneError, match=rf"{option[0]}.*or give -o DIR"):
        main(["c", "--install", *option])


def test_the_library_is_compiled_with_the_flags_of_its_makefile(student, cache, monkeypatch):
    compiler, arguments = cache / "cc", cache / "arguments"
    compiler.write_text(f'#!/bin/sh\necho "$@" > {arguments}\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("CFLAGS", "-O0 -ffast-math")
    with pytest.raises(TinysceneError, match="cannot compile the model"):
        install_library(student("cp_mobile"))
    flags = arguments.read_text().split()
    assert "-O3" in flags and "-O0" not in flags and "-ffast-math" not in flags


def test_only_the_packaged_model_is_installed(student):
    with pytest.raises(TinysceneError, match="packaged model"):
        main(["c", str(student("cp_mobile")), "--install"])
