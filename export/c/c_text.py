"""C text of constants: arrays and structures with named fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_PER_LINE = 24
_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "float32": "float",
}


def array(name: str, values: npt.NDArray[Any]) -> str:
    """``static const`` array with the type of the numpy array.

    Example:
        >>> print(array("shifts", np.array([3, 4], np.uint8)), end="")
        static const uint8_t shifts[2] = {
            3,4};
    """
    flat = values.ravel()
    texts = (
        [_float(value) for value in flat] if values.dtype == np.float32 else [str(v) for v in flat.tolist()]
    )
    lines = [",".join(texts[start : start + _PER_LINE]) for start in range(0, len(texts), _PER_LINE)]
    body = ",\n    ".join(lines)
    return f"static const {_TYPES[values.dtype.name]} {name}[{len(texts)}] = {{\n    {body}}};\n"


def exported_array(name: str, values: npt.NDArray[Any]) -> str:
    """The same array where other files declare it."""
    return array(name, values).removeprefix("static ")


def structure(kind: str, name: str, fields: Mapping[str, Any]) -> str:
    r"""``static const`` structure.

    Example:
        >>> structure("ts_sum", "sum", {"first": 1, "shift": 2})
        'static const ts_sum sum = {.first = 1, .shift = 2};\n'
    """
    return f"static const {kind} {name} = {braces(fields)};\n"


def braces(fields: Mapping[str, Any]) -> str:
    """The initializer of a structure."""
    return "{" + ", ".join(f".{key} = {_value(value)}" for key, value in fields.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return braces(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int) and abs(value) >= 2**31:
        return f"INT64_C({value})"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "{" + ", ".join(map(_value, value)) + "}"
    return str(value)


def string(text: str) -> str:
    """A C string literal of any text, in UTF-8."""
    escaped = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
                      for byte in text.encode())  # fmt: skip
    return f'"{escaped}"'


def real(value: float) -> str:
    """A float literal that has the value's bits in float32."""
    return _float(np.float32(value))


def _float(value: np.float32) -> str:
    text = np.format_float_scientific(value, unique=True, trim="0")
    return f"{text}f"
