"""Anybody who can answer for a batch: a model.pt of ours, an exported ONNX file, or a Python callable."""

from __future__ import annotations

import hashlib
import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtime.audio import resample as resampling
from runtime.errors import ConfigError, TinysceneError
from runtime.model.session import Session
from runtime.spec import FrontEndSpec, Task
from train import networks
from train.checkpoints import model_pt
from train.log_mel import LogMel
from train.training.augmentation import View


class Teacher(ABC):
    """Answers for a batch as the student is shown it.

    Attributes:
        labels: class names in the order of the logits.
        task: how logits become probabilities.
        window_s: the length that it was trained on, seconds; None where any will do.
        sees_mixing: whether MixUp is in what it is shown; otherwise its answers are mixed instead.
        features: what its last part was given at the last batch; None where that cannot be seen.
    """

    labels: tuple[str, ...]
    task: Task
    window_s: float | None = None
    sees_mixing = True
    features: Tensor | None = None

    @abstractmethod
    def logits(self, view: View, spec: FrontEndSpec) -> Tensor:
        """What it says to a batch: float32 [batch, classes].

        Args:
            view: the batch.
            spec: the front end that made ``view.log_mel``.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Who it is, as JSON values; the same name and checksum is the same teacher."""


class _Hearing(Teacher):
    """A teacher with a front end of ours: it takes the student's log-mel where both are the same."""

    def __init__(self, spec: FrontEndSpec, device: torch.device) -> None:
        self.spec, self._log_mel = spec, LogMel(spec).to(device)

    def _input(self, view: View, spec: FrontEndSpec) -> Tensor:
        """Log-mel [batch, 1, mels, frames], mixed as the student's is."""
        if spec == self.spec:
            return view.log_mel
        waveform = resample(view.waveform, spec.sample_rate, self.spec.sample_rate)
        return view.mixed(self._log_mel(waveform))


class ModelTeacher(_Hearing):
    """A model.pt, student or teacher.

    Args:
        path: the file.
        device: where it runs.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._path, self._model = path, model_pt.load(path)
        super().__init__(self._model.frontend, device)
        self.labels, self.task, self.window_s = self._model.labels, self._model.task, self._model.clip_s
        self._network = self._model.build().to(device, memory_format=torch.channels_last)
        self._features = networks.Features(self._network)

    @torch.inference_mode()
    def logits(self, view: View, spec: FrontEndSpec) -> Tensor:
        """Run the network."""
        log_mel = self._input(view, spec).contiguous(memory_format=torch.channels_last)
        result: Tensor = self._network(log_mel).float()
        self.features = self._features.last
        return result

    def describe(self) -> dict[str, Any]:
        """File, network, front end, data and licence."""
        provenance = self._model.provenance
        return {
            **_file(self._path), "network": self._model.student, "front_end": self.spec.to_dict(),
            "data": provenance.get("data"), "licence": provenance.get("licence", "unknown"),
        }  # fmt: skip


class OnnxTeacher(_Hearing):
    """An .onnx file of `python -m export onnx`, run by the runtime.

    Args:
        path: the file.
        device: where the front end runs; the network runs on the CPU.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._path, self._session = path, Session(path)
        spec = self._session.spec
        super().__init__(spec.frontend, device)
        self.labels, self.task, self.window_s = spec.labels, spec.task, spec.clip_s

    @torch.inference_mode()
    def logits(self, view: View, spec: FrontEndSpec) -> Tensor:
        """Run the session."""
        log_mel = self._input(view, spec)
        answers = self._session.logits(np.ascontiguousarray(log_mel.cpu().numpy(), np.float32))
        return torch.from_numpy(answers).to(view.log_mel.device)

    def describe(self) -> dict[str, Any]:
        """File, front end and provenance."""
        spec = self._session.spec
        return {
            **_file(self._path), "front_end": self.spec.to_dict(),
            "licence": spec.provenance.get("licence", "unknown"),
        }  # fmt: skip


class CallableTeacher(Teacher):
    """A Python callable from waveforms to logits, named ``package.module:name``.

    It is called with a float32 tensor [batch, samples] at its ``sample_rate`` and returns logits
    [batch, classes]. Its attributes are ``labels`` (class names in the order of the logits),
    ``sample_rate`` (Hz) and, where they apply, ``task`` (``single_label`` or ``multi_label``) and
    ``licence``. Where a checkpoint is given, the name is that of a function from the checkpoint's path to
    such a callable.

    Args:
        name: of the callable, or of what makes it.
        checkpoint: path of its weights.
    """

    sees_mixing = False

    def __init__(self, name: str, checkpoint: str | None = None) -> None:
        self._name, self._checkpoint = name, checkpoint
        module, _, attribute = name.partition(":")
        try:
            found: Any = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"There is no teacher '{name}' ({error}): a teacher is a model.pt, an .onnx file, or a "
                "callable named package.module:name."
            ) from error
        self._call = found if checkpoint is None else found(checkpoint)
        missing = [name for name in ("labels", "sample_rate") if not hasattr(self._call, name)]
        if missing:
            raise ConfigError(
                f"The teacher '{name}' has no attribute '{missing[0]}': it must say its labels and "
                "sample_rate."
            )
        self.labels = tuple(self._call.labels)
        self.task = getattr(self._call, "task", "single_label")

    @torch.inference_mode()
    def logits(self, view: View, spec: FrontEndSpec) -> Tensor:
        """Call it, and check what comes back."""
        waveform = resample(view.waveform, spec.sample_rate, self._call.sample_rate)
        answers = torch.as_tensor(self._call(waveform), dtype=torch.float32)
        wanted = (len(waveform), len(self.labels))
        if tuple(answers.shape) != wanted or not answers.isfinite().all():
            raise TinysceneError(
                f"The teacher '{self._name}' gave logits of shape {list(answers.shape)} where finite ones of "
                f"shape {list(wanted)} were expected: mend it."
            )
        return answers.to(view.log_mel.device)

    def describe(self) -> dict[str, Any]:
        """Its name, its checkpoint's checksum and its licence."""
        weights = _file(Path(self._checkpoint)) if self._checkpoint else {}
        return {"callable": self._name, **weights, "licence": getattr(self._call, "licence", "unknown")}


def find_teacher(name: str, checkpoint: str | None = None, device: str | torch.device = "cpu") -> Teacher:
    """The teacher that a command line or a recipe names.

    Args:
        name: a path that ends in ``.pt`` or ``.onnx``, or ``package.module:name``.
        checkpoint: weights for a callable.
        device: where it runs.

    Raises:
        TinysceneError: where there is none, or its file cannot be used.
    """
    suffix = Path(name).suffix
    if suffix in (".pt", ".onnx"):
        if checkpoint:
            raise ConfigError(f"{name} has its weights inside: --checkpoint is for callables alone.")
        kind = ModelTeacher if suffix == ".pt" else OnnxTeacher
        return kind(Path(name), torch.device(device))
    return CallableTeacher(name, checkpoint)


def resample(waveform: Tensor, sample_rate: int, target_rate: int) -> Tensor:
    """Resample float32 [batch, samples] as the runtime resamples files."""
    if sample_rate == target_rate:
        return waveform
    channels = resampling.resample(
        waveform.T.cpu().numpy(), sample_rate, target_rate
    )  # the batch as channels
    return torch.from_numpy(np.ascontiguousarray(channels.T)).to(waveform.device)


def _file(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
