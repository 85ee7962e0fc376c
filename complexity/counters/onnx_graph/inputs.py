"""Shapes of a graph's inputs: those in the file, completed by those that the caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError, ModelFileError

Size = int | str | None  # a number of elements, the name of an open axis, or an open axis without a name
InputShapes = Sequence[int] | Mapping[str, Sequence[int]]


def fix_input_shapes(graph: Any, given: InputShapes | None, path: Path) -> None:
    """Write a fixed shape into every input of a graph, at batch 1.

    The first axis of a single input is the batch, and so is that of several inputs where it is the same
    for all. An open first axis counts as 1. Open axes of one name have one size, so one input may
    complete another.

    Args:
        graph: an ``onnx.GraphProto``; its inputs are changed.
        given: the shape of the only input, or shapes by the names of inputs.
        path: of the file, for messages.

    Raises:
        ConfigError: where a given shape does not fit the graph or names no input of it.
        ModelFileError: where an axis stays open, or an input is not a tensor.
    """
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    declared = {name: _declared(value, path) for name, value in inputs.items()}
    shapes = _by_name(given, declared, path)
    chosen = {name: _merge(name, declared[name], shapes.get(name), path) for name in inputs}
    named = _named_sizes(declared, chosen, path)
    several = len(chosen) > 1
    for name, sizes in chosen.items():
        filled = [named.get(size, size) if isinstance(size, str) else size for size in sizes]
        if filled and not isinstance(filled[0], int):
            filled[0] = 1
        if not all(isinstance(size, int) for size in filled):
            raise _open_axis(name, filled, path, several=several)
        chosen[name] = filled
    batch_first = not several or len({s[0] for s in chosen.values() if s}) == 1
    for name, sizes in chosen.items():
        _write(inputs[name], [1, *sizes[1:]] if sizes and batch_first else sizes)


def _declared(value: Any, path: Path) -> list[Size] | None:
    """The shape of an input in the file; None where the file has none."""
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "value without a type"
        raise ModelFileError(
            f"The input '{value.name}' of {path} is a {kind}, and only tensors have a cost here: "
            "export the model with tensors as inputs."
        )
    if not value.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.dim_value > 0 else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    ]


def _by_name(
    given: InputShapes | None, declared: Mapping[str, list[Size] | None], path: Path
) -> Mapping[str, Sequence[int]]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for name in given:
            if name not in declared:
                raise ConfigError(f"{path} has no input '{name}': its inputs are {', '.join(declared)}.")
        return given
    if len(declared) != 1:
        names = " ".join(f"--input-shape {name}={format_shape(sizes)}" for name, sizes in declared.items())
        raise ConfigError(
            f"{path} has {len(declared)} inputs, so a shape needs the name of its input: {names}."
        )
    return dict.fromkeys(declared, given)


def _merge(name: str, declared: list[Size] | None, given: Sequence[int] | None, path: Path) -> list[Any]:
    if given is None:
        if declared is None:
            raise ModelFileError(
                f"The input '{name}' of {path} has no shape: give it with --input-shape {name}=1,1,256,64."
            )
        return list(declared)
    if prod(given) < 1:
        raise ConfigError(f"--input-shape {format_shape(given)}: every size must be 1 or more.")
    if declared is None:
        return list(given)
    # the first axis may differ: a batch that is fixed in the file counts as 1 whatever it is
    fits = len(given) == len(declared) and all(
        not isinstance(a, int) or a == b for a, b in zip(declared[1:], given[1:], strict=True)
    )
    if not fits:
        raise ConfigError(
            f"The input '{name}' of {path} is {format_shape(declared)}, which --input-shape "
            f"{format_shape(given)} does not fit: give one that does."
        )
    return list(given)


def _named_sizes(
    declared: Mapping[str, list[Size] | None], chosen: Mapping[str, Sequence[Size]], path: Path
) -> dict[str, int]:
    """The size of every named axis that is given somewhere."""
    sizes: dict[str, int] = {}
    for name, axes in declared.items():
        for axis, size in zip(axes or [], chosen[name], strict=False):
            if not isinstance(axis, str) or not isinstance(size, int):
                continue
            if sizes.setdefault(axis, size) != size and len(declared) > 1:
                raise ConfigError(
                    f"The axis '{axis}' of {path} is given as {sizes[axis]} and, by the input '{name}', as "
                    f"{size}: give it one size."
                )
    return sizes


def _open_axis(name: str, sizes: Sequence[Size], path: Path, *, several: bool) -> ModelFileError:
    filled = [1, *(size if isinstance(size, int) else 64 for size in sizes[1:])]
    example = f"{name}={format_shape(filled)}" if several else "1,1,256,64"
    return ModelFileError(
        f"The input '{name}' of {path} is {format_shape([None, *sizes[1:]])}, open where the question marks "
        f"are: fill them in with --input-shape, such as --input-shape {example}."
    )


def _write(value: Any, sizes: Sequence[int]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    shape.SetInParent()
    for size in sizes:
        shape.dim.add().dim_value = size


def format_shape(sizes: Sequence[Size] | None) -> str:
    """Sizes as --input-shape takes them; a question mark where an axis is open."""
    if sizes is None:
        return "?"
    return ",".join(str(size) if isinstance(size, int) else "?" for size in sizes)
