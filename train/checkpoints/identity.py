"""Name and checksum of a file, for the provenance of what was made from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHECKSUM = "sha256"  # key of `describe_file`
_BLOCK = 1 << 20  # bytes


def describe_file(path: str | Path) -> dict[str, str]:
    """The file's name without folders and its SHA-256, as JSON values."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return {"file": Path(path).name, CHECKSUM: digest.hexdigest()}
