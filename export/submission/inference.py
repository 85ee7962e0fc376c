"""What a submitted package runs: the four functions that the organisers of DCASE 2025 Task 1 call.

This module and all that it imports travel inside the package (`export.submission.vendor`).

The organisers' scripts expect torch: `load_inputs` gives tensors, `predict` gives tensors of logits, and
`get_model_for_device` gives an ``nn.Module`` on which they run torchinfo and add up the bytes of the
parameters. An ONNX file is no ``nn.Module``, and torchinfo reads zero in a network that is converted to
INT8. So each model is here twice. The ONNX file answers: `predict` is what `runtime.load_model` says of the
same clip. Its `Twin` is counted: the network as it was trained, on which the rule is defined, with every
parameter in the data type that the file stores it in.

Source: "DCASE2025 - Task 1 - Inference Package", the README and scripts of the organisers' template.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from runtime.audio.decode import AudioFile
from runtime.audio.log_mel import LogMel
from runtime.classifier import load_model as load_onnx
from runtime.errors import DataError, ModelFileError
from runtime.model.prediction import to_scores
from runtime.streaming.framing import Framer
from train.students import STUDENTS
from train.training.challenge_output import write_output

GENERAL = "general"  # the model of every device that has none of its own
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of zero has no logarithm
_EXTRA_STATE = "_extra_state"  # torch's name for it

Predict = Callable[[list[str], list[str]], tuple[list[Tensor], list[str]]]


class Twin(nn.Module):
    """A network whose parameters are stored in INT8 and multiplied out when it runs.

    It answers nearly as the ONNX file, which has integer activations and folded batch norms besides.

    Args:
        network: the float network; it is changed.
        scales: parameter name to the size of one step, as `step_sizes` gives it. What has none stays float.
    """

    def __init__(self, network: nn.Module, scales: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self.scales = dict(scales)
        for name, scale in scales.items():
            owner, _, leaf = name.rpartition(".")
            steps = (network.get_parameter(name).detach() / scale).round().to(torch.int8)
            setattr(network.get_submodule(owner), leaf, nn.Parameter(steps, requires_grad=False))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel [batch, 1, mels, frames] -> logits [batch, classes]."""
        weights = {
            name: self.network.get_parameter(name) * scale.to(log_mel) for name, scale in self.scales.items()
        }
        return functional_call(self.network, weights, (log_mel,))

    def get_extra_state(self) -> dict[str, Tensor]:
        """The scales, without which the integers in a state_dict mean nothing."""
        return self.scales

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take them from a state_dict."""
        self.scales = state


def step_sizes(parameter: Tensor) -> Tensor:
    """Symmetric INT8 steps, one for each output channel of a weight, one for a vector."""
    axes = tuple(range(1, parameter.dim())) or (0,)
    return (parameter.detach().abs().amax(axes, keepdim=True) / 127).clamp_min(1e-12)


def save_twin(path: Path, student: str, arguments: Mapping[str, object], twin: Twin) -> None:
    """Write what `load_twin` reads."""
    torch.save({"student": student, "arguments": dict(arguments), "state_dict": twin.state_dict()}, path)


def load_twin(path: Path) -> Twin:
    """Read a twin; nothing in the file is run."""
    values = torch.load(path, map_location="cpu", weights_only=True)
    state = values["state_dict"]
    twin = Twin(STUDENTS[values["student"]](**values["arguments"]), state[_EXTRA_STATE])
    twin.load_state_dict(state)
    return twin.eval()


class Submission(nn.Module):
    """The models of all devices; see `load_model`.

    Args:
        folder: ``general.onnx`` and ``general.pt`` (its twin), and the same of devices with models of
            their own.

    Attributes:
        model: the twins by device; the organisers save its ``state_dict``.
        onnx: the models that answer, by device.
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
        self.model = nn.ModuleDict({device: load_twin(folder / f"{device}.pt") for device in self.onnx})
        self.labels = list(self.onnx[GENERAL].labels)
        self._framers: dict[tuple[str, int], Framer] = {}

    def answering(self, device_id: str) -> str:
        """The device whose model answers for a device."""
        return device_id if device_id in self.onnx else GENERAL

    def log_mel(self, path: str, device_id: str) -> Tensor:
        """The windows of a file: [windows, 1, n_mels, frames]; a clip of one second is one window.

        Windows without signal are left out, unless there are no others: then one of silence stands for all.
        """
        device = self.answering(device_id)
        spec, file = self.onnx[device].spec, AudioFile(path)
        key = device, file.sample_rate
        if key not in self._framers:  # its filter bank takes longer to make than a clip to hear
            self._framers[key] = Framer(spec, spec.clip_s, file.sample_rate)
        framer, heard = self._framers[key], []
        framer.reset()  # of a file that broke off
        for block in file.blocks():
            heard += [window.log_mel.copy() for window in framer.push(block) if window.log_mel is not None]
        heard += [window.log_mel.copy() for window in framer.finish() if window.log_mel is not None]
        if not heard:
            heard = [LogMel(spec.frontend)(np.zeros(spec.clip_samples, np.float32))]
        return torch.from_numpy(np.stack(heard)).unsqueeze(1)

    def logits(self, log_mel: Tensor, device_id: str) -> Tensor:
        """Log-probabilities [classes] of a clip: of the mean over its windows, at the file's temperature."""
        onnx = self.onnx[self.answering(device_id)]
        # one window at a time, as the runtime does: another batch size may round otherwise
        answers = [onnx.session.logits(window[None].cpu().numpy())[0] for window in log_mel]
        scores = np.mean([list(to_scores(answer, onnx.spec).values()) for answer in answers], axis=0)
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
    """The twin of the model that answers for a device: what the organisers count."""
    return model.model[model.answering(device_id)]


def predict(
    file_paths: Sequence[str], device_ids: Sequence[str], model: Submission
) -> tuple[list[Tensor], list[str]]:
    """Answer for every file; one is in memory at a time.

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
