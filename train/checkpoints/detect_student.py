"""Which student, with which arguments, the keys and shapes of published weights belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runtime.errors import ConfigError, ModelFileError
from train import networks
from train.checkpoints.fit_check import misfit, not_finite
from train.checkpoints.state_dict import Weights

DEFAULT_FRONT_END = "cp_mel"


class Detected(NamedTuple):
    """A student whose keys and shapes are those of the weights.

    Attributes:
        student: a name in `train.networks.NETWORKS`.
        arguments: of the student, ``n_classes`` among them.
        state_dict: float32 weights and batch-norm statistics.
        converted: floating-point types other than float32 that the file has, e.g. ``float16``.
        unused: keys of weights that the published network has and never applies, left out.
        initialised: keys of the head where the file has none, as after pre-training without labels.
    """

    student: str
    arguments: dict[str, Any]
    state_dict: dict[str, Tensor]
    converted: tuple[str, ...]
    unused: tuple[str, ...] = ()
    initialised: tuple[str, ...] = ()


def first_keys(student: str | None) -> dict[str, str]:
    """Name of a student to the first key of its weights, of all students or of one of them."""
    names = list(networks.NETWORKS) if student is None else [student]
    with torch.device("meta"):  # shapes without memory: teachers have a hundred million weights
        return {name: next(iter(networks.build(name, {}).state_dict())) for name in names}


def front_end_of(student: str, arguments: Mapping[str, Any]) -> str:
    """The preset of the front end that the student's published weights were trained with."""
    network = networks.NETWORKS[student]
    choose = getattr(network, "published_frontend", None)
    return str(getattr(network, "frontend", DEFAULT_FRONT_END) if choose is None else choose(arguments))


def detect(
    path: str, weights: Weights, candidates: Sequence[str], given: Mapping[str, Any], n_labels: int,
    config: Mapping[str, Any] | None = None,
) -> Detected:  # fmt: skip
    """Find the first student that the weights fit.

    Args:
        path: of the file, for messages.
        weights: keys without prefix.
        candidates: students to try.
        given: arguments that take precedence over those inferred from the shapes.
        n_labels: number of outputs of students that do not show it in shapes.
        config: the table ``cfg`` of the file, where it has one.

    Raises:
        ModelFileError: naming the first keys and shapes that do not fit, or the first weight that is NaN.
    """
    tensors, converted = _float32(path, weights.tensors)
    reasons = []
    for name in candidates:
        state, unused = _without_unused(name, tensors)
        inferred = _infer(name, state)
        if inferred is None and len(candidates) > 1:
            continue
        arguments = {"n_classes": n_labels, **(inferred or {}), **_from_config(name, config), **given}
        network = _build(name, arguments)
        _add_batch_counters(state, network)
        initialised = _add_head(state, network)
        reason = misfit(state, network)
        if reason is None:
            if bad := not_finite(state):
                raise ModelFileError(f"{path} holds a broken network: {bad}; take an earlier checkpoint.")
            return Detected(name, arguments, state, converted, unused, initialised)
        reasons.append(f"{name} with {_listed(arguments)} ({reason})")
    tried = "; or ".join(reasons) or f"any of {', '.join(candidates)}"
    raise ModelFileError(
        f"{path} does not fit the student {tried}: name --student and --arguments of the network that it "
        "was saved from."
    )


def _infer(name: str, state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    infer = getattr(networks.NETWORKS[name], "infer_arguments", None)
    if infer is None:
        return {}
    found: dict[str, Any] | None = infer({key: tuple(value.shape) for key, value in state.items()})
    return found


def _from_config(name: str, config: Mapping[str, Any] | None) -> dict[str, Any]:
    read = getattr(networks.NETWORKS[name], "arguments_of_config", None)
    found: dict[str, Any] = {} if read is None or config is None else read(config)
    return found


def _without_unused(name: str, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights without those that the published network never applies, and the keys of these."""
    parts = tuple(getattr(networks.NETWORKS[name], "unused_weights", ()))
    unused = tuple(key for key in tensors if key.startswith(parts))
    return {key: value for key, value in tensors.items() if key not in unused}, unused


def _add_head(state: dict[str, Tensor], network: nn.Module) -> tuple[str, ...]:
    """Add the network's own head to weights of a pre-training, which have none; returns its keys."""
    head = getattr(type(network), "head", None)
    if not isinstance(head, str) or any(key.startswith(f"{head}.") for key in state):
        return ()
    own = {key: value for key, value in network.state_dict().items() if key.startswith(f"{head}.")}
    state |= own
    return tuple(own)


def _build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return networks.build(name, arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"--arguments: {_listed(arguments)} cannot build the student '{name}' ({error})."
        ) from error


def _float32(path: str, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights in float32, and the other types that there were."""
    for key, value in tensors.items():
        if value.is_quantized:
            raise ModelFileError(
                f"{path} holds integers of a quantized network ('{key}' is {value.dtype}): give the float "
                "weights that it was quantized from."
            )
    others = {v.dtype for v in tensors.values() if v.is_floating_point()} - {torch.float32}
    state = {
        key: (value.float() if value.is_floating_point() else value).detach().contiguous()
        for key, value in tensors.items()
    }
    return state, tuple(sorted(str(dtype).removeprefix("torch.") for dtype in others))


def _add_batch_counters(state: dict[str, Tensor], network: nn.Module) -> None:
    """Add the counters of batches that batch norm has had since torch 0.4.1; nothing here reads them."""
    for key, value in network.state_dict().items():
        if (
            key.endswith(".num_batches_tracked")
            and key.replace("num_batches_tracked", "running_var") in state
        ):
            state.setdefault(key, torch.zeros_like(value))


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
