"""Shared libraries that are none of this toolkit."""

import json
import shutil
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime import classifier, load_model
from runtime.cli.main import main
from runtime.errors import ModelFileError
from runtime.model import native_session
from runtime.model.elf_file import needed_bytes
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


ELF = pytest.mark.skipif(sys.platform != "linux", reason="libraries are ELF files on Linux")


def elf(bits: int, order: str, segments: list[tuple[int, int]], sections: int = 0) -> bytes:
    """The beginning of a library: its header, (offset, size) of its segments; 3 sections begin at a place."""
    kind, word, entry = (1, "I", 32) if bits == 32 else (2, "Q", 56)
    size = 52 if bits == 32 else 64
    begin = struct.pack("4sBBB9x", b"\x7fELF", kind, 1 if order == "<" else 2, 1)
    places = struct.pack(f"{order}HHI3{word}I", 3, 62, 1, 0, size, sections, 0)
    counts = struct.pack(f"{order}6H", size, entry, len(segments), 64, 3 if sections else 0, 0)
    fields = "4xI8xI12x" if bits == 32 else "8xQ16xQ16x"
    return begin + places + counts + b"".join(struct.pack(order + fields, *segment) for segment in segments)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_length_that_headers_of_a_library_ask_for(tmp_path: Path, bits: int, order: str) -> None:
    path = tmp_path / "libmodel.so"
    whole = elf(bits, order, [(0, 100), (1000, 500), (9000, 0)])
    path.write_bytes(whole)
    assert needed_bytes(path) == 1500
    path.write_bytes(elf(bits, order, [(0, 100)], sections=5000))
    assert needed_bytes(path) == 5000 + 3 * 64
    path.write_bytes(whole[:-1])
    assert needed_bytes(path) == len(whole)
    path.write_bytes(whole[:30])
    assert needed_bytes(path) == (52 if bits == 32 else 64)
    for other in (
        b"",
        b"\x7fELF",
        b"\x7fELF\x09\x01" + bytes(60),
        b"MZ" + whole[2:],
        b"\xcf\xfa" + whole[2:],
    ):
        path.write_bytes(other)
        assert needed_bytes(path) == 0


@ELF
def test_a_library_that_is_cut_off_is_one_sentence(tmp_path: Path) -> None:
    import _ctypes

    whole, path = Path(_ctypes.__file__).read_bytes(), tmp_path / "libmodel.so"
    for length in (len(whole) - 1, len(whole) // 2, 5000, 70, 20):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=rf"it has {length} of \d+ bytes: copy it again"):
            load_model(path)


@ELF
def test_onnx_runtime_takes_the_place_of_an_installed_library_that_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import _ctypes

    library = tmp_path / "model.so"
    library.write_bytes(Path(_ctypes.__file__).read_bytes()[:5000])
    monkeypatch.setattr(classifier, "installed_library", lambda model: library)
    main(["doctor", "--json"])
    printed = capsys.readouterr()
    assert f"ONNX Runtime takes the place of {library}: {library} is cut off" in printed.err
    (found,) = [line for line in map(json.loads, printed.out.splitlines()) if line["name"] == "model"]
    assert found["detail"].startswith("esc10.onnx")
