"""model.pt files in, an installable inference package for DCASE 2025 Task 1 out."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np
import soundfile

from complexity import Budget, Report
from complexity.measurement import measure_onnx
from export.pipeline import default_method, pack
from export.submission.inference import GENERAL, Twin, save_twin, step_sizes
from export.submission.vendor import vendor
from runtime.errors import ConfigError, TinysceneError
from runtime.model.session import Session
from runtime.spec import ModelSpec
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.quantization.quantizer import Scheme
from train.students import STUDENTS

DEVICES = ("a", "b", "c", *(f"s{number}" for number in range(1, 11)))  # those of the organisers' counter
RULES = "dcase2025"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)+_task1")
_PACKAGE = re.compile(r"[\w.-]*\w")  # what a requirement begins with
_INDICES = range(1, 5)  # a team may hand in four
_OTHERS = ("tqdm", "pandas", "scikit-learn")  # of the package, and of the organisers' two scripts


@dataclass(frozen=True)
class Built:
    """What became of a submission.

    Attributes:
        reports: complexity by device, ``general`` among them.
        refusal: why nothing was written, one sentence; empty where the package was.
    """

    reports: dict[str, Report]
    refusal: str = ""


def build(
    models: Mapping[str, Path], output: Path, *, name: str, index: int = 1, allow_over_budget: bool = False
) -> Built:
    """Export models and put them into a package; ``output`` appears only where all of it is well.

    Args:
        models: model.pt by device; ``general`` answers for devices without one of their own.
        output: folder to write. One that holds submissions of the same team gets one more.
        name: the submission label without its index, such as ``Lastname_Institute_task1``.
        index: 1 to 4.
        allow_over_budget: write it although a model is over the limits of DCASE 2025.

    Raises:
        ConfigError: where the label, a device or the folder makes no sense, or the models do not answer
            the same question.
        ModelFileError: where a model cannot be read or exported.
    """
    _check(models, name, index)
    output = output.resolve()
    _check_place(output, name)
    checkpoints = {device: model_pt.load(path) for device, path in models.items()}
    _check_agreement(models, checkpoints)
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory() as staging:
        for device, model in checkpoints.items():
            path = Path(staging) / f"{device}.onnx"
            if not pack(model, path, method=default_method(model)).verification.passed:
                command = f"python -m export onnx {models[device]}"
                return Built(reports, f"{models[device]} could not be verified: `{command}` shows why.")
            reports[device] = measure_onnx(path, budget=Budget.named(RULES))
            if not (reports[device].within or allow_over_budget):
                remedy = "make it smaller, or write the package all the same with --allow-over-budget"
                return Built(reports, f"{models[device]}: {reports[device].excess()[:-1]}; {remedy}.")
            twin = count_as(model, Session(path).spec)
            save_twin(path.with_suffix(".pt"), model.student, model.arguments, twin)
        with _folder_beside(output) as folder:
            _write_package(folder, name, index, reports)
            shutil.copytree(staging, folder / name / "ckpts" / f"{name}_{index}")
    return Built(reports)


def read_models(arguments: Sequence[str]) -> dict[str, Path]:
    """Read ``[DEVICE=]MODEL.PT``; the one without a device is ``general``.

    Raises:
        ConfigError: where a device is given twice.
    """
    models: dict[str, Path] = {}
    for argument in arguments:
        device, equals, path = argument.partition("=")
        device, path = (device, path) if equals and device.isalnum() else (GENERAL, argument)
        if device in models:
            raise ConfigError(f"Two models are given for {device}: give one.")
        models[device] = Path(path)
    return models


def count_as(model: Checkpoint, spec: ModelSpec) -> Twin:
    """The network of a checkpoint with its parameters in the data types of the exported file."""
    network = model.build()
    if spec.quantization["scheme"] == "float32":
        return Twin(network, {})
    scheme = Scheme(keep_float=tuple(spec.quantization["keep_float"]))
    stored = {
        name: step_sizes(parameter)
        for name, parameter in network.named_parameters()
        if parameter.dim() < 2 or not scheme.keeps(name.rpartition(".")[0])  # the rule knows no float biases
    }
    return Twin(network, stored)


def _check(models: Mapping[str, Path], name: str, index: int) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is no submission label: give --name Lastname_Institute_task1, in letters and digits."
        )
    if index not in _INDICES:
        raise ConfigError(f"There is no submission {index}: a team has four, --index 1 to 4.")
    strange = [device for device in models if device not in (GENERAL, *DEVICES)]
    if strange:
        raise ConfigError(
            f"The challenge has no device '{strange[0]}': its devices are {', '.join(DEVICES)}."
        )
    if GENERAL not in models:
        raise ConfigError(
            "No model answers for unknown devices: give one model.pt without a device in front of it."
        )


def _check_agreement(models: Mapping[str, Path], checkpoints: Mapping[str, Checkpoint]) -> None:
    general = checkpoints[GENERAL]
    for device, model in checkpoints.items():
        if model.student not in STUDENTS:
            raise ConfigError(
                f"{models[device]} is a {model.student}, which is a teacher: give a student "
                f"({', '.join(STUDENTS)})."
            )
        if model.task != "single_label":
            raise ConfigError(
                f"{models[device]} gives several labels to a clip and the challenge asks for one: train it "
                "as single_label."
            )
        if model.labels != general.labels:
            raise ConfigError(
                f"{models[device]} and {models[GENERAL]} do not have the same labels in the same order: "
                "train them on the same corpus."
            )


def _check_place(target: Path, name: str) -> None:
    if (target / name / "__init__.py").is_file() or not target.exists():
        return
    if not target.is_dir() or any(target.iterdir()):
        raise ConfigError(f"{target} is there already and holds no package {name}: name another folder.")


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """Yield a copy of a folder, or a new one; put it into the folder's place if the body succeeds."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise TinysceneError(f"Cannot write {target}: {error.strerror}; name another place.") from error
    try:
        new = partial / "new"
        if target.exists():
            shutil.copytree(target, new)
        else:
            new.mkdir()
        yield new
        if target.exists():
            target.rename(partial / "old")
        new.rename(target)
    finally:
        shutil.rmtree(partial)


