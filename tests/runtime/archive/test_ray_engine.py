"""A real Ray cluster of two workers on this machine gives the bytes of the processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.main import main
from runtime.errors import MissingExtraError
from tests.conftest import ROOT
from tests.runtime.archive.conftest import Classify


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    pytest.importorskip("ray.data", reason="ray[data] is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))  # where the workers find this package
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.mark.slow  # half a minute: Ray starts half a dozen processes
@pytest.mark.usefixtures("cluster")
def test_ray_gives_the_same_bytes(
    cards: Path, classify: Classify, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("pyarrow")
    (cards / "broken.wav").write_bytes(b"RIFF and no more")
    monkeypatch.chdir(cards)
    assert classify("a", "b", "broken.wav", "-o", tmp_path / "table.csv") == 1
    command = ["classify", "--model", str(model_path), "a", "b", "broken.wav"]
    assert main([*command, "-o", str(tmp_path / "ray.csv"), "--engine", "ray", "--jobs", "2"]) == 1
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert "broken.wav is not audio" in capsys.readouterr().err


def test_without_ray_one_sentence_names_the_extra(
    cards: Path, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"tinyscene\[ray\]"):
        classify(cards, "-o", tmp_path / "t.csv", "--engine", "ray")
    assert list(tmp_path.iterdir()) == [cards]
