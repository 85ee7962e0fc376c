"""What is recorded of the outputs of `learn`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.learn.earlier import LATEST, find_earlier, is_as_written, latest_loss, latest_run, remember
from export.learn.options import Options
from runtime.errors import ConfigError


def write_output(runs: Path, name: str, tolerance: float) -> Options:
    """An output of a run of its own in the folder ``runs``."""
    output = runs.parent / f"{name}.onnx"
    output.write_bytes(name.encode())
    options = Options(runs, output, run=runs, tolerance=tolerance)
    remember(options, runs / f"of_{name}", output)
    return options


def test_two_outputs_of_one_folder_are_each_recognised(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    first, second = write_output(runs, "first", 0.25), write_output(runs, "second", 0.5)
    assert [latest_run(options) for options in (first, second)] == ["of_first", "of_second"]
    assert [latest_loss(options) for options in (first, second)] == [0.25, 0.5]
    assert is_as_written(first) and is_as_written(second)
    first.output.write_bytes(b"garbage")
    assert not is_as_written(first) and is_as_written(second)


def test_a_training_goes_on_from_the_run_of_the_file_that_is_named(tmp_path: Path, monkeypatch) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    first = write_output(runs, "first", 0.25)
    read: list[Path] = []

    def load(path: Path) -> None:
        read.append(path)
        raise ConfigError("read")

    for name in ("of_first", "of_second"):
        (runs / name).mkdir()
        for file in ("sounds.csv", "model.pt"):
            (runs / name / file).touch()
    monkeypatch.setattr("export.learn.earlier.model_pt.load", load)
    renamed = first.output.with_name("renamed.onnx")
    renamed.touch()
    _find(Options(runs, first.output, run=runs, start=renamed))
    write_output(runs, "second", 0.5)
    _find(Options(runs, first.output, run=runs, start=first.output))
    assert [path.parent.name for path in read] == ["of_first", "of_first"]


def _find(options: Options) -> None:
    with pytest.raises(ConfigError, match=r"^read$"):
        find_earlier(options)


def test_the_record_of_an_older_release_is_read(tmp_path: Path) -> None:
    options = Options(tmp_path, tmp_path / "my.onnx", run=tmp_path)
    record = {"run": "1a2b", "output": "my.onnx", "allowed_loss": 0.5}
    (tmp_path / LATEST).write_text(json.dumps(record))
    assert latest_run(options) == "1a2b" and latest_loss(options) == 0.5
    other = Options(tmp_path, tmp_path / "other.onnx", run=tmp_path)
    assert latest_run(other) is None and latest_loss(other) == 1.0
