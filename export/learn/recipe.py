"""The recipes of a folder of sounds: width by the budget, steps by their amount."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import complexity
from complexity.budget import UNITS
from runtime.cores import usable_cores
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train import networks
from train.cli.sounds import NEGATIVE_SHARE, NOISE
from train.suggestions import nearest

# Arguments of CP-Mobile, the widest first; with ten labels and cp_mel:
BUDGETS: dict[str, tuple[dict[str, Any], ...]] = {
    # 126,952 parameters, 28.9 million MACs; narrower where many labels need more
    "dcase2024": (
        {},
        {"base_channels": 32, "channels_multiplier": 2.0, "expansion_rate": 3.0},
        {"base_channels": 24, "channels_multiplier": 1.75, "expansion_rate": 2.0},
    ),
    # 13,996 parameters, 4.3 million MACs
    "cortex-m4": ({"base_channels": 16, "channels_multiplier": 1.5, "expansion_rate": 2.0},),
    # 5,734 parameters, 1.4 million MACs
    "tiny": ({"base_channels": 8, "channels_multiplier": 1.5, "expansion_rate": 2.0},),
}
RULES = "dcase2024"
_PASSES, _STEPS = 150, (2_000, 6_000)  # over the training windows, within these bounds
_TEACHER_PASSES, _TEACHER_STEPS = 20, (200, 1_500)
_BATCH = 32
_VALIDATIONS, _TEACHER_VALIDATIONS = 12, 3  # in a training; each stores a checkpoint to resume from
_NOISE_SHARE = 0.1  # of the windows, where synthetic noise is all there is beside the classes
# What rooms and microphones do, and worse than by default (`train.augmentation.capture.Capture`), with which
# two windows of three were right in reverberation. The noise is weaker than that of
# train/recipes/esc10_cp_mobile_capture.yaml: the results of `learn` were measured with this one.
_CAPTURE: dict[str, Any] = {
    "reverberation_p": 0.3,
    "noise_p": 0.5,
    "noise_kinds": ["white", "pink", "hum"],
    "noise_snr_db": [0.0, 40.0],
    "gain_db": [-36.0, 24.0],
    "coding_p": 0.05,
}
# Of files that fill no window, such as words: no mixtures, more speeds; data.random_place draws their places
_SHORT_SCENE = {"speed_p": 0.9, "speed": [0.8, 1.25], "mix_p": 0.0}


@dataclass(frozen=True)
class Material:
    """What there is to learn from.

    Attributes:
        labels: class names.
        windows: windows of one second to train on, about.
        table: of paths, labels, recordings and splits.
        root: that its paths are relative to.
        short: most clips are shorter than a window.
        negatives: folders of sounds of none of the classes.
        held_out_negatives: names of their files that are left for the test.
        also: folders of unlabelled sounds, for distillation.
        responses: whether there are impulse responses of microphones.
        held_out_responses: names of the files of those that are left for the test.
        in_memory: whether all waveforms fit into memory.
        quiet_db: see `train.data.ClipData`.
    """

    labels: Sequence[str]
    windows: int
    table: Path
    root: Path
    short: bool = False
    negatives: Sequence[Path] = ()
    held_out_negatives: Sequence[str] = ()
    also: Sequence[Path] = ()
    responses: bool = False
    held_out_responses: Sequence[str] = ()
    in_memory: bool = True
    quiet_db: float | None = None


@dataclass(frozen=True)
class Plan:
    """What is trained, and how.

    Attributes:
        run: the folder of the training.
        arguments: of CP-Mobile.
        frontend: a preset.
        steps: of the training.
        seed: of the training.
        label_weight: share of the labels beside the teacher.
        teacher: a model.pt with the same labels.
        changes: dotted key to a YAML value, such as ``model.lr``: they replace what was chosen.
    """

    run: Path
    arguments: Mapping[str, Any]
    frontend: str
    steps: int
    seed: int = 0
    label_weight: float = 0.0
    teacher: Path | None = None
    changes: Mapping[str, str] = field(default_factory=dict)


def choose_steps(windows: int, share: float = 1.0) -> int:
    """Steps for so many windows; ``share`` of them where a training goes on from an earlier one."""
    low, high = _STEPS
    return round(share * min(max(_PASSES * windows // _BATCH, low), high))


def student_recipe(material: Material, plan: Plan) -> dict[str, Any]:
    """The recipe of the student, as `python -m train fit --config` takes it.

    Raises:
        ConfigError: where a change makes no sense.
    """
    distilled = {"distillation": _distillation(plan)} if plan.teacher else {}
    recipe: dict[str, Any] = {
        "seed_everything": plan.seed,
        "rules": RULES,
        "chosen_epoch": "last",
        "model": {
            "student": "cp_mobile",
            "arguments": dict(plan.arguments),
            "frontend": plan.frontend,
            "lr": 3.0e-3,
            "weight_decay": 1.0e-2,
            "warmup": 0.05,
            "augmentation": _augmentation(material),
            **distilled,
        },
        "data": _data(material, [*material.negatives, *(material.also if plan.teacher else ())]),
        "trainer": _trainer(plan.run, plan.steps, material, _VALIDATIONS),
    }
    for key, value in plan.changes.items():
        _change(recipe, key, value)
    return recipe


def teacher_recipe(material: Material, run: Path, arguments: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The recipe of a new head for EfficientAT's frozen encoder, as esc10_teacher_mn04.yaml trains it."""
    low, high = _TEACHER_STEPS
    scene = {"mix_p": 0.0} if material.short else {"mix_p": 0.5}
    return {
        "seed_everything": seed,
        "chosen_epoch": "last",
        "allow_over_budget": True,
        "model": {
            "student": "mobilenet",
            "arguments": dict(arguments),
            "frontend": "passt_mel",
            "frozen": ["features"],
            "lr": 3.0e-3,
            "weight_decay": 1.0e-2,
            "augmentation": {
                "scene": scene, "gain_db": None, "freq_mixstyle_p": None, "mixup_alpha": None,
            },
        },
        "data": _data(material, material.negatives),
        "trainer": _trainer(
            run, min(max(_TEACHER_PASSES * material.windows // _BATCH, low), high), material,
            _TEACHER_VALIDATIONS,
        ),
    }  # fmt: skip


def to_yaml(recipe: Mapping[str, Any], comment: str) -> str:
    """The recipe as text, with a comment above."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*lines, yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)])


def choose_width(budget: str, frontend: str, n_classes: int) -> tuple[dict[str, Any], complexity.Report]:
    """The widest arguments of the budget that keep to the rules with so many labels, and what they cost.

    Raises:
        ConfigError: where there is no such budget, or no width keeps to the rules.
    """
    if budget not in BUDGETS:
        raise ConfigError(f"There is no budget '{budget}': {nearest(budget, list(BUDGETS))}")
    for arguments in BUDGETS[budget]:
        report = cost(arguments, frontend, n_classes)
        if report.within:
            return dict(arguments), report
    limits = " and ".join(
        f"{limit:,} {UNITS[quantity]}" for quantity, limit in complexity.Budget.named(RULES).limits.items()
    )
    raise ConfigError(
        f"No network of the budget '{budget}' has {n_classes} labels within {limits} ({RULES}) with the "
        f"front end {frontend}: give a --frontend of fewer bands or frames, or fewer classes."
    )


def cost(arguments: Mapping[str, Any], frontend: str, n_classes: int) -> complexity.Report:
    """Parameters and MACs of a CP-Mobile, by `RULES`."""
    spec = FrontEndSpec.preset(frontend)
    network = networks.build("cp_mobile", {**arguments, "n_classes": n_classes}).eval()
    shape = (1, 1, spec.n_mels, spec.frames(spec.sample_rate))
    return complexity.measure(network, shape, budget=complexity.Budget.named(RULES), frontend=spec)


def _augmentation(material: Material) -> dict[str, Any]:
    """Scene and capture; without impulse responses there is nothing to convolve with."""
    responses = {"response_exclude": list(material.held_out_responses)}
    capture = {**_CAPTURE, **(responses if material.responses else {"response_p": 0.0})}
    off = {"gain_db": None, "freq_mixstyle_p": None, "mixup_alpha": None}
    return {"scene": dict(_SHORT_SCENE) if material.short else {}, "capture": capture, **off}


def _distillation(plan: Plan) -> dict[str, Any]:
    return {
        "teachers": [str(plan.teacher)],
        "teacher_input": "scene",
        "label_weight": plan.label_weight,
        "temperature": 1.0,
    }


def _data(material: Material, folders: Sequence[Path]) -> dict[str, Any]:
    table = {
        "class_path": "train.data.Table",
        "init_args": {"path": str(material.table), "root": str(material.root)},
    }
    exclude = [glob.escape(name) for name in material.held_out_negatives]
    arguments = {"corpus": table, "folders": [str(f) for f in folders], "exclude": exclude, "noise": NOISE}
    return {
        "corpus": {"class_path": "train.data.WithNegatives", "init_args": arguments},
        "negative_share": NEGATIVE_SHARE if folders else _NOISE_SHARE,
        "batch_size": _batch(material),
        "jitter": True,
        # a process degrades the windows and runs the teacher beside the network's own steps
        **({"num_workers": 1, "persistent_workers": True} if usable_cores() > 1 else {}),
        **({"random_place": True} if material.short else {}),
        **({} if material.in_memory else {"in_memory": False}),
        **({} if material.quiet_db is None else {"quiet_db": material.quiet_db}),
    }


def _batch(material: Material) -> int:
    """Windows of a batch: with few of them, an epoch still has two batches."""
    return max(min(_BATCH, material.windows // 2), 1)


def _trainer(run: Path, steps: int, material: Material, validations: int) -> dict[str, Any]:
    """Steps, and a validation with a checkpoint now and then, however short an epoch is."""
    batches = max(material.windows // _batch(material), 1)
    return {
        "default_root_dir": str(run),
        "max_epochs": -1,
        "max_steps": steps,
        "check_val_every_n_epoch": max(round(steps / validations / batches), 1),
        "enable_progress_bar": False,
        "callbacks": [{"class_path": "train.training.step_bar.StepBar"}],
    }


def _change(recipe: dict[str, Any], key: str, value: str) -> None:
    """Set a dotted key to a YAML value."""
    *tables, name = key.split(".")
    place = recipe
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {key}: '{table}' of the recipe has no keys of its own.")
    try:
        place[name] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}={value}: the value is not YAML; put it between quotes.") from error
