"""Text in the encodings that spreadsheets and editors write."""

from __future__ import annotations

import codecs
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from runtime.errors import DataError

_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_WORKBOOKS = {  # first bytes of files that are taken for tables
    b"PK\x03\x04": "an Excel or LibreOffice workbook: save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as CSV",
    b"\x1f\x8b": "compressed: unpack it with gunzip",
    b"PAR1": "a Parquet file: write it as CSV",
}


def read_text(path: Path, remedy: str) -> str:
    """The text of a file: UTF-8, UTF-16 and UTF-32, or Windows-1252 with a warning where it is neither.

    Args:
        path: the file.
        remedy: what to do where it is missing or empty, e.g. "get it from ...".

    Raises:
        DataError: where it is missing, empty or no text.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder and not a table: {remedy}.")
    if not path.is_file():
        raise DataError(f"There is no table {path}: {remedy}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read the table {path}: {error.strerror}.") from error
    text = _decode(path, data)
    if not text.strip():
        raise DataError(f"The table {path} is empty: {remedy}.")
    return text


def _decode(path: Path, data: bytes) -> str:
    for begin, what in _WORKBOOKS.items():
        if data.startswith(begin):
            raise DataError(f"{path} is no table of text but {what}.")
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _unmarked(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise DataError(f"{path} begins as {encoding.upper()} but is not: save it as UTF-8.") from error
        text = _windows(path, data, error)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} holds a NUL byte in row {line}: it is damaged or no text; save it as UTF-8.")
    return text


def _unmarked(data: bytes) -> str:
    """UTF-16 without a byte order mark, by where its zeros are; UTF-8 otherwise."""
    head = data[:200]
    zeros = [head[start::2].count(0) / max(len(head) // 2, 1) for start in (0, 1)]
    if max(zeros) > 0.5 > 5 * min(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8"


def _windows(path: Path, data: bytes, error: UnicodeDecodeError) -> str:
    """A file of an older editor on Windows."""
    line = data[: error.start].count(b"\n") + 1
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as other:
        line = data[: other.start].count(b"\n") + 1
        raise DataError(f"{path}, row {line}, is not UTF-8, nor Windows-1252: save it as UTF-8.") from other
    rank_zero_warn(
        f"{path} is not UTF-8 (row {line}) and was read as Windows-1252 (Latin-1), where that row is: "
        f"{text.splitlines()[line - 1]}"
    )
    return text
