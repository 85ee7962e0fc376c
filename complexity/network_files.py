"""Files that hold a network to build, such as model.pt: other packages register their loaders.

This package does not import ``train``, so it cannot build a student. ``train`` registers a loader as an
entry point of the group ``tinyscene.network_files``, named after the file's suffix (pyproject.toml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from complexity.file_kinds import identify, identify_program
from runtime.entry_point import require
from runtime.errors import ConfigError, ModelFileError
from runtime.spec import FrontEndSpec

GROUP = "tinyscene.network_files"


class NetworkFile(Protocol):
    """What a loader returns: a network to build, and the front end that it was trained with."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the network at batch 1."""

    @property
    def frontend(self) -> FrontEndSpec:
        """The front end whose output it reads."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Keyword arguments of the network's class, defaults included."""

    def build(self) -> Any:
        """The network as a torch module, with its weights."""

    def build_variant(self, arguments: Mapping[str, Any]) -> Any:
        """The same class with other arguments, and random weights."""


def load(path: Path) -> NetworkFile:
    """Read a network from a file by the loader that is registered for its suffix.

    Raises:
        ConfigError: where no loader is registered for it, or it holds a program and not a network's weights.
        MissingExtraError: where torch is not installed.
        ModelFileError: where the file cannot be used, or is a folder.
    """
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder: give a model.pt, .ckpt, .onnx or .tflite file{_found(path)}."
        )
    program = identify_program(path)
    if program:
        raise ConfigError(f"{path} cannot be measured: {program}.")
    loaders = {entry.name: entry for entry in entry_points(group=GROUP)}
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in loaders and not path.exists():
        raise ModelFileError(
            f"There is no file {path}: give a model.pt, .ckpt, .onnx or .tflite that exists."
        )
    if suffix not in loaders:
        known = ", ".join(f".{name}" for name in sorted({*loaders, "onnx", "tflite"}))
        kind = identify(path) or f"give a file that ends in one of {known}"
        raise ConfigError(f"{path} cannot be measured: {kind}.")
    require("torch", extra="train")
    loader: Callable[[Path], NetworkFile] = loaders[suffix].load()
    return loader(path)


def _found(folder: Path) -> str:
    """The first model in a folder, as an example."""
    suffixes = (".pt", ".ckpt", ".onnx", ".tflite")
    models = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes and path.is_file())
    return f", such as {models[0]}" if models else ""
