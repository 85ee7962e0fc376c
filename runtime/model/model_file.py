"""What an .onnx file is, decided from its bytes before ONNX Runtime sees them.

A walk over the protobuf wire format (https://protobuf.dev/programming-guides/encoding) along the few
messages of onnx.proto3 that matter. It needs no ``onnx`` package, runs nothing of the file, and refuses
tensors that point at other files, operators of other domains, and bytes that changed after export.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from runtime.errors import ModelFileError
from runtime.spec import ModelSpec

# CPython's own SHA-256, which 3.12 renamed: hashlib loads OpenSSL for it, 3 MB of the 65 that a process needs
# that classifies.
_SHA256 = next(import_module(name).sha256 for name in ("_sha2", "_sha256", "hashlib") if find_spec(name))

# A student is half a megabyte, and the largest teachers (AST, BEATs, PaSST) are 365 MB in float32.
MAX_BYTES = 512 * 2**20
SPEC_KEY = "model_spec"
_TORCH_HEAD = b"PK\x03\x04"  # of the zip archive that torch.save writes

_STANDARD_DOMAINS = ("", "ai.onnx")
_MAX_DEPTH = 32  # of nested messages: ONNX graphs inside attributes of nodes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# message -> field number -> message, as far as tensors and nodes can hide (onnx.proto3)
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse_tensor", 23: "sparse_tensor"
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}  # fmt: skip
_GRAPH, _METADATA = 7, 14  # fields of ModelProto
_NODE_DOMAIN, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 7, 13, 14

# The checksum is a StringStringEntryProto {key (1): "sha256", value (2): 64 hexadecimal digits}.
_CHECKSUM_VALUE_BYTES = 64
_CHECKSUM_ENTRY = b"\x0a\x06sha256\x12" + bytes([_CHECKSUM_VALUE_BYTES])
_CHECKSUM_HEAD = (
    bytes([_METADATA << 3 | _BYTES, len(_CHECKSUM_ENTRY) + _CHECKSUM_VALUE_BYTES]) + _CHECKSUM_ENTRY
)
_CHECKSUM_BYTES = len(_CHECKSUM_HEAD) + _CHECKSUM_VALUE_BYTES


@dataclass(frozen=True)
class ModelFile:
    """An .onnx file that passed the checks.

    Attributes:
        path: where it was read, for messages.
        data: its bytes, an ONNX ModelProto.
        spec: what it says about itself.
    """

    path: Path
    data: bytes
    spec: ModelSpec


def read_model(path: str | Path) -> ModelFile:
    """Read an .onnx file and check all that can be checked without running it.

    Raises:
        ModelFileError: where the file is missing, too large, not ONNX, was changed after export, keeps
            weights outside, uses operators of other domains, or carries no readable ModelSpec.
    """
    path = Path(path)
    data = _read_bytes(path)
    if data.startswith(_TORCH_HEAD):
        raise ModelFileError(
            f"{path} is a zip archive, as torch.save writes a model.pt: "
            f"`python -m export onnx {quote(str(path))}` makes an .onnx file of one."
        )
    try:
        metadata = _metadata(data)
        _check_message(memoryview(data), "model")
        _check_checksum(data)
        if SPEC_KEY not in metadata:
            raise ModelFileError(
                "it was not written by this toolkit: it carries no labels and no front end; "
                "export it with `python -m export onnx`"
            )
        return ModelFile(path, data, ModelSpec.from_json(metadata[SPEC_KEY]))
    except _WireError as error:
        raise ModelFileError(
            f"{path} is not an ONNX model: it is damaged, cut short or of another kind."
        ) from error
    except ModelFileError as error:
        raise ModelFileError(f"{path} cannot be used: {str(error).rstrip('.')}.") from error


def append_checksum(data: bytes) -> bytes:
    """Append the SHA-256 of a serialized model to it, as one more entry of its metadata.

    Protobuf lets a repeated field be appended to the end of a message, so the file stays an ONNX model
    and the checksum covers every byte before it. It finds accidents; it does not resist tampering.
    """
    digest: str = _SHA256(data).hexdigest()
    return data + _CHECKSUM_HEAD + digest.encode()


def _check_checksum(data: bytes) -> None:
    """Compare the checksum with the bytes before it; a model without one is taken as it is."""
    body, last = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if last.startswith(_CHECKSUM_HEAD) and append_checksum(body) != data:
        raise ModelFileError("its bytes changed after it was exported; copy or export it again")


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else MAX_BYTES  # of a pipe nobody knows it
            data = file.read(size + 1) if size <= MAX_BYTES else b""  # read() allocates what it is asked for
    except FileNotFoundError as error:
        raise ModelFileError(
            f"There is no model {path}: `python -m export onnx` makes one from a model.pt."
        ) from error
    except OSError as error:
        if path.is_dir():
            raise ModelFileError(
                f"{path} is a folder: name the .onnx file in it, or the library that `make` compiled there."
            ) from error
        raise ModelFileError(f"Cannot read the model {path}: {error.strerror}.") from error
    if max(size, len(data)) > MAX_BYTES:
        raise ModelFileError(
            f"{path} is larger than {MAX_BYTES >> 20} MiB, too large for a student or a teacher: "
            "name an .onnx file that `python -m export onnx` wrote."
        )
    return data


class _WireError(Exception):
    """The bytes are not protobuf, or not the message they should be."""


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walk a message: (field number, varint value or payload)."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag >> 32:  # other readers would drop the upper bits and see another field
            raise _WireError
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise _WireError
        if position + size > len(message):
            raise _WireError
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise _WireError
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _WireError


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata_props of a ModelProto, which must also hold exactly one graph."""
    metadata, graphs = {}, 0
    for field, payload in _fields(memoryview(data)):
        graphs += field == _GRAPH
        if field == _METADATA and isinstance(payload, memoryview):
            entry = {number: text for number, text in _fields(payload) if isinstance(text, memoryview)}
            metadata[_text(entry.get(1))] = _text(entry.get(2))
    if graphs != 1:
        raise _WireError
    return metadata


def _text(payload: memoryview | int | None) -> str:
    if not isinstance(payload, memoryview):
        return ""
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise _WireError from error


def _check_message(message: memoryview, kind: str, depth: int = 0) -> None:
    """Look for external data and operators of other domains in a message and all that it holds."""
    if depth > _MAX_DEPTH:
        raise _WireError
    for field, payload in _fields(message):
        if kind == "tensor" and (
            field == _TENSOR_EXTERNAL_DATA or (field == _TENSOR_DATA_LOCATION and payload != 0)
        ):
            raise ModelFileError("it keeps weights in another file; export it again, as one file")
        if kind == "node" and field == _NODE_DOMAIN:
            domain = _text(payload)
            if domain not in _STANDARD_DOMAINS:
                raise ModelFileError(
                    f"it uses operators of the domain {domain!r}, which is not standard ONNX; export it again"
                )
        child = _CHILDREN[kind].get(field)
        if child is not None:
            if not isinstance(payload, memoryview):
                raise _WireError
            _check_message(payload, child, depth + 1)
