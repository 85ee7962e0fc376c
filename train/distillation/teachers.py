"""The teacher interface and its adapters: a model.pt, an exported ONNX file, or a Python callable."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from runtime.audio import resample as resampling
from runtime.errors import ConfigError, TinysceneError
from runtime.model.session import Session
from runtime.spec import FrontEndSpec, Task
from train.augmentation.views import Mixing, View
from train.checkpoints import model_pt
from train.checkpoints.identity import describe_file
from train.distillation.features import FeatureHook
from train.distillation.probabilities import looks_like_probabilities
from train.log_mel import LogMel

Half = Literal["scene", "capture"]


class TeacherInput(NamedTuple):
    """What a teacher receives of a view.

    Attributes:
        waveform: [batch, samples]; a mixture where the scene is one.
        spec: the student's front end; its sample rate is that of ``waveform``.
        log_mel: [batch, 1, mels, frames] of it by that front end, augmented and with MixUp as the student's;
            None where the teacher receives the scene and the student its capture.
        mixup: that a teacher with another front end applies to its own log-mels.
    """

    waveform: Tensor
    spec: FrontEndSpec
    log_mel: Tensor | None
    mixup: Mixing | None


def teacher_input(view: View, spec: FrontEndSpec, half: Half = "scene") -> TeacherInput:
    """The half of a view that teachers receive: the scene, or its capture as the student.

    Args:
        view: of a batch.
        spec: the front end that computed ``view.log_mel``.
        half: ``scene`` or ``capture``; the same where the augmentation has no scene and no capture.
    """
    if half == "scene" and view.scene is not None:
        return TeacherInput(view.scene, spec, None, view.mixup)
    return TeacherInput(view.waveform, spec, view.log_mel, view.mixup)


class Teacher(ABC):
    """Computes logits for the same view of a batch that the student is shown.

    Attributes:
        labels: class names in the order of the logits.
        task: how logits become probabilities.
        window_s: the window length that it was trained on, seconds; None where any length will do.
        sees_mixing: whether MixUp is applied to its input; otherwise it is applied to its probabilities.
        features: input of its head for the last batch, [batch, ...]; None where the teacher does not expose
            it.
    """

    labels: tuple[str, ...]
    task: Task
    window_s: float | None = None
    sees_mixing = True
    features: Tensor | None = None

    @abstractmethod
    def logits(self, batch: TeacherInput) -> Tensor:
        """Logits for a view of a batch: float32 [batch, classes]."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Name, checksum and licence as JSON values; equal values mean the same teacher."""


class _LogMelTeacher(Teacher):
    """A teacher on log-mels: it reuses the student's log-mel where the two front ends are equal."""

    def __init__(self, spec: FrontEndSpec, device: torch.device) -> None:
        self.spec, self._log_mel = spec, LogMel(spec).to(device)

    def _input(self, batch: TeacherInput) -> Tensor:
        """Log-mel [batch, 1, mels, frames] of the teacher's front end, with MixUp like the student's."""
        if batch.spec == self.spec and batch.log_mel is not None:
            return batch.log_mel
        waveform = resample(batch.waveform, batch.spec.sample_rate, self.spec.sample_rate)
        log_mel: Tensor = self._log_mel(waveform)
        return log_mel if batch.mixup is None else batch.mixup(log_mel)


