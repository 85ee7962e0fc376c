"""Builds an installable inference package for DCASE 2025 Task 1 from model.pt files."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from complexity import Budget, Report
from complexity.measurement import measure_onnx
from export.pipeline import Method, default_method, export_model
from export.submission.counted_network import CountedNetwork, save_counted, step_sizes
from export.submission.development_split import find_development_split
from export.submission.inference import GENERAL
from export.submission.package_files import DEVICES, write_files
from runtime.errors import ConfigError, TinysceneError
from runtime.model.session import Session
from runtime.spec import ModelSpec
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.data.datasets.tau2022 import SCENES
from train.quantization.quality import TOLERANCE
from train.quantization.quantizer import Scheme
from train.students import STUDENTS

RULES = "dcase2025"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)+_task1")
_INDICES = range(1, 5)  # a team may hand in four


@dataclass(frozen=True)
class Built:
    """The result of a build.

    Attributes:
        reports: complexity by device, ``general`` among them.
        refusal: why nothing was written, one sentence; empty where the package was written.
        notes: what the user should know about the package, a sentence each.
    """

    reports: dict[str, Report]
    refusal: str = ""
    notes: tuple[str, ...] = ()


def build(
    models: Mapping[str, Path],
    output: Path,
    *,
    name: str,
    index: int = 1,
    method: Method | None = None,
    tolerance: float = TOLERANCE,
    test_split: Path | None = None,
    any_labels: bool = False,
    allow_over_budget: bool = False,
) -> Built:
    """Export models and put them into a package; ``output`` is written only where every step succeeds.

    Args:
        models: model.pt by device; ``general`` is for devices without one of their own.
        output: folder to write. One that holds submissions of the same team gets one more.
        name: the submission label without its index, such as ``Lastname_Institute_task1``.
        index: 1 to 4.
        method: as of `export.pipeline.export_model`; what each model.pt has where None.
        tolerance: greatest loss of accuracy that passes, 0 to 1, see `export.pipeline.export_model`.
        test_split: table of the development set's test clips; see `find_development_split`.
        any_labels: write it although the labels are not the ten scenes of TAU.
        allow_over_budget: write it although a model is over the limits of DCASE 2025.

    Raises:
        ConfigError: where the label, a device, the labels or the folder do not fit the challenge.
        ModelFileError: where a model cannot be read or exported.
    """
    _check_arguments(models, name, index)
    output = output.resolve()
    _check_folder(output, name)
    checkpoints = {device: model_pt.load(path) for device, path in models.items()}
    _check_models(models, checkpoints)
    if not any_labels:
        _check_scenes(models[GENERAL], checkpoints[GENERAL])
    split = find_development_split(test_split, checkpoints.values())
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory() as staging:
        for device, checkpoint in checkpoints.items():
            target = Path(staging) / f"{device}.onnx"
            chosen = method or default_method(checkpoint)
            if not export_model(checkpoint, target, method=chosen, tolerance=tolerance).verification.passed:
                return Built(reports, _why_not_verified(models[device], chosen, tolerance))
            report, refusal = _add_network(checkpoint, models[device], target, allow_over_budget)
            reports[device] = report
            if refusal:
                return Built(reports, refusal)
        with _folder_beside(output) as folder:
            write_files(folder, name, index, reports, split)
            shutil.copytree(staging, folder / name / "ckpts" / f"{name}_{index}")
    note = (
        f"resources/test.csv lists {split.source}: give the list with --test-split "
        "TAU/evaluation_setup/fold1_evaluate.csv to score the official one."
    )
    return Built(reports, notes=() if split.official else (note,))


def _why_not_verified(source: Path, method: Method, tolerance: float) -> str:
    command = f"python -m export onnx {source} --quantize {method} --tolerance {tolerance:g}"
    return f"{source} did not pass verification: `{command}` shows why, and which --tolerance accepts it."


def _add_network(
    checkpoint: Checkpoint, source: Path, target: Path, allow_over_budget: bool
) -> tuple[Report, str]:
    """Write the counted network beside a file; returns its complexity, and why it is refused, or ""."""
    report = measure_onnx(target, budget=Budget.named(RULES))
    if not (report.within or allow_over_budget):
        remedy = "make it smaller, or write the package all the same with --allow-over-budget"
        return report, f"{source}: {report.excess()[:-1]}; {remedy}."
    counted = count_as(checkpoint, Session(target).spec)
    save_counted(target.with_suffix(".pt"), checkpoint.student, checkpoint.arguments, counted)
    return report, ""


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


def count_as(checkpoint: Checkpoint, spec: ModelSpec) -> CountedNetwork:
    """The network of a checkpoint with its parameters in the data types of the exported file."""
    network = checkpoint.build()
    parameters = dict(network.named_parameters())
    if spec.quantization["scheme"] == "float32":
        return CountedNetwork(network, {})
    if spec.quantization["scheme"] == "fp16":
        return CountedNetwork(network, {}, half=parameters)
    scheme = Scheme(keep_float=tuple(spec.quantization["keep_float"]))
    scales = {
        name: step_sizes(parameter)
        for name, parameter in parameters.items()
        if parameter.dim() < 2 or not scheme.keeps(name.rpartition(".")[0])  # the rule has no float biases
    }
    return CountedNetwork(network, scales)


def _check_arguments(models: Mapping[str, Path], name: str, index: int) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is no submission label: give --name Lastname_Institute_task1, in letters and digits."
        )
    if index not in _INDICES:
        raise ConfigError(f"There is no submission {index}: a team has four, --index 1 to 4.")
    unknown = [device for device in models if device not in (GENERAL, *DEVICES)]
    if unknown:
        raise ConfigError(
            f"The challenge has no device '{unknown[0]}': its devices are {', '.join(DEVICES)}."
        )
    if GENERAL not in models:
        raise ConfigError(
            "There is no model for unknown devices: give one model.pt without a device in front of it."
        )


def _check_models(models: Mapping[str, Path], checkpoints: Mapping[str, Checkpoint]) -> None:
    general = checkpoints[GENERAL]
    for device, checkpoint in checkpoints.items():
        if checkpoint.student not in STUDENTS:
            raise ConfigError(
                f"{models[device]} is a {checkpoint.student}, which is a teacher: give a student "
                f"({', '.join(STUDENTS)})."
            )
        if checkpoint.task != "single_label":
            raise ConfigError(
                f"{models[device]} gives several labels to a clip and the challenge asks for one: train it "
                "as single_label."
            )
        if checkpoint.labels != general.labels:
            raise ConfigError(
                f"{models[device]} and {models[GENERAL]} do not have the same labels in the same order: "
                "train them on the same corpus."
            )


def _check_scenes(path: Path, checkpoint: Checkpoint) -> None:
    """The organisers look up the labels of TAU in the class names of the package."""
    if set(checkpoint.labels) == set(SCENES):
        return
    unknown = [label for label in checkpoint.labels if label not in SCENES]
    fault = f"the label '{unknown[0]}'" if unknown else f"{len(checkpoint.labels)} of the labels only"
    raise ConfigError(
        f"{path} has {fault}, and the challenge asks for the ten scenes of TAU ({', '.join(SCENES)}): give a "
        "model of these, or write the package all the same with --any-labels."
    )


def _check_folder(target: Path, name: str) -> None:
    if (target / name / "__init__.py").is_file() or not target.exists():
        return
    if not target.is_dir() or any(target.iterdir()):
        raise ConfigError(f"{target} exists and holds no package {name}: name another folder.")


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """Yield a copy of a folder, or a new one; rename it into place if the body succeeds."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise TinysceneError(f"Cannot write {target}: {error.strerror}; name another place.") from error
    new, old = partial / "new", partial / "old"
    try:
        if target.exists():
            shutil.copytree(target, new)
        else:
            new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        if old.exists() and not target.exists():  # stopped between the two: the package of before returns
            old.rename(target)
        shutil.rmtree(partial)
