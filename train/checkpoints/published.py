"""``python -m train import``: published weights become a model.pt, or one for each device.

The student and its arguments follow from the keys and shapes; prefixes such as ``model.`` or ``module.`` are
removed, and buffers of a front end are left out. Of a file with pickled objects only the tensors are read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from runtime import entry_point
from runtime.errors import ConfigError, ModelFileError
from runtime.files import refuse_to_replace
from runtime.spec import PRESETS, FrontEndSpec, Task
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.detect_student import Detected, detect, first_keys, front_end_of
from train.checkpoints.model_pt import Checkpoint
from train.checkpoints.state_dict import Weights, find_weights
from train.checkpoints.torch_file import TensorFile, read_tensors
from train.labels import NAMED, choose_labels

_AUDIOSET = 527  # classes


def main(arguments: list[str]) -> int:
    """Read, check and write; returns an exit code."""
    options = _parser().parse_args(arguments)
    given = _json(options.arguments)
    for path, checkpoint in import_weights(
        Path(options.weights), Path(options.output), options.labels,
        student=options.student, arguments=given, frontend=options.frontend, prefix=options.prefix,
        licence=options.licence, task=options.task, clip_s=options.clip_s,
    ):  # fmt: skip
        model_pt.save(checkpoint, path)
        count = len(checkpoint.labels)
        print(f"wrote {path}: {checkpoint.student}, {count} labels, {_front_end_name(checkpoint)}")
    return entry_point.EXIT_OK


def import_weights(
    path: Path,
    output: Path,
    labels: tuple[str, ...] | str | None,
    *,
    student: str | None = None,
    arguments: dict[str, Any] | None = None,
    frontend: str | None = None,
    prefix: str | None = None,
    licence: str = "unknown",
    task: Task | None = None,
    clip_s: float | None = None,
) -> list[tuple[Path, Checkpoint]]:
    """Read published weights; what was left out or assumed is printed to stderr.

    Args:
        path: a file of ``torch.save``: a state_dict, or a checkpoint that holds one.
        output: the model.pt to write; in a device-specific layout the device is appended to its name.
        labels: in the order of the outputs; a string as on the command line; None takes those in the file.
        student: a name in `train.networks.NETWORKS`; None follows from the keys.
        arguments: of the student; those left out follow from the shapes.
        frontend: a preset; None is the front end of the student's published weights.
        prefix: of the network's keys; None finds it.
        licence: of the weights.
        task: None is ``multi_label`` for the 527 outputs of AudioSet, else ``single_label``.
        clip_s: window length, seconds; None is 10 for AudioSet and 1 for anything else.

    Returns:
        Where to write each checkpoint; one of several for DCASE 2025's device-specific layout.

    Raises:
        ModelFileError: where the weights fit no student; the message names keys and shapes.
        ConfigError: where a file to write is ``path``.
    """
    content = read_tensors(path)
    _refuse_own_file(path, content.values)
    if not isinstance(labels, tuple):
        labels = choose_labels(labels, _table(content.values, "label_dict"))
    keys = first_keys(student)
    results = []
    for weights in find_weights(str(path), content.values, list(keys.values()), prefix):
        found = detect(
            str(path), weights, _candidates(weights, keys), arguments or {}, len(labels),
            _table(content.values, "cfg"),
        )  # fmt: skip
        _check_labels(path, found, labels)
        _report(path, content, weights, found)
        audioset = len(labels) == _AUDIOSET
        provenance = {"imported": True, "licence": licence, "file": path.name}
        checkpoint = Checkpoint(
            student=found.student,
            arguments=found.arguments,
            frontend=FrontEndSpec.preset(frontend or front_end_of(found.student, found.arguments)),
            labels=labels,
            state_dict=found.state_dict,
            task=task or ("multi_label" if audioset else "single_label"),
            clip_s=clip_s or (10.0 if audioset else 1.0),
            provenance=provenance | ({"device": weights.device} if weights.device else {}),
        )
        results.append((_place(path, output, weights.device), checkpoint))
    return results


def _place(path: Path, output: Path, device: str) -> Path:
    """Where to write the weights of a device; ConfigError where that is the file that they are read from."""
    place = output.with_stem(f"{output.stem}_{device}") if device else output
    refuse_to_replace([path], place)
    return place


def _candidates(weights: Weights, keys: dict[str, str]) -> list[str]:
    """The students whose first key is among the weights."""
    return [name for name, key in keys.items() if key in weights.tensors]


def _table(values: Any, name: str) -> Mapping[Any, Any] | None:
    """A table of Microsoft's BEATs files: ``cfg`` describes the network, ``label_dict`` lists its labels."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _refuse_own_file(path: Path, values: Any) -> None:
    if model_pt.is_model(values):
        raise ModelFileError(
            f"{path} is a model.pt of this toolkit: there is nothing to import, use it as it is."
        )


