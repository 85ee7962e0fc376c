"""Shapes of a graph's inputs: those in the file, completed by those that the caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError, ModelFileError

Size = int | str | None  # a number of elements, the name of an open axis, or an open axis without a name
InputShapes = Sequence[int] | Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class InputSizes:
    """The shapes to count an ONNX graph at, and how sure it is that their first axis is a batch.

    Attributes:
        whole: the shape of every input as it stands; an open first axis that nobody gave counts as 1.
        other: the shapes that show by comparison whether the first axis is a batch: those of ``whole`` with
            1 in place of a larger first size, or with 2 in place of an open one; None where there is
            nothing to decide.
        ratio: how many times the first axis of the one is as long as that of the other.
        assumed: whether a first axis is open and counts as 1; ``other`` is then the larger one.
        given: whether the caller gave the first size.
    """

    whole: dict[str, tuple[int, ...]]
    other: dict[str, tuple[int, ...]] | None = None
    ratio: int = 1
    assumed: bool = False
    given: bool = False


def choose_input_sizes(graph: Any, given: InputShapes | None, path: Path) -> InputSizes:
    """The shape of every input of a graph: that in the file, completed by that which the caller gives.

    An open first axis counts as 1, unless it is the only axis. Open axes of one name have one size, so one
    input may complete another. A first axis that is 1 by the caller's word is a batch, and one of a size
    that the file fixes and the caller repeats is a part of the clip.

    Args:
        graph: an ``onnx.GraphProto``.
        given: the shape of the only input, or shapes by the names of inputs.
        path: of the file, for messages.

    Raises:
        ConfigError: where a given shape does not fit the graph or names no input of it.
        ModelFileError: where an axis stays open, or an input is not a tensor.
    """
    constants = {tensor.name for tensor in graph.initializer}
    declared = {v.name: _declared(v, path) for v in graph.input if v.name not in constants}
    shapes = _by_name(given, declared, path)
    chosen = {name: _merge(name, declared[name], shapes.get(name), path) for name in declared}
    named = _named_sizes(declared, chosen, path)
    filled = {
        name: [named.get(size, size) if isinstance(size, str) else size for size in sizes]
        for name, sizes in chosen.items()
    }
    opened = _open_batch(filled)
    whole = _fill(filled, opened, 1, path)
    if opened:
        return InputSizes(whole, _fill(filled, opened, 2, path), 2, assumed=True)
    first = {sizes[0] for sizes in whole.values() if sizes}
    size = first.pop() if len(first) == 1 else 1
    fixed = all(axes is not None and isinstance((axes or [1])[0], int) for axes in declared.values())
    if size == 1 or (shapes and fixed) or max(map(len, whole.values())) < 2:
        return InputSizes(whole, given=bool(shapes))
    other = {name: (1, *sizes[1:]) if sizes else () for name, sizes in whole.items()}
    return InputSizes(whole, other, size, given=bool(shapes))


def _open_batch(filled: Mapping[str, Sequence[Size]]) -> set[Size]:
    """Names of the open first axes that may be a batch; None is among them for those without a name."""
    return {sizes[0] for sizes in filled.values() if len(sizes) > 1 and not isinstance(sizes[0], int)}


def _fill(
    sizes: Mapping[str, Sequence[Size]], opened: set[Size], batch: int, path: Path
) -> dict[str, tuple[int, ...]]:
    """Sizes with ``batch`` in place of the open batch, which other inputs may have on another axis."""
    filled: dict[str, tuple[int, ...]] = {}
    for name, axes in sizes.items():
        is_batch = [size in opened and (size is not None or i == 0) for i, size in enumerate(axes)]
        closed = [batch if known else size for known, size in zip(is_batch, axes, strict=True)]
        filled[name] = tuple(size for size in closed if isinstance(size, int))
        if len(filled[name]) < len(axes):
            raise _open_axis(name, closed, path, several=len(sizes) > 1)
    return filled


def fix_input_sizes(graph: Any, sizes: Mapping[str, Sequence[int]]) -> None:
    """Write a fixed shape into every input of an ``onnx.GraphProto``."""
    for value in graph.input:
        if value.name in sizes:
            _write(value, sizes[value.name])


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
    # a batch that is fixed in the file may be given as 1
    fits = len(given) == len(declared) and all(
        not isinstance(a, int) or a == b or (axis == 0 and b == 1)
        for axis, (a, b) in enumerate(zip(declared, given, strict=True))
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
    filled = [size if isinstance(size, int) else 64 for size in sizes]
    example = f"{name}={format_shape(filled)}" if several or len(sizes) < 2 else "1,1,256,64"
    first = [None, *sizes[1:]] if len(sizes) > 1 else sizes
    return ModelFileError(
        f"The input '{name}' of {path} is {format_shape(first)}, open where the question marks "
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
