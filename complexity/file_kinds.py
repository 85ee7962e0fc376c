"""What a file is, by its first bytes: for messages about a file of another kind than its name says."""

from __future__ import annotations

import zipfile
from pathlib import Path

from runtime.errors import ModelFileError

_ONNX = "export it to ONNX (torch.onnx.export) and check the .onnx file"
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "it is a PNG picture"),
    (0, b"\xff\xd8\xff", "it is a JPEG picture"),
    (0, b"\x89HDF", "it is an HDF5 file; convert a Keras model to .onnx or .tflite"),
    (0, b"%PDF", "it is a PDF"),
    (0, b"\x1f\x8b", "it is compressed with gzip; unpack it"),
    (0, b"RIFF", "it is a RIFF file, such as WAV audio"),
    (0, b"version https://git-lfs", "it is a Git LFS pointer; run `git lfs pull` to get the file itself"),
    (0, b"\x80\x02", "it is a Python pickle, such as torch.save writes; give a model.pt or an .onnx file"),
    (0, b"<", "it is text (HTML or XML), such as the error page of a download; download it again"),
    (4, b"TFL3", "it is a TFLite model; name it .tflite"),
    (4, b"ORTM", "it is a model in ONNX Runtime's own format (.ort); give the .onnx it was made from"),
)


def read_model(path: Path, *, hint: str) -> bytes:
    """All bytes of a model file.

    Args:
        path: the file.
        hint: what helps where it does not exist.

    Raises:
        ModelFileError: where it does not exist, is a folder, or may not be read.
    """
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder: give the {path.suffix or 'model'} file in it.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"There is no file {path}: {hint}.") from error
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read ({error.strerror}): make it readable, or copy it again."
        ) from error


def identify(path: Path) -> str | None:
    """What the content of a file is, as a clause with the remedy; None where that is not known."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if zipfile.is_zipfile(path):
        return _identify_zip(path)
    for offset, signature, kind in _SIGNATURES:
        if head[offset:].startswith(signature):
            return kind
    if not head:
        return "it is empty"
    return "it is text; give the model itself" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("ascii")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def identify_program(path: Path) -> str | None:
    """Whether a file is a program of torch without its Python class: TorchScript or torch.export.

    Returns:
        A clause that names the kind and the remedy; None where it is neither.
    """
    names = [name.partition("/")[2] or name for name in _names_in_zip(path)]
    if "constants.pkl" in names:
        return f"it is a TorchScript program; {_ONNX}"
    if any(name.startswith(("models/", "serialized_exported_program")) for name in names):
        return f"it is a program of torch.export (.pt2); {_ONNX}"
    return None


def _identify_zip(path: Path) -> str:
    program = identify_program(path)
    if program:
        return program
    if any(name.endswith("data.pkl") for name in _names_in_zip(path)):
        return (
            "it is a file of torch.save; give a model.pt of this project, and of any other network the "
            ".onnx file that torch.onnx.export writes"
        )
    return "it is a zip archive; unpack it and give the model inside"


def _names_in_zip(path: Path) -> list[str]:
    """Names of the files in a zip archive; empty for anything else and for an archive that is damaged."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return []
