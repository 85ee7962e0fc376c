"""Dataclasses from JSON values, strictly: an unknown, missing or mistyped field is an error."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from typing import Any, Literal, TypeVar

from runtime.errors import ConfigError, ModelFileError

_Spec = TypeVar("_Spec")


def from_dict(cls: type[_Spec], values: Any) -> _Spec:
    """Build a spec dataclass from JSON values, naming every field that does not fit."""
    if not isinstance(values, dict):
        raise ModelFileError(f"A {cls.__name__} is a table of fields, not {type(values).__name__}.")
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = {json_key(f): f.name for f in fields}
    optional = {json_key(f) for f in fields if f.metadata.get("optional")}
    unknown, missing = sorted(set(values) - set(names)), sorted(set(names) - set(values) - optional)
    if unknown or missing:
        raise ModelFileError(
            f"The {cls.__name__} in this file has unknown fields {unknown} and lacks {missing}: "
            "it was written by another release or damaged; export the model again."
        )
    hints = typing.get_type_hints(cls)
    try:
        return cls(**{names[key]: _revive(hints[names[key]], value) for key, value in values.items()})
    except ConfigError as error:
        raise ModelFileError(str(error)) from error


def json_key(spec_field: dataclasses.Field[Any]) -> str:
    """The key of a field in model files; it never changes, also where the field is renamed."""
    return str(spec_field.metadata.get("json_key", spec_field.name))


def _revive(hint: Any, value: Any) -> Any:
    """Turn JSON lists back into tuples and tables into specs, as the field's type asks."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_revive(typing.get_args(hint)[0], item) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= sys.float_info.max else math.inf
    return value


def check_types(spec: Any) -> None:
    """Check every field of a spec against its annotation; numbers must be finite."""
    for name, hint in typing.get_type_hints(type(spec)).items():
        value = getattr(spec, name)
        if not _fits(hint, value):
            raise ConfigError(f"{type(spec).__name__}.{name} is {value!r}, which is not {hint}.")


def _fits(hint: Any, value: Any) -> bool:  # noqa: PLR0911 - one line for every kind of annotation
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(args[0], item) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(args[0], k) and _fits(args[1], v) for k, v in value.items()
        )
    if origin in (typing.Union, types.UnionType):
        return any(_fits(arg, value) for arg in args)
    if hint is Any:
        return True
    if hint is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and abs(value) <= sys.float_info.max  # math.isfinite raises on large integers
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
