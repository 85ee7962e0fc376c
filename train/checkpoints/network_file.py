"""The loader that `complexity` finds for model.pt and .ckpt files (`complexity.network_files`)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.checkpoints.torch_file import ForeignFileError


@dataclass(frozen=True)
class StudentFile:
    """A student in a file; see `complexity.network_files.NetworkFile`."""

    checkpoint: Checkpoint

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[1, 1, n_mels, frames]."""
        return self.checkpoint.input_shape

    @property
    def frontend(self) -> FrontEndSpec:
        """The front end that the student was trained with."""
        return self.checkpoint.frontend

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The student's keyword arguments, defaults included."""
        parameters = inspect.signature(networks.NETWORKS[self.checkpoint.student]).parameters
        return {name: p.default for name, p in parameters.items()} | self.checkpoint.arguments

    def build(self) -> nn.Module:
        """The student with its weights."""
        return self.checkpoint.build()

    def build_variant(self, arguments: Mapping[str, Any]) -> nn.Module:
        """The same student with other arguments."""
        return networks.build(self.checkpoint.student, arguments)


def load(path: Path) -> StudentFile:
    """Read a model.pt, or the student in a Lightning checkpoint of `python -m train fit`.

    Raises:
        ModelFileError: where the file is neither; TorchScript and torch.export programs are refused before,
            by `complexity.network_files.load`.
    """
    read = model_pt.load_lightning if path.suffix.lower() == ".ckpt" else model_pt.load
    try:
        return StudentFile(read(path))
    except ForeignFileError as error:
        raise ForeignFileError(
            f"{error} That knows the networks of this project; export any other one to ONNX "
            "(torch.onnx.export) and check the .onnx file."
        ) from error