def _check_labels(path: Path, found: Detected, labels: tuple[str, ...]) -> None:
    outputs = found.arguments["n_classes"]
    if outputs != len(labels):
        raise ModelFileError(
            f"{path} has {outputs} outputs and --labels names {len(labels)}: name {outputs} labels in the "
            "order of the outputs."
        )


def _report(path: Path, content: TensorFile, weights: Weights, found: Detected) -> None:
    """Print what was left out, converted and assumed."""
    place = f"'{weights.table}'" if weights.table else "the file itself"
    shown = {name: value for name, value in found.arguments.items() if name != "n_classes"}
    device = f" for device {weights.device}" if weights.device else ""
    notes = [f"{found.student}{device} with {json.dumps(shown)}, from {place}, prefix '{weights.prefix}'"]
    if published_by := getattr(networks.NETWORKS[found.student], "published_by", None):
        notes.append(f"keys and shapes are those of {published_by}")
    if found.unused:
        notes.append(f"left out weights that the network never applies: {_first(found.unused)}")
    if found.initialised:
        notes.append(f"it has no head, so {_first(found.initialised)} are initialised at random")
    if weights.front_end:
        notes.append(f"left out buffers of a front end: {_first(weights.front_end)}")
    if weights.others:
        notes.append(f"left out tensors beside the prefix: {_first(weights.others)}")
    if content.unread:
        notes.append(f"left unread pickled objects: {_first(content.unread)}")
    if found.converted:
        notes.append(f"converted {', '.join(found.converted)} to float32")
    assumed = set(getattr(networks.NETWORKS[found.student], "not_in_weights", ()))
    assumed -= set(found.arguments)
    if assumed:
        notes.append(
            f"assumed the default {', '.join(sorted(assumed))}, which weights do not show (--arguments)"
        )
    for note in notes:
        print(f"{path.name}: {note}", file=sys.stderr)


def _first(names: tuple[str, ...], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _front_end_name(checkpoint: Checkpoint) -> str:
    return f"front end {next(name for name, spec in PRESETS.items() if spec == checkpoint.frontend)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{entry_point.program('train')} import", description=__doc__)
    parser.add_argument("weights", help="file of torch.save: a state_dict, or a checkpoint that holds one")
    parser.add_argument(
        "--labels",
        help=f"names in the order of the outputs: 'airport,bus,...', one of {', '.join(NAMED)}, or a file "
        "(default: those in the file of weights, where it lists them)",
    )  # fmt: skip
    parser.add_argument("--student", choices=sorted(networks.NETWORKS), help="default: detected by the keys")
    parser.add_argument("--arguments", default="{}", help="of the student as JSON; default: from the shapes")
    parser.add_argument("--frontend", choices=sorted(PRESETS), help="default: that of the student")
    parser.add_argument("--prefix", help="of the network's keys, where the file holds several networks")
    parser.add_argument("--licence", default="unknown", help="of the weights; recorded in the model")
    parser.add_argument(
        "--task", choices=get_args(Task), help=f"default: multi_label for AudioSet's {_AUDIOSET} outputs"
    )
    parser.add_argument("--clip_s", type=seconds, help="window length, s; default: 10 for AudioSet, else 1")
    parser.add_argument(
        "-o", "--output", default="model.pt",
        help="of a device-specific checkpoint, the device is appended: model_base.pt, model_a.pt, ...",
    )  # fmt: skip
    return parser


def seconds(text: str) -> float:
    """The value of --clip_s. Raises ConfigError where it is no length."""
    value = float(text)
    model_pt.check_clip_s("--clip_s", value)
    return value


def _json(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"--arguments is not JSON ({error}): write e.g. '{{\"base_channels\": 32}}'."
        ) from error
    if not isinstance(values, dict):
        raise ConfigError("--arguments is a JSON object: write e.g. '{\"base_channels\": 32}'.")
    return values
