"""Shared libraries that are none of this toolkit."""

import shutil

import pytest

from runtime import load_model
from runtime.errors import ModelFileError


def test_a_missing_library_names_the_commands_that_make_one(tmp_path):
    with pytest.raises(ModelFileError, match="python -m export c"):
        load_model(tmp_path / "libmodel.so")


def test_a_file_that_is_no_library_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "libmodel.so"
    path.write_bytes(b"not a library")
    with pytest.raises(ModelFileError, match="run `make`"):
        load_model(path)


def test_a_library_of_something_else_is_refused(tmp_path):
    import _ctypes

    path = tmp_path / "other.so"
    shutil.copy(_ctypes.__file__, path)
    with pytest.raises(ModelFileError, match="not a library of this toolkit"):
        load_model(path)