def _write_package(folder: Path, name: str, index: int, reports: Mapping[str, Report]) -> None:
    """All but the models; what an earlier submission with this index left is removed."""
    package, submission = folder / name, f"{name}_{index}"
    for old in (package / "tinyscene", package / "ckpts" / submission, folder / "predictions" / submission):
        shutil.rmtree(old, ignore_errors=True)
    vendored = f"{name}.tinyscene"
    imported = vendor(("export.submission.inference", "runtime.entry_point"), package / "tinyscene", vendored)
    requirements = [*_as_here(imported | {"torchinfo"}), *_OTHERS]
    files = {
        folder / "pyproject.toml": _PYPROJECT.format(name=name, requirements=json.dumps(requirements)),
        folder / "README.md": _README.format(name=name, submission=submission, version=version("tinyscene")),
        package
        / "__init__.py": f'"""Submissions of {name.removesuffix("_task1")} to DCASE 2025 Task 1."""\n',
        package / "resources" / "__init__.py": "",
        package / f"{submission}.py": _MODULE.format(name=name, submission=submission),
        folder / "predictions" / submission / "complexity.json": complexity_json(reports),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    # the organisers' counter makes the input of every device from this file
    noise = np.random.default_rng(0).normal(scale=0.01, size=44_100)
    soundfile.write(package / "resources" / "dummy.wav", noise, 44_100, subtype="PCM_16")


def _as_here(imported: set[str]) -> list[str]:
    """Those of our own requirements that these modules come from: what the models were verified with."""
    try:
        required = requires("tinyscene") or []
    except PackageNotFoundError as error:
        raise TinysceneError(
            "What the package requires is read from the installed tinyscene: run `pip install .` first."
        ) from error
    versions = [text.partition(";")[0] for text in required]
    return [text for text in versions if _PACKAGE.match(text)[0] in imported]  # type: ignore[index]


def complexity_json(reports: Mapping[str, Report]) -> str:
    """What the organisers' counter writes of the same package: MACs, and bytes of parameters, by device."""
    per_device = {}
    for device in DEVICES:
        report = reports.get(device, reports[GENERAL])
        per_device[device] = {"MACs": report.macs, "Params": report.param_bytes}
    values = {
        "per_device": per_device,
        "max_MACs": max(row["MACs"] for row in per_device.values()),
        "max_Params": max(row["Params"] for row in per_device.values()),
    }
    return json.dumps(values, indent=2) + "\n"


_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.0.0"
description = "Submission to DCASE 2025 Task 1: low-complexity acoustic scene classification"
readme = "README.md"
requires-python = ">=3.10"
dependencies = {requirements}

[tool.setuptools.packages.find]
include = ["{name}*"]

[tool.setuptools.package-data]
"{name}" = ["ckpts/*/*", "resources/*.wav"]
"""

_MODULE = '''\
"""{submission}: the functions that the evaluation of DCASE 2025 Task 1 calls.

The models are INT8 ONNX files. `load_model` and `get_model_for_device` give torch modules that hold the same
networks with INT8 parameters, for the organisers to count; {name}/tinyscene/export/submission/inference.py
says more.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor

from {name}.tinyscene.export.submission import inference
from {name}.tinyscene.export.submission.inference import get_model_for_device, load_inputs
from {name}.tinyscene.runtime.door import run

__all__ = ["get_model_for_device", "load_inputs", "load_model", "predict"]


def load_model(model_file_path: str | None = None) -> inference.Submission:
    """Load the models of a folder with general.onnx and general.pt; those of this package where None."""
    return inference.load_model(model_file_path or Path(__file__).parent / "ckpts" / "{submission}")


def predict(
    file_paths: list[str],
    device_ids: list[str],
    model_file_path: str | None = None,
    use_cuda: bool = False,
) -> tuple[list[Tensor], list[str]]:
    """Logits [n_classes] of each file, in order, and the class names in the order of the logits.

    INT8 runs on the CPU, whatever ``use_cuda`` says.
    """
    return inference.predict(file_paths, device_ids, load_model(model_file_path))


if __name__ == "__main__":
    run(lambda arguments: inference.main(arguments, "{submission}", predict))
'''

_README = """\
# {name}: submission to DCASE 2025 Task 1

Low-complexity acoustic scene classification with device information, in INT8. Written by tinyscene {version},
whose runtime lies in `{name}/tinyscene` (Apache-2.0, http://www.apache.org/licenses/LICENSE-2.0).

```sh
pip install .
python -m {name}.{submission} /path/to/TAU-2025-evaluation-set
```

The command writes `predictions/{submission}/output.csv`; `complexity.json` beside it is the report of the
models as exported. The organisers' `test_complexity.py` and `evaluate_submission.py` run on the package as
well (`--submission_name {name} --submission_index` and the last digit of `{submission}`).

`{name}/ckpts` holds, for each submission, `general.onnx` and the models of single devices. A device without a
model of its own is answered by the general one. What each was trained on stands inside the file:
`onnx.load(path).metadata_props`.
"""
