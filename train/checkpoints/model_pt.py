"""model.pt: a student with everything needed to build it again, readable with ``weights_only=True``.

The file is the zip that ``torch.save`` writes of plain dicts, lists, strings, numbers and tensors; no
class is ever pickled, so reading somebody else's file runs none of its code.
"""

from __future__ import annotations

import dataclasses
import filecmp
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from runtime.errors import ConfigError, ModelFileError
from runtime.files import write_beside
from runtime.spec import LONGEST_S, FrontEndSpec, Task
from train import networks
from train.checkpoints.fit_check import misfit
from train.checkpoints.packed_windows import pack_windows, unpack_windows
from train.checkpoints.torch_file import ForeignFileError, read_plain

SCHEMA = 1
_MAGIC = "tinyscene.model"
_IDS, _WINDOWS = ("calibration_ids", "verification_ids"), ("calibration", "verification")


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a model.pt.

    Attributes:
        student: a name in `train.networks.NETWORKS`.
        arguments: the student's keyword arguments, JSON values; ``n_classes`` is the number of labels.
        frontend: the front end it was trained with.
        labels: class names in the order of the logits.
        state_dict: the student's float weights and batch-norm statistics.
        task: ``single_label`` or ``multi_label``.
        clip_s: window length, seconds.
        temperature: fitted on validation data; logits are divided by it.
        thresholds: label to the probability from which it is reported, fitted there too; a label without
            one takes the runtime's default.
        provenance: recipe, data, split, seed, metrics, versions, licence of the data.
        calibration: log-mels of training windows, float16 [n, 1, n_mels, frames], stratified by class; INT8
            chooses the ranges of activations on them. Empty when n is 0. The file stores them in 8 bits.
        calibration_targets: the label index of each of them, int64 [n]; -1 where it has none.
        calibration_ids: clip id and first sample of each of them.
        verification: log-mels of windows of other clips, in the same form, which INT8 is judged on.
        verification_targets: the labels of each of them, uint8 [n, classes]; empty without labels.
        verification_ids: clip id and first sample of each of them.
        quantization: the result of QAT (scheme, phase, ranges, scales of weights), or an empty dict.
    """

    student: str
    arguments: dict[str, Any]
    frontend: FrontEndSpec
    labels: tuple[str, ...]
    state_dict: dict[str, Tensor]
    task: Task = "single_label"
    clip_s: float = 1.0
    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    calibration: Tensor = field(default_factory=lambda: torch.empty(0))
    calibration_targets: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    calibration_ids: tuple[str, ...] = ()
    verification: Tensor = field(default_factory=lambda: torch.empty(0))
    verification_targets: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    verification_ids: tuple[str, ...] = ()
    quantization: dict[str, Any] = field(default_factory=dict)

    @property
    def clip_samples(self) -> int:
        """Samples of a window at the front end's rate."""
        return round(self.clip_s * self.frontend.sample_rate)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the network's input at batch 1: [1, 1, n_mels, frames]."""
        return (1, 1, self.frontend.n_mels, self.frontend.frames(self.clip_samples))

    def build(self) -> nn.Module:
        """The student with its weights, in eval mode.

        Raises:
            ModelFileError: where name, arguments, labels and weights do not belong together.
        """
        if self.arguments.get("n_classes") != len(self.labels):
            raise ModelFileError(
                f"The model has {self.arguments.get('n_classes')} outputs but {len(self.labels)} labels: "
                "its label list is wrong; train or import it again."
            )
        try:
            network = networks.build(self.student, self.arguments)
        except ConfigError as error:
            raise ModelFileError(
                f"The student of the model cannot be built here ({error}): if a newer release wrote the "
                "file, run `pip install --upgrade tinyscene`."
            ) from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(
                f"The student '{self.student}' cannot be built with the arguments of the model, "
                f"{self.arguments} ({error}): train or import it again."
            ) from error
        if reason := misfit(self.state_dict, network):
            raise ModelFileError(
                f"The weights of the model are not those of its student '{self.student}' with "
                f"{self.arguments}: {reason}; train or import it again."
            )
        network.load_state_dict(self.state_dict)
        return network.eval()


def check_clip_s(name: str, clip_s: float) -> None:
    """Raise ConfigError where the runtime has no windows of so many seconds; ``name`` is of the option."""
    if not 0 < clip_s <= LONGEST_S:  # NaN fails too
        raise ConfigError(f"{name} is a number of seconds above 0 and up to {LONGEST_S:g}, not {clip_s:g}.")


def is_model(values: Any) -> bool:
    """Whether the values of a file are those of a model.pt."""
    return isinstance(values, dict) and values.get("magic") == _MAGIC


def to_values(checkpoint: Checkpoint) -> dict[str, Any]:
    """The plain dict that model.pt holds: no class that would have to be pickled."""
    values = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(checkpoint)}
    return values | {
        "magic": _MAGIC,
        "schema": SCHEMA,
        "frontend": checkpoint.frontend.to_dict(),
        "labels": list(checkpoint.labels),
        **{name: list(getattr(checkpoint, name)) for name in _IDS},
        **{name: pack_windows(getattr(checkpoint, name)) for name in _WINDOWS},
        "state_dict": {name: tensor.detach().cpu() for name, tensor in checkpoint.state_dict.items()},
    }


