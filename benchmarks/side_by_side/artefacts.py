"""The same weights in the form that each contestant takes.

Without a model.pt a full-size CP-Mobile is trained for 100 steps on synthetic scenes: its accuracy is that of
a minute of training, its time is that of any weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import complexity
import export
import runtime
from benchmarks.side_by_side import convert, converter_graphs
from benchmarks.side_by_side.environments import Environments, report_duration
from benchmarks.side_by_side.ways import product_files
from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS, Environment, Made
from benchmarks.side_by_side.ways.front_end_file import write_front_end
from benchmarks.side_by_side.ways.product_files import write_ced, write_yamnet
from runtime.audio.samples import as_float
from runtime.errors import TinysceneError
from train.checkpoints import model_pt
from train.data import Synthetic

WINDOWS = 32  # that parity is checked on
STEPS, SEED = 100, 0
_TRAINING = (
    "fit", "--model.student=cp_mobile", "--model.frontend=cp_mel", "--model.lr=3.0e-3",
    "--data.corpus=train.data.Synthetic", "--data.corpus.train_clips=640", "--data.corpus.val_clips=100",
    "--data.corpus.test_clips=50", "--data.batch_size=32", f"--trainer.max_steps={STEPS}",
    "--trainer.max_epochs=100", "--trainer.accelerator=cpu", f"--seed_everything={SEED}",
)  # fmt: skip


@dataclass(frozen=True)
class Artefacts:
    """Files of one network.

    Attributes:
        folder: that they are in.
        network: the network in words and numbers, for the results.
        missing: file to the reason why it could not be made.
    """

    folder: Path
    network: dict[str, Any]
    missing: dict[str, str]


@dataclass(frozen=True)
class _Conversion:
    """How a file is made that is not ours, and the environment that this takes."""

    environment: Made
    convert: Callable[[Environments, Path, Path], None]  # environments, model.pt, folder


_CONVERSIONS = {
    "fp32.ncnn.param": _Conversion("peers", lambda made, model, folder: _to_ncnn(made, folder)),
    "fp32.tflite": _Conversion("onnx2tf", lambda made, model, folder: _to_tflite(made, folder)),
    "torch_int8.pt2": _Conversion("project", lambda *where: _convert("torch_int8", *where)),
    "fp32.pte": _Conversion("executorch", lambda *where: _convert("executorch", *where)),
    "yamnet.tflite": _Conversion("onnx2tf", lambda made, model, folder: _yamnet(made, folder)),
    "ced/model.onnx": _Conversion("project", lambda made, model, folder: write_ced(folder / "ced")),
}


def make(environments: Environments, names: Iterable[str], model: Path | None = None) -> Artefacts:
    """Make the files of contestants that are not there yet.

    The environments that these contestants and the conversions need are made meanwhile.

    Args:
        environments: whose converters are used, and whose cache the files are in.
        names: of contestants.
        model: the model.pt; a quickly trained one where None.

    Raises:
        TinysceneError: where a file of this project cannot be made.
    """
    entries = [(ENTRIES | PRODUCTS)[name] for name in names]
    conversions = {entry.file: _CONVERSIONS[entry.file] for entry in entries if entry.file in _CONVERSIONS}
    needed = [conversion.environment for conversion in conversions.values()]
    environments.make_ahead([*needed, *(entry.environment for entry in entries)])
    path = model or _trained(environments)
    checkpoint = model_pt.load(path)
    folder = environments.cache / "artefacts" / _key(path)
    folder.mkdir(parents=True, exist_ok=True)
    with report_duration("our files"):
        _write_ours(checkpoint, path, folder)
    with report_duration("files of the others"):
        missing = _converted(environments, path, folder, conversions)
    return Artefacts(folder, _describe(checkpoint, model), missing)


def _describe(checkpoint: model_pt.Checkpoint, model: Path | None) -> dict[str, Any]:
    trained = f"{STEPS} steps on synthetic scenes, seed {SEED}"
    report = complexity.measure(checkpoint.build(), checkpoint.input_shape)
    return {
        "student": checkpoint.student,
        "arguments": checkpoint.arguments,
        "parameters": report.params,
        "macs": report.macs_deployed,
        "input_shape": checkpoint.input_shape,
        "weights": trained if model is None else model.name,
    }


def _trained(environments: Environments) -> Path:
    folder = environments.cache / "weights"
    if not (folder / "model.pt").is_file():
        command = [sys.executable, "-m", "train", *_TRAINING, f"--trainer.default_root_dir={folder}"]
        with report_duration("training"):
            _run(command, environments)
    return folder / "model.pt"


def _key(model: Path) -> str:
    """Changes with the weights and with the code that makes files of them."""
    digest = hashlib.sha256(model.read_bytes())
    conversions = [Path(str(module.__file__)) for module in (convert, converter_graphs, product_files)]
    for package in (export, runtime):
        conversions += sorted(Path(str(package.__file__)).parent.rglob("*"))
    for path in conversions:
        if path.suffix in (".py", ".c", ".h") or path.name == "Makefile":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _write_ours(checkpoint: model_pt.Checkpoint, model: Path, folder: Path) -> None:
    from export.c.library import write_library
    from export.pipeline import default_method, export_model

    if checkpoint.student != "cp_mobile":
        raise TinysceneError(f"The model is a {checkpoint.student}: the other ways are built for cp_mobile.")
    write_front_end(checkpoint.frontend, folder)
    values = {"arguments": checkpoint.arguments, "state_dict": checkpoint.state_dict}
    torch.save(values, folder / "weights.pt")
    np.save(folder / "waveforms.npy", _waveforms(checkpoint.frontend.sample_rate))
    for name in ("fp32", "int8"):
        file = folder / f"{name}.onnx"
        if not file.is_file():
            method = "none" if name == "fp32" else default_method(checkpoint)
            verification = export_model(checkpoint, file, method=method, tolerance=1.0).verification
            if not verification.passed:
                raise TinysceneError(f"{model} cannot be exported:\n{verification.summary()}")
    if not (folder / "libmodel.so").is_file():
        write_library(folder / "int8.onnx", folder / "c")
        _run(["make", "-C", folder / "c", "libmodel.so"])
        shutil.copyfile(folder / "c" / "libmodel.so", folder / "libmodel.so")


def _waveforms(rate: int) -> np.ndarray:
    """Test clips of the synthetic scenes, float32 [windows, samples]."""
    corpus = Synthetic(test_clips=WINDOWS)
    clips = [corpus.read(clip, rate) for clip in corpus.clips("test")]
    return np.stack([as_float(clip)[:rate] for clip in clips])


def _converted(
    environments: Environments, model: Path, folder: Path, conversions: dict[str, _Conversion]
) -> dict[str, str]:
    """Run what has not been run; returns why files are missing.

    A conversion that failed is not tried again, but one whose environment could not be made is.
    """
    path = folder / "missing.json"
    failed: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    unmade: dict[str, str] = {}
    for name, conversion in tqdm(conversions.items(), desc="converting", disable=None):
        if name in failed or (folder / name).is_file():
            continue
        try:
            environments.made(conversion.environment)
        except TinysceneError as error:
            unmade[name] = str(error)
            continue
        try:
            conversion.convert(environments, model, folder)
        except TinysceneError as error:
            failed[name] = str(error)
    path.write_text(json.dumps(failed, indent=1))
    return {name: reason for name, reason in (failed | unmade).items() if name in conversions}


def _to_ncnn(environments: Environments, folder: Path) -> None:
    converter_graphs.for_pnnx(folder / "fp32.onnx", folder / "pnnx.onnx")
    _run([environments.pnnx(), folder / "pnnx.onnx", "fp16=0", f"ncnnbin={folder / 'fp32.ncnn.bin'}",
          f"ncnnparam={folder / 'fp32.ncnn.param'}"])  # fmt: skip
    if not (folder / "fp32.ncnn.param").is_file():
        raise TinysceneError("pnnx wrote no file.")


def _to_tflite(environments: Environments, folder: Path) -> None:
    converter_graphs.for_onnx2tf(folder / "fp32.onnx", folder / "onnx2tf.onnx")
    _onnx2tf(environments, folder / "onnx2tf.onnx", folder / "fp32.tflite")


def _yamnet(environments: Environments, folder: Path) -> None:
    write_yamnet(folder / "yamnet.onnx")
    _onnx2tf(environments, folder / "yamnet.onnx", folder / "yamnet.tflite")


def _onnx2tf(environments: Environments, source: Path, target: Path) -> None:
    output = target.with_suffix(".onnx2tf")
    _run([environments.onnx2tf(), "-i", source, "-o", output, "-b", "1", "-n"])
    (file,) = output.glob("*_float32.tflite")
    shutil.copyfile(file, target)


def _convert(name: str, environments: Environments, model: Path, folder: Path) -> None:
    environment: Environment = "executorch" if name == "executorch" else "project"
    command = [environments.made(environment), "-m", "benchmarks.side_by_side.convert", name, model, folder]
    done = subprocess.run(
        list(map(str, command)), env=environments.variables(environment), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise TinysceneError((done.stderr.strip().splitlines() or ["it failed without a message"])[-1][:300])


def _run(command: list[Any], environments: Environments | None = None) -> None:
    variables = environments.variables("project") if environments else None
    done = subprocess.run(list(map(str, command)), env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()] or [""]
        raise TinysceneError(f"{Path(str(command[0])).name} failed: {lines[-1][:300]}")