class ModelTeacher(_LogMelTeacher):
    """A model.pt, student or teacher.

    Args:
        path: the file.
        device: where it runs.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._path, self._model = path, model_pt.load(path)
        super().__init__(self._model.frontend, device)
        self.labels, self.task, self.window_s = self._model.labels, self._model.task, self._model.clip_s
        self._network = self._model.build().to(device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._features = FeatureHook(self._network)

    @torch.inference_mode()
    def logits(self, batch: TeacherInput) -> Tensor:
        """Run the network."""
        log_mel = self._input(batch).contiguous(memory_format=torch.channels_last)
        result: Tensor = self._network(log_mel).float()
        self.features = self._features.last
        return result

    def describe(self) -> dict[str, Any]:
        """File, network, front end, data and licence."""
        provenance = self._model.provenance
        return {
            **describe_file(self._path), "network": self._model.student, "front_end": self.spec.to_dict(),
            "data": provenance.get("data"), "licence": provenance.get("licence", "unknown"),
        }  # fmt: skip


class OnnxTeacher(_LogMelTeacher):
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
    def logits(self, batch: TeacherInput) -> Tensor:
        """Run the session."""
        log_mel = self._input(batch)
        logits = self._session.logits(np.ascontiguousarray(log_mel.cpu().numpy(), np.float32))
        return torch.from_numpy(logits).to(batch.waveform.device)

    def describe(self) -> dict[str, Any]:
        """File, front end and provenance."""
        spec = self._session.spec
        return {
            **describe_file(self._path), "front_end": self.spec.to_dict(),
            "licence": spec.provenance.get("licence", "unknown"),
        }  # fmt: skip


class CallableTeacher(Teacher):
    """A Python callable from waveforms to logits, named ``package.module:name``.

    It is called with a float32 tensor [batch, samples] at its ``sample_rate`` and returns logits
    [batch, classes]. Its attributes are ``labels`` (class names in the order of the logits),
    ``sample_rate`` (Hz) and, where they apply, ``task`` (``single_label`` or ``multi_label``) and
    ``licence``. Where a checkpoint is given, the name is that of a function that takes the checkpoint's path
    and returns such a callable.

    Args:
        name: of the callable, or of the function that returns it.
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
                f"The teacher '{name}' has no attribute '{missing[0]}': it needs the attributes labels and "
                "sample_rate."
            )
        self.labels = tuple(self._call.labels)
        self.task = getattr(self._call, "task", "single_label")

    @torch.inference_mode()
    def logits(self, batch: TeacherInput) -> Tensor:
        """Call it, and check the logits that it returns."""
        waveform = resample(batch.waveform, batch.spec.sample_rate, self._call.sample_rate)
        logits = torch.as_tensor(self._call(waveform), dtype=torch.float32)
        expected = (len(waveform), len(self.labels))
        if tuple(logits.shape) != expected:
            raise TinysceneError(
                f"The teacher '{self._name}' returned logits of shape {list(logits.shape)} where "
                f"{list(expected)} was expected: return one row a waveform and one column a label."
            )
        if looks_like_probabilities(logits, self.task):
            raise TinysceneError(
                f"The teacher '{self._name}' returned probabilities and not logits: return them before the "
                "softmax or sigmoid."
            )
        if not logits.isfinite().all():
            raise TinysceneError(
                f"The teacher '{self._name}' returned logits that are not finite: correct the callable."
            )
        return logits.to(batch.waveform.device)

    def describe(self) -> dict[str, Any]:
        """Its name, its checkpoint's checksum and its licence."""
        weights = describe_file(self._checkpoint) if self._checkpoint else {}
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
            raise ConfigError(f"{name} contains its weights: --checkpoint is for callables alone.")
        kind = ModelTeacher if suffix == ".pt" else OnnxTeacher
        return kind(Path(name), torch.device(device))
    return CallableTeacher(name, checkpoint)


def check_labels(teacher: str, labels: Sequence[str], expected: Sequence[str]) -> None:
    """Make sure that a teacher has the labels of the data, in any order.

    Raises:
        ConfigError: where it has others; ``teacher`` names it in the message.
    """
    if set(labels) != set(expected):
        differing = ", ".join(sorted(set(labels) ^ set(expected)))
        raise ConfigError(
            f"{teacher} has other labels than the data ({differing} on one side alone): take a teacher of "
            "these labels."
        )


def resample(waveform: Tensor, sample_rate: int, target_rate: int) -> Tensor:
    """Resample float32 [batch, samples] as the runtime resamples files."""
    if sample_rate == target_rate:
        return waveform
    clips = waveform.T.cpu().numpy()  # the resampler takes [samples, channels]
    resampled = resampling.resample(clips, sample_rate, target_rate)
    return torch.from_numpy(np.ascontiguousarray(resampled.T)).to(waveform.device)
