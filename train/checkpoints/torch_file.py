"""Files of ``torch.save``: what a file is, and how it is read without running any code in it."""

from __future__ import annotations

import pickle
import struct
import tarfile
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from runtime.errors import ModelFileError

_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before torch 1.6
# First bytes of files that are taken for checkpoints, what they are, and the remedy.
_SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer and not the file itself: run `git lfs pull`"),
    (b"<", "an HTML or XML page and not a file of weights: download the file itself"),
    (b"\x89HDF", "an HDF5 file (of Keras, or a logit store): give a file of torch.save"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"\x08", "an ONNX file or of another kind: give the file of torch.save that it was exported from"),
    (b"\x80", "a Python pickle that torch.save did not write, so it was not read: save it with torch.save"),
)
_UNREADABLE = (
    pickle.UnpicklingError, EOFError, RuntimeError, KeyError, ValueError, TypeError, IndexError,
    AttributeError, AssertionError, OverflowError, MemoryError, OSError, NameError, struct.error,
)  # fmt: skip


def check_kind(path: Path, *, hint: str) -> None:
    """Make sure that a file is one of ``torch.save``, zip or legacy.

    Args:
        path: the file.
        hint: what helps where it does not exist.

    Raises:
        ModelFileError: naming what it is instead.
    """
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder: give the file in it.")
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}: {hint}.")
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(b"PK"):
        _check_zip(path)
    elif head and tarfile.is_tarfile(path):  # also of torch before 0.2; torch would unpack it
        raise ModelFileError(f"{path} is a tar archive: unpack it and give the file of torch.save in it.")
    elif not head.startswith(_LEGACY_MAGIC):
        raise ModelFileError(f"{path} is {_describe(head)}.")


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise ModelFileError(
            f"{path} is a zip archive that is damaged or cut short ({error}): copy it again."
        ) from error
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise ModelFileError(
            f"{path} is a TorchScript program, code and weights in one: save its weights with "
            f"`torch.save(torch.jit.load('{path.name}').state_dict(), 'weights.pt')` and give that file."
        )
    if "archive_format" in ends or "serialized_exported_program.json" in ends:
        raise ModelFileError(
            f"{path} is an exported program of torch.export (.pt2): save its weights with "
            f"`torch.save(torch.export.load('{path.name}').state_dict, 'weights.pt')` and give that file."
        )
    if "data.pkl" not in ends:
        raise ModelFileError(f"{path} is a zip archive that torch.save did not write: unpack it first.")


def _describe(head: bytes) -> str:
    if not head:
        return "empty: copy it again"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "a safetensors file: write its tensors with torch.save(safetensors.torch.load_file(...), ...)"
    for signature, description in _SIGNATURES:
        if head.startswith(signature):
            return description
    return "no file of torch.save (neither a zip archive nor a legacy one): give the file that holds weights"


class ForeignFileError(ModelFileError):
    """A file of torch.save that may hold the weights of any network, and is no model.pt."""


def read_plain(path: Path, remedy: str = "`python -m train import` takes the tensors out of it") -> Any:
    """Read a file of plain values and tensors; one with other Python objects is refused.

    Args:
        path: the file.
        remedy: what to do about other Python objects.

    Raises:
        ForeignFileError: where it holds pickled objects.
        ModelFileError: where it is of another kind, or cannot be read.
    """
    check_kind(path, hint="`python -m train fit` makes a model.pt")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ForeignFileError(
            f"{path} holds pickled Python objects, which could run code on reading, so it was not read: "
            f"{remedy}."
        ) from error
    except _UNREADABLE as error:
        raise ModelFileError(_unreadable(path, error)) from error


class TensorFile(NamedTuple):
    """The contents of a file of which only tensors and plain values were read.

    Attributes:
        values: as saved; an object of any other class is an `Opaque`.
        unread: qualified names of these classes and functions, e.g. ``argparse.Namespace``.
    """

    values: Any
    unread: tuple[str, ...]


def read_tensors(path: Path) -> TensorFile:
    """Read the tensors and plain values of a file, and no other object of it.

    The unpickler resolves no name but the few that tensors consist of; all others become inert stand-ins,
    so nothing of the file's choice is imported or called.

    Raises:
        ModelFileError: where the file is of another kind or cannot be read.
    """
    check_kind(path, hint="name the file of weights, as it was downloaded or saved")
    unread: set[str] = set()

    class Unpickler(_TensorUnpickler):
        names = unread

    def load(file: IO[bytes], **options: Any) -> Any:
        return Unpickler(file, **options).load()

    restricted = types.SimpleNamespace(Unpickler=Unpickler, load=load, __name__="restricted")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about the source code of pickled modules
            values = torch.load(path, map_location="cpu", weights_only=False, pickle_module=restricted)
    except _UNREADABLE as error:
        raise ModelFileError(_unreadable(path, error)) from error
    return TensorFile(values, tuple(sorted(unread)))


def _unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return f"{path} cannot be read by torch ({reason}): it was damaged or cut short; copy it again."


class Opaque:
    """Stands in for an object whose class is not read.

    Attributes:
        state: what its ``__setstate__`` or ``__dict__`` would have been given.
    """

    state: Any = None

    def __new__(cls, *args: Any, **options: Any) -> Opaque:  # noqa: D102
        return object.__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Items of a dict-like object are not retained."""

    def append(self, value: Any) -> None:
        """Items of a list-like object are not retained."""

    extend = append


class _Rebuild:
    """Calls one function of torch that builds a tensor; unlike a function it has no attributes to set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle that sets attributes of a function")


_ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "torch._utils._rebuild_tensor": _Rebuild(torch._utils._rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": _Rebuild(torch._utils._rebuild_tensor_v2),
    "torch._utils._rebuild_parameter": _Rebuild(torch._utils._rebuild_parameter),
    "torch._utils._rebuild_qtensor": _Rebuild(torch._utils._rebuild_qtensor),
    "torch.serialization._get_layout": _Rebuild(torch.serialization._get_layout),
}
_ALLOWED |= {f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_ALLOWED |= {
    f"torch.{name}": getattr(torch, name)
    for name in ("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric")
}


# The unpickler in Python, not the one in C: that one allocates as many places as the greatest memo index that
# a damaged file names (22 GB for one changed byte), where this one has a dictionary.
class _TensorUnpickler(pickle._Unpickler):
    names: set[str]

    def find_class(self, module: str, name: str) -> Any:
        """An allowed object of torch, or a new stand-in."""
        qualified = f"{module}.{name}"
        if qualified in _ALLOWED:
            return _ALLOWED[qualified]
        self.names.add(qualified)
        return type(name.rpartition(".")[2] or "Opaque", (Opaque,), {"__module__": module})
