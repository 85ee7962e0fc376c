"""Environments and files of contestants: made ahead, once, and only those that are needed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.side_by_side import artefacts, environments
from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.ways import product_files
from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS
from runtime.errors import TinysceneError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were to make environments; each leaves a folder."""
    commands: list[list[str]] = []

    def call(command: list[object]) -> None:
        commands.append([str(word) for word in command])
        folder = Path(str(command[command.index("--target") + 1] if "--target" in command else command[-1]))
        if "venv" in command or "--target" in command:
            folder.mkdir(parents=True)

    monkeypatch.setattr(environments, "_call", call)
    return commands


def test_an_environment_is_made_once_and_again_when_its_packages_change(calls, tmp_path, monkeypatch):
    made = Environments(tmp_path)
    assert made.made("peers") == tmp_path / "peers" / "bin" / "python" == made.made("peers")
    assert len(calls) == 3 and "librosa==0.11.0" in calls[1] and "--no-deps" in calls[2]
    monkeypatch.setattr(environments, "PEERS", ("librosa==1.0",))
    Environments(tmp_path).made("peers")
    assert len(calls) == 6


def test_environments_are_made_ahead_and_waited_for(tmp_path, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()

    def call(command: list[object]) -> None:
        begun.set()
        assert may_end.wait(10)
        (tmp_path / "executorch").mkdir(exist_ok=True)

    monkeypatch.setattr(environments, "_call", call)
    made = Environments(tmp_path)
    made.make_ahead(["executorch", "project", "executorch"])
    assert begun.wait(10)  # while this thread goes on
    may_end.set()
    assert made.made("executorch") == Path(sys.executable) == made.made("project")


def test_what_fails_ahead_is_raised_where_it_is_needed(tmp_path, monkeypatch):
    def fail(command: list[object]) -> None:
        raise TinysceneError("pip failed: no network")

    monkeypatch.setattr(environments, "_call", fail)
    made = Environments(tmp_path)
    made.make_ahead(["products"])
    for name in ("products", "peers"):
        with pytest.raises(TinysceneError, match="no network"):
            made.made(name)


def test_products_share_the_environment_of_the_peers(calls, tmp_path):
    made = Environments(tmp_path)
    made.make_ahead(["products"])
    assert made.made("products") == made.made("peers")
    assert sum("venv" in command for command in calls) == 1
    paths = made.variables("products")["PYTHONPATH"].split(":")
    assert [Path(path).name for path in paths] == ["packages", "products"]


def test_processes_store_bytecode(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert Environments(tmp_path).variables("project")["PYTHONDONTWRITEBYTECODE"] == ""


def test_a_failed_conversion_is_remembered_and_a_missing_environment_is_not(tmp_path, monkeypatch):
    tries: list[str] = []

    def convert(made: Environments, model: Path, folder: Path) -> None:
        tries.append("conversion")
        raise TinysceneError("no such operator")

    def make(self: Environments, name: str) -> Path:
        if name == "peers":
            tries.append(name)
            raise TinysceneError("no network")
        return Path(sys.executable)

    monkeypatch.setattr(Environments, "_make", make)
    conversions = {
        "a": artefacts._Conversion("project", convert), "b": artefacts._Conversion("peers", convert)
    }  # fmt: skip
    for _ in range(2):
        missing = artefacts._converted(Environments(tmp_path), tmp_path, tmp_path, conversions)
        assert missing == {"a": "no such operator", "b": "no network"}
    assert tries == ["conversion", "peers", "peers"]


def test_every_file_of_a_contestant_is_made():
    ours = {"libmodel.so", "int8.onnx", "fp32.onnx", "weights.pt", "waveforms.npy"}
    files = {entry.file for entry in (*ENTRIES.values(), *PRODUCTS.values())}
    assert files - ours == set(artefacts._CONVERSIONS)


def test_yamnet_has_its_published_size():
    network = product_files.YamNet().eval()
    # Keras counts shift, mean and variance of a batch norm; parameters() has its scale and shift
    channels = sum(layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert sum(parameter.numel() for parameter in network.parameters()) + channels == 3_751_369
    with torch.inference_mode():
        assert network(torch.zeros(product_files.YAMNET_INPUT)).shape == (1, 521)
