"""Shared libraries that are none of this toolkit."""

import shutil
from types import SimpleNamespace

import pytest

from runtime import load_model
from runtime.errors import ModelFileError
from runtime.model import native_session
from runtime.spec import FrontEndSpec, ModelSpec


def test_a_missing_library_names_the_commands_that_make_one(tmp_path):
    with pytest.raises(ModelFileError, match="python -m export c"):
        load_model(tmp_path / "libmodel.so")


def test_a_file_that_is_no_library_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "libmodel.so"
    path.write_bytes(b"not a library")
    with pytest.raises(ModelFileError, match="run `make`"):
        load_model(path)


def test_windows_that_are_too_short_for_the_front_end(tmp_path, monkeypatch):
    functions = {
        "model_init": lambda: None,
        "model_kernels": lambda: b"C",
        "model_workspace_bytes": lambda: 8,
    }
    spec = ModelSpec(("a", "b"), FrontEndSpec.preset("cp_mel"), clip_s=0.01)
    monkeypatch.setattr(native_session, "_load", lambda path: SimpleNamespace(**functions))
    monkeypatch.setattr(native_session, "_spec", lambda library, path: spec)
    with pytest.raises(ModelFileError, match=r"libmodel\.so does not fit its windows: 320 samples"):
        load_model(tmp_path / "libmodel.so")


def test_a_library_of_something_else_is_refused(tmp_path):
    import _ctypes

    path = tmp_path / "other.so"
    shutil.copy(_ctypes.__file__, path)
    with pytest.raises(ModelFileError, match="not a library of this toolkit"):
        load_model(path)
