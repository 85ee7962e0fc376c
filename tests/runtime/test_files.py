"""Files appear whole or not at all, and every name can be printed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runtime.errors import ConfigError, TinysceneError
from runtime.files import link_new, printable, refuse_to_replace, write_beside


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with write_beside(path) as partial:
        partial.write_text("first")
        assert not path.exists() and partial.suffix == ".json"
    with pytest.raises(RuntimeError), write_beside(path) as partial:
        partial.write_text("second")
        raise RuntimeError
    assert path.read_text() == "first" and [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_must_not_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")  # as on FAT

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "take.wav"
    with write_beside(path, replace=False) as partial:
        partial.write_text("first")
    with pytest.raises(FileExistsError), write_beside(path, replace=False) as partial:
        partial.write_text("second")
    assert path.read_text() == "first" and [p.name for p in tmp_path.iterdir()] == ["take.wav"]


def test_a_second_name_replaces_nothing(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("first")
    assert link_new(first, second) and second.read_text() == "first"
    with pytest.raises(FileExistsError):
        link_new(first, second)
    with pytest.raises(FileNotFoundError):
        link_new(tmp_path / "gone", tmp_path / "third")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("place", [".", "missing/file"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(TinysceneError), write_beside(tmp_path / place):
        pass


NAMES = [(b"a.wav", "a.wav"), ("\u00e4.wav".encode(), "\u00e4.wav"), (b"\xe4.wav", r"\xe4.wav")]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_names_that_are_not_utf8_are_escaped(name: bytes, text: str) -> None:
    assert printable(os.fsdecode(name)) == text


def test_a_result_does_not_replace_what_it_is_made_from(tmp_path: Path) -> None:
    source, link = tmp_path / "source", tmp_path / "link"
    source.write_text("weights")
    link.symlink_to(source)
    refuse_to_replace([source, "a.module:name"], tmp_path / "new")
    for same in (source, tmp_path / "." / ".." / tmp_path.name / "source", link):
        with pytest.raises(ConfigError, match=r"would replace .*source"):
            refuse_to_replace(["elsewhere", source], same)
