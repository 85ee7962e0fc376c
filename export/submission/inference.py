"""The four functions of a submitted package that the organisers of DCASE 2025 Task 1 call.

This module and all that it imports are copied into the package (`export.submission.vendor`).

The organisers' scripts expect torch: `load_inputs` gives tensors, `predict` gives tensors of logits, and
`get_model_for_device` gives an ``nn.Module`` for them to count (`export.submission.counted_network`). The
ONNX file predicts: `predict` gives what `runtime.load_model` gives for the same clip.

Source: "DCASE2025 - Task 1 - Inference Package", the README and scripts of the organisers' template.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from export.submission.counted_network import load_counted
from runtime.audio.decode import AudioFile
from runtime.audio.log_mel import LogMel
from runtime.classifier import load_model as load_onnx
from runtime.errors import DataError, ModelFileError
from runtime.model.prediction import to_scores
from runtime.streaming.framing import Framer
from train.training.challenge_output import write_output

GENERAL = "general"  # the model for every device without a model of its own
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of zero has no logarithm

Predict = Callable[[list[str], list[str]], tuple[list[Tensor], list[str]]]


class Submission(nn.Module):
    """The models of all devices; see `load_model`.

    Args:
        folder: ``general.onnx`` and ``general.pt`` (its counted network), and the same of devices with
            models of their own.

    Attributes:
        model: the counted networks by device; the organisers save its ``state_dict``.
        onnx: the models that predict, by device.
        labels: class names in the order of the logits.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        if not (folder / f"{GENERAL}.onnx").is_file():
            raise ModelFileError(
                f"{folder} is not a folder of models: give one that holds {GENERAL}.onnx and {GENERAL}.pt, "
                "or None for the models of this package."
            )
        self.onnx = {path.stem: load_onnx(path) for path in sorted(folder.glob("*.onnx"))}
        self.model = nn.ModuleDict({device: load_counted(folder / f"{device}.pt") for device in self.onnx})
        self.labels = list(self.onnx[GENERAL].labels)
        self._framers: dict[tuple[str, int], Framer] = {}

    def model_device(self, device_id: str) -> str:
        """The device whose model is used for a device: its own, or general."""
        return device_id if device_id in self.onnx else GENERAL

    def log_mel(self, path: str, device_id: str) -> Tensor:
        """The windows of a file: [windows, 1, n_mels, frames]; a clip of one second is one window.

        Windows without signal are left out; a clip of nothing else is one window of silence.
        """
        device = self.model_device(device_id)
        spec, file = self.onnx[device].spec, AudioFile(path)
        key = device, file.sample_rate
        if key not in self._framers:  # the filter bank takes longer to build than a clip to classify
            self._framers[key] = Framer(spec, spec.clip_s, file.sample_rate)
        framer, log_mels = self._framers[key], []
        framer.reset()  # a damaged file before this one may have left samples
        for block in file.blocks():
            log_mels += [window.log_mel.copy() for window in framer.push(block) if window.log_mel is not None]
        log_mels += [window.log_mel.copy() for window in framer.finish() if window.log_mel is not None]
        if not log_mels:
            log_mels = [LogMel(spec.frontend)(np.zeros(spec.clip_samples, np.float32))]
        return torch.from_numpy(np.stack(log_mels)).unsqueeze(1)

    def logits(self, log_mel: Tensor, device_id: str) -> Tensor:
        """Log-probabilities [classes] of a clip: of the mean over its windows, at the file's temperature."""
        onnx = self.onnx[self.model_device(device_id)]
        # one window at a time, as in the runtime: another batch size may round differently
        logits = [onnx.session.logits(window[None].cpu().numpy())[0] for window in log_mel]
        scores = np.mean([list(to_scores(row, onnx.spec).values()) for row in logits], axis=0)
        return torch.from_numpy(np.log(np.maximum(scores, _SMALLEST))).float()

    def forward(self, log_mel: Tensor, device_ids: Sequence[str]) -> Tensor:
        """Log-mel [batch, 1, mels, frames] and each one's device -> logits [batch, classes]."""
        return torch.stack(
            [self.logits(x[None], device) for x, device in zip(log_mel, device_ids, strict=True)]
        )


def load_model(model_file_path: str | Path) -> Submission:
    """Load the models of a folder.

    Raises:
        ModelFileError: where it holds none, or one that gives wrong answers on this machine.
    """
    return Submission(Path(model_file_path)).eval()


def load_inputs(file_paths: Sequence[str], device_ids: Sequence[str], model: Submission) -> list[Tensor]:
    """Audio files to the input of each one's model: tensors [windows, 1, n_mels, frames].

    Raises:
        DataError: where there is not one device for every file.
        AudioError: where a file cannot be read; it names the file.
    """
    _pair(file_paths, device_ids)
    return [model.log_mel(path, device) for path, device in zip(file_paths, device_ids, strict=True)]


def get_model_for_device(model: Submission, device_id: str) -> nn.Module:
    """The counted network of the model that is used for a device."""
    return model.model[model.model_device(device_id)]


def predict(
    file_paths: Sequence[str], device_ids: Sequence[str], model: Submission
) -> tuple[list[Tensor], list[str]]:
    """Predict every file; one is in memory at a time.

    Returns:
        Logits [classes] of each file, whose softmax are the probabilities of the runtime, and class names.

    Raises:
        DataError: where there is not one device for every file.
        AudioError: where a file cannot be read; it names the file.
    """
    _pair(file_paths, device_ids)
    files = tqdm(file_paths, desc="predicting", unit="clip", disable=None)
    return [
        model.logits(model.log_mel(path, device), device)
        for path, device in zip(files, device_ids, strict=True)
    ], model.labels


def _pair(file_paths: Sequence[str], device_ids: Sequence[str]) -> None:
    if len(file_paths) != len(device_ids):
        raise DataError(
            f"There are {len(file_paths)} files and {len(device_ids)} devices: give one device for each file."
        )


def main(arguments: list[str], name: str, predict: Predict) -> int:
    """Predict an evaluation set and write ``output.csv``.

    Args:
        arguments: of the command line.
        name: of the submission, with its index.
        predict: of the submission.
    """
    parser = argparse.ArgumentParser(
        description="Predict the evaluation set of DCASE 2025 Task 1 and write output.csv."
    )
    parser.add_argument("folder", type=Path, metavar="EVALUATION_SET", help="holds evaluation_setup/")
    parser.add_argument("-o", "--output", type=Path, help=f"default: predictions/{name}/output.csv")
    options = parser.parse_args(arguments)
    output: Path = options.output or Path("predictions", name, "output.csv")
    rows = read_evaluation_set(options.folder)
    names = [row["filename"] for row in rows]
    logits, labels = predict([str(options.folder / name) for name in names], [r["device_id"] for r in rows])
    output.parent.mkdir(parents=True, exist_ok=True)
    write_output(output, names, torch.stack(logits).softmax(1).numpy(), labels)
    print(f"wrote {output}: {len(names)} clips")
    return 0


def read_evaluation_set(folder: Path) -> list[dict[str, str]]:
    """The rows of ``evaluation_setup/fold1_test.csv``: tab-separated, with filename and device_id.

    Raises:
        DataError: where the table is missing, or lacks a column.
    """
    path = folder / "evaluation_setup" / "fold1_test.csv"
    if not path.is_file():
        raise DataError(f"There is no {path}: name the folder of the TAU 2025 evaluation set.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        rows = list(reader)
    if not rows or not {"filename", "device_id"} <= set(reader.fieldnames or ()):
        raise DataError(f"{path} is no table of filename and device_id: copy the evaluation set again.")
    return rows
