"""``fit --init model.pt``: a training starts from the weights of another model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.fit_check import misfit, not_finite
from train.checkpoints.model_pt import Checkpoint
from train.training.lightning_module import Classifier


def load_initial_weights(model: Classifier, path: str | Path) -> list[str]:
    """Give a student the weights of a model.pt of the same architecture.

    The head is taken over where the labels are the same, in any order; otherwise it stays random.

    Args:
        model: whose student is changed in place.
        path: the model.pt.

    Returns:
        Sentences about what differs between the model and the training; empty where nothing does.

    Raises:
        TinysceneError: where the file or its architecture does not fit.
    """
    start = model_pt.load(path)
    if start.student != model.student_name:
        raise ConfigError(
            f"{path} is a {start.student} and the recipe trains a {model.student_name}: set "
            f"model.student={start.student}."
        )
    state: dict[str, Tensor] = dict(start.build().state_dict())
    if bad := not_finite(state):
        raise ConfigError(f"{path} holds a broken network ({bad}): take another model.")
    own = model.student.state_dict()
    head = _head_keys(start)
    notes, about_head = _differences(start, model), ""
    if set(start.labels) != set(model.labels):
        shapes = ", ".join(f"'{key}' {list(own[key].shape)}" for key in head[:1] if key in own)
        about_head = f"its head is for other labels, so the head {shapes} is initialised at random"
        state |= {key: own[key] for key in head if key in own}
    elif start.labels != model.labels:
        about_head = "its labels are in another order, so the outputs of its head are reordered"
        order = [start.labels.index(label) for label in model.labels]
        state |= {key: state[key][order] for key in head}
    if (other := _other_head(model, state)) is not None:
        about_head = f"its head '{other}' is of another kind, so the head is initialised at random"
        state = {key: value for key, value in state.items() if not key.startswith(f"{other}.")}
        state |= {key: value for key, value in own.items() if key.startswith(f"{other}.")}
    if reason := misfit(state, model.student):
        raise ConfigError(
            f"{path} has other weights than the recipe's {model.student_name}: {reason}; set "
            f"model.arguments={json.dumps(_without_classes(start.arguments))}."
        )
    model.student.load_state_dict(state)
    return [*notes, *([about_head] if about_head else [])]


def _head_keys(start: Checkpoint) -> list[str]:
    """Keys of the weights whose first dimension is the number of classes."""
    classes = len(start.labels)
    other = networks.build(start.student, {**start.arguments, "n_classes": classes + 1}).state_dict()
    return [key for key, value in start.state_dict.items() if other[key].shape != value.shape]


def _other_head(model: Classifier, state: Mapping[str, Tensor]) -> str | None:
    """Name of the network's head where the weights are for another kind of head; None where they fit."""
    head = getattr(type(model.student), "head", None)  # PaSST has a module of that name
    if head is None:
        return None
    own = {key: value.shape for key, value in model.student.state_dict().items()}
    mine, theirs = (
        {k: v for k, v in shapes.items() if k.startswith(f"{head}.")}
        for shapes in (own, {key: value.shape for key, value in state.items()})
    )
    return str(head) if mine != theirs else None


def _differences(start: Checkpoint, model: Classifier) -> list[str]:
    """What differs though the weights fit: front end, arguments without weights, task, window, INT8."""
    notes = [
        f"it was trained with another front end ({text})" for text in _front_ends(start.frontend, model.spec)
    ]
    ours, theirs = (
        _without_classes(networks.all_arguments(model.student_name, each))
        for each in (model.arguments, start.arguments)
    )
    for name in ours:
        if ours[name] != theirs[name]:
            notes.append(f"it was trained with {name}={theirs[name]}, the recipe has {ours[name]}")
    for name, value, now in (("task", start.task, model.task), ("clip_s", start.clip_s, model.clip_s)):
        if value != now:
            notes.append(f"it was trained with {name} {value}, the recipe has {now}")
    if start.quantization:
        notes.append("its weights are those of INT8 after QAT; its ranges are not used")
    return notes


def _front_ends(theirs: FrontEndSpec, ours: FrontEndSpec) -> Sequence[str]:
    """One text with the fields that differ, or nothing."""
    pairs = [
        (field.name, getattr(theirs, field.name), getattr(ours, field.name))
        for field in dataclasses.fields(FrontEndSpec)
    ]
    differing = [f"{name} {before}, now {now}" for name, before, now in pairs if before != now]
    return [", ".join(differing)] if differing else []


def _without_classes(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "n_classes"}