def from_values(values: Any, name: str = "The file") -> Checkpoint:
    """Read what `to_values` made; strict.

    Raises:
        ModelFileError: where it is of another kind or schema, or lacks a field; ``name`` is that of the file.
    """
    if not is_model(values):
        raise ForeignFileError(_describe_foreign(name, values))
    if values.get("schema") != SCHEMA:
        raise ModelFileError(
            f"{name} has schema {values.get('schema')} and this release reads {SCHEMA}: "
            "install the release that wrote it, or train it again."
        )
    fields = {key: value for key, value in values.items() if key not in ("magic", "schema")}
    try:
        fields["frontend"] = FrontEndSpec.from_dict(fields["frontend"])
        fields["labels"] = tuple(fields["labels"])
        fields |= {key: tuple(fields[key]) for key in _IDS if key in fields}  # older files lack some
        fields |= {key: unpack_windows(fields[key]) for key in _WINDOWS if isinstance(fields.get(key), dict)}
        fields["student"] = _current_name(fields)
        return Checkpoint(**fields)
    except ValueError as error:
        raise ModelFileError(f"{name} is damaged ({error}): copy or train it again.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{name} lacks parts of a model.pt ({error}): train it again.") from error


def _current_name(fields: dict[str, Any]) -> Any:
    """The student's name: release 0.1 called `narrow_resnet` cp_resnet, now the published network."""
    renamed = fields["student"] == "cp_resnet" and "stem.0.weight" in fields["state_dict"]
    return "narrow_resnet" if renamed else fields["student"]


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write model.pt, whole or not at all."""
    with write_beside(path) as partial:
        _write(checkpoint, partial)


def save_beside_earlier(checkpoint: Checkpoint, path: str | Path) -> Path | None:
    """Write model.pt; one of an earlier run stays, renamed.

    Returns:
        Where the earlier one is now, such as model-v1.pt; None where there was none, or the same to the byte.
    """
    target, earlier = Path(path), None
    with write_beside(target) as partial:
        _write(checkpoint, partial)
        if target.is_file() and not filecmp.cmp(target, partial, shallow=False):
            earlier = set_aside(target)
    return earlier


def set_aside(path: Path) -> Path:
    """Rename a file as Lightning counts versions of a file; returns its new name, such as model-v1.pt."""
    names = (path.with_stem(f"{path.stem}-v{version}") for version in itertools.count(1))
    return path.rename(next(name for name in names if not name.exists()))


def _write(checkpoint: Checkpoint, path: Path) -> None:
    with path.open("wb") as file:  # by name, torch would store the name: equal models would differ
        torch.save(to_values(checkpoint), file)


def load(path: str | Path) -> Checkpoint:
    """Read model.pt without running any code in it.

    Raises:
        ModelFileError: one sentence that names what the file is instead, and the remedy.
    """
    return from_values(read_plain(Path(path)), str(path))


def load_lightning(path: str | Path) -> Checkpoint:
    """Read the student of a Lightning checkpoint that `python -m train fit` wrote.

    Raises:
        ModelFileError: where the file is of another kind.
    """
    values = read_plain(Path(path))
    if not is_lightning(values):
        raise ForeignFileError(
            f"{path} is not a checkpoint of `python -m train fit`: give a model.pt, or turn the weights into "
            "one with `python -m train import`."
        )
    return from_values(values["tinyscene"], str(path))


def is_lightning(values: Any) -> bool:
    """Whether the values of a file are those of a Lightning checkpoint that `python -m train fit` wrote."""
    return isinstance(values, dict) and "tinyscene" in values


def refuse_other_settings(model: Checkpoint, recipe: Checkpoint, path: str | Path) -> None:
    """Make sure that a model was trained with the settings of a recipe, and for its labels.

    A default counts as given, and arguments that give weights of the same shapes count as the same.

    Args:
        model: read from ``path``.
        recipe: the student that the recipe builds.
        path: of the model, for the message.

    Raises:
        ConfigError: naming the first of labels, task, student, arguments, front end and window that differs.
    """
    if model.labels != recipe.labels:
        raise ConfigError(
            f"{path} has the labels {', '.join(model.labels)}, but the data has {', '.join(recipe.labels)}: "
            "give the recipe that trained it."
        )
    for name in ("task", "student", "arguments", "frontend", "clip_s"):
        if _setting(model, name) != _setting(recipe, name):
            raise ConfigError(
                f"{path} was trained with another value of model.{name} than this recipe has: give the "
                "recipe that trained it."
            )


def _setting(checkpoint: Checkpoint, name: str) -> Any:
    if name != "arguments":
        return getattr(checkpoint, name)
    shapes = {key: tuple(value.shape) for key, value in checkpoint.state_dict.items()}
    infer = getattr(networks.NETWORKS[checkpoint.student], "infer_arguments", lambda _: None)
    arguments = {**checkpoint.arguments, **(infer(shapes) or {})}
    return networks.all_arguments(checkpoint.student, arguments), shapes


def _describe_foreign(path: str, values: Any) -> str:
    if is_lightning(values):
        return (
            f"{path} is a checkpoint to resume training from (`--ckpt_path`): the model.pt that training "
            "wrote lies beside its checkpoints folder."
        )
    if isinstance(values, dict) and "pytorch-lightning_version" in values:
        return f"{path} is a Lightning checkpoint: turn it into a model.pt with `python -m train import`."
    if isinstance(values, dict) and values and all(isinstance(v, Tensor) for v in values.values()):
        return (
            f"{path} is a bare state_dict without front end or labels: turn it into a model.pt with "
            "`python -m train import`."
        )
    return (
        f"{path} is a file of torch.save but no model.pt: if it holds weights, turn it into one with "
        "`python -m train import`."
    )
