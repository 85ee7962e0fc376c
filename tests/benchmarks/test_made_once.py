"""What a benchmark makes once counts as made only where all of it is there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import archive, c_contestants, int8_emulated_cpus
from runtime.errors import TinysceneError


def test_an_interrupted_archive_is_made_anew_and_another_one_beside_it(tmp_path, monkeypatch):
    def stop(folder, *_):
        folder.mkdir(parents=True)
        (folder / "half.wav").touch()
        raise KeyboardInterrupt

    def finish(folder, *_):
        folder.mkdir(parents=True)
        (folder / "whole.wav").touch()

    monkeypatch.setattr(archive, "make", stop)
    with pytest.raises(KeyboardInterrupt):
        archive.recordings(tmp_path, 1.0, 20, 2)
    monkeypatch.setattr(archive, "make", finish)
    made = archive.recordings(tmp_path, 1.0, 20, 2)
    assert [path.name for path in made.iterdir()] == ["whole.wav"]
    assert archive.recordings(tmp_path, 0.5, 20, 2) != made
    monkeypatch.setattr(archive, "make", stop)
    assert archive.recordings(tmp_path, 1.0, 20, 2) == made


def test_an_environment_without_openvino_gets_it(tmp_path, monkeypatch):
    """As pip leaves it where the network is gone: Python is there, the package is not."""
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(c_contestants.venv, "create", lambda *_, **__: None)
    with (
        pytest.raises(TinysceneError, match="pip cannot install openvino"),
        c_contestants.openvino(Path("model.onnx"), np.zeros(1, np.float32), environment, "perf_counter"),
    ):
        pass
    assert "-m pip install -q openvino" in (tmp_path / "calls").read_text()


def test_packages_count_as_unpacked_once_all_are(tmp_path, monkeypatch):
    def unpack_the_first(command: list[str], folder: Path) -> None:
        if command[0] == "apt-get":
            for name in ("a", "b"):
                (folder / f"{name}.deb").touch()
        elif command[2].endswith("b.deb"):
            raise TinysceneError("no space left")
        else:
            (Path(command[3]) / "usr").mkdir()

    monkeypatch.setattr(int8_emulated_cpus, "_call", unpack_the_first)
    with pytest.raises(TinysceneError, match="no space"):
        int8_emulated_cpus._unpack_debs(tmp_path, tmp_path / "qemu", ("qemu",), ())
    assert not (tmp_path / "qemu").exists()


def test_wheels_count_as_unpacked_once_all_are(tmp_path, monkeypatch):
    damaged = [b"no zip"]

    def download(command: list[str], folder: Path) -> None:
        wheels = Path(next(word for word in command if word.startswith("--dest=")).removeprefix("--dest="))
        wheels.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheels / "a.whl", "w") as archive:
            archive.writestr("a.py", "")
        for content in damaged:
            (wheels / "b.whl").write_bytes(content)

    monkeypatch.setattr(int8_emulated_cpus, "_call", download)
    with pytest.raises(zipfile.BadZipFile):
        int8_emulated_cpus._unpack_wheels(tmp_path, "common", ("a", "b"))
    assert not (tmp_path / "common").exists()
    damaged.clear()
    unpacked = int8_emulated_cpus._unpack_wheels(tmp_path, "common", ("a",))
    assert [path.name for path in unpacked.iterdir()] == ["a.py"]
    assert list(tmp_path.iterdir()) == [unpacked]  # no downloads are left
