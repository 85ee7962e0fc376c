"""Weights inside a checkpoint: which of its tables they are, under which prefix, for which device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from runtime.errors import ModelFileError
from train.checkpoints.layouts import rewrite
from train.checkpoints.torch_file import Opaque

Tensors = dict[str, Tensor]

# Names of the table that is taken where several hold the student's keys, the best one first.
_TABLES = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
# Parts of a front end, whose buffers lie beside the weights in many checkpoints; the spec replaces them.
_FRONT_END = re.compile(
    r"(^|\.)(log_?mel|mel(_?spec(trogram)?|_transform|_scale|_extractor|_forward)?|spectrogram(_extractor)?|"
    r"logmel_extractor|front_?end|features?_extractor|stft|fbank|resampler?|pre_?emphasis|pre_?process(or|ing)?|"
    r"spec_?aug(ment|menter)?|amplitude_to_db)(\.|$)",
    re.IGNORECASE,
)
# DCASE 2025's baseline: one network for unknown devices and one for each known device.
_DEVICE = re.compile(r"(^|\.)(?P<base>base_model)\.$|(^|\.)device_models\.(?P<name>[^.]+)\.$")


@dataclass(frozen=True)
class Weights:
    """The weights of one network in a file.

    Attributes:
        table: where the state_dict lies in the file, e.g. ``state_dict``; empty for a bare one.
        prefix: of the keys, e.g. ``model.``; removed from them.
        tensors: the network's weights and batch-norm statistics by the network's own keys.
        front_end: keys of front-end buffers, left out.
        others: keys beside the prefix, left out.
        device: of DCASE 2025's layout, ``base`` for its network for unknown devices; empty elsewhere.
    """

    table: str
    prefix: str
    tensors: Tensors
    front_end: tuple[str, ...]
    others: tuple[str, ...]
    device: str = ""


def tables_of(values: Any, path: str = "") -> Iterator[tuple[str, Tensors]]:
    """Every table of named tensors in what a file holds, with its place; pickled modules count as tables."""
    if isinstance(values, Opaque):
        tensors = dict(_module_tensors(values, "", 0))
        if tensors:
            yield path, tensors
        return
    if not isinstance(values, Mapping):
        return
    tensors = {key: value for key, value in values.items() if isinstance(key, str) and _is_tensor(value)}
    if tensors:
        yield path, tensors
    for key, value in values.items():
        if path.count(".") < 3:  # deeper tables are those of an optimizer
            yield from tables_of(value, f"{path}.{key}" if path else str(key))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _module_tensors(module: Opaque, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """The state_dict of a pickled module, from the tables that every ``nn.Module`` pickles."""
    state = module.state if isinstance(module.state, Mapping) else {}
    for table in ("_parameters", "_buffers"):
        entries = state.get(table)
        for name, value in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
    children = state.get("_modules")
    for name, child in children.items() if isinstance(children, Mapping) and depth < 32 else ():
        if isinstance(child, Opaque):
            yield from _module_tensors(child, f"{prefix}{name}.", depth + 1)


def find_weights(
    path: str, values: Any, first_keys: Sequence[str], prefix: str | None = None
) -> list[Weights]:
    """Find the weights of one network, or of one network for each device.

    Args:
        path: of the file, for messages.
        values: what the file holds.
        first_keys: a key that every network of a known student has, for each of them.
        prefix: the network's keys begin with it; None looks for it.

    Raises:
        ModelFileError: where the file holds no weights of a known student, or several networks.
    """
    tables = [(place, rewrite(tensors)) for place, tensors in tables_of(values)]
    found = [
        (table, tensors, prefixes)
        for table, tensors in tables
        if (prefixes := _prefixes(tensors, first_keys, prefix))
    ]
    if not found:
        raise ModelFileError(_no_weights(path, tables, first_keys, prefix))
    table, tensors, prefixes = min(found, key=lambda each: _rank(each[0]))
    devices = {each: _device(each) for each in prefixes}
    if len(prefixes) > 1 and not all(devices.values()):
        raise ModelFileError(
            f"{path} holds several networks, under the prefixes {', '.join(map(repr, prefixes))}: choose one "
            "with --prefix."
        )
    return [
        _split(table, tensors, each, prefixes, devices[each] if len(prefixes) > 1 else "")
        for each in prefixes
    ]


def _prefixes(tensors: Tensors, first_keys: Sequence[str], prefix: str | None) -> list[str]:
    """Whatever stands before a known first key: '' for a bare state_dict."""
    found = {
        key[: -len(first)]
        for key in tensors
        for first in first_keys
        if key == first or key.endswith(f".{first}")
    }
    return sorted(found if prefix is None else found & {prefix})


def _rank(table: str) -> tuple[int, int]:
    name = table.rpartition(".")[2]
    return (_TABLES.index(name) if name in _TABLES else len(_TABLES), table.count("."))


def _device(prefix: str) -> str:
    """The device of a prefix of DCASE 2025's layout; empty for any other prefix."""
    match = _DEVICE.search(prefix)
    if not match:
        return ""
    return "base" if match["base"] else re.sub(r"[^\w-]", "_", match["name"])


def _split(table: str, tensors: Tensors, prefix: str, prefixes: Sequence[str], device: str) -> Weights:
    within = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    front_end = tuple(key for key in within if _FRONT_END.search(key))
    others = [key for key in tensors if not key.startswith(tuple(prefixes))]
    return Weights(
        table=table,
        prefix=prefix,
        tensors={key: value for key, value in within.items() if key not in front_end},
        front_end=front_end + tuple(key for key in others if _FRONT_END.search(key)),
        others=tuple(key for key in others if not _FRONT_END.search(key)),
        device=device,
    )


def _no_weights(
    path: str, tables: Sequence[tuple[str, Tensors]], first_keys: Sequence[str], prefix: str | None
) -> str:
    known = ", ".join(dict.fromkeys(first_keys))
    if not tables:
        return f"{path} holds no named tensors: give the file that holds a state_dict with keys like {known}."
    table, tensors = min(tables, key=lambda each: (_rank(each[0]), -len(each[1])))
    where = f" (in '{table}')" if table else ""
    under = f" under the prefix '{prefix}'" if prefix is not None else ""
    return (
        f"{path} holds the weights of no known student{under}: its first keys{where} are "
        f"{list_keys(tensors)}, where one of {known} is expected after any prefix."
    )


def list_keys(tensors: Mapping[str, Tensor], count: int = 3) -> str:
    """The first keys and shapes, as a half-sentence."""
    first = [f"'{key}' {list(value.shape)}" for key, value in list(tensors.items())[:count]]
    more = [f"{len(tensors) - count} more"] if len(tensors) > count else []
    return ", ".join([*first, *more])
