"""Sounds of none of the classes to train on: ``python -m benchmarks.box_model.negatives DIR``.

Fetches the Debian packages of 0 A.D. and of Sonic Pi's samples (``apt-get download``, which needs no
administrator; 1.4 GB) and lays their sounds out in DIR, for ``--negatives`` of ``python -m
benchmarks.box_model``. Their licences (CC BY-SA 3.0, CC0) stand in ``/usr/share/doc/PACKAGE/copyright``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZipFile

from benchmarks.box_model.unheard import Source, chosen, unpack
from runtime import entry_point
from runtime.audio.decode import AUDIO_SUFFIXES
from runtime.errors import TinysceneError
from runtime.files import make_folder, write_beside

_SONIC_PI = Source("sonic-pi-samples", "*")


def main(arguments: list[str]) -> int:
    """Fetch and lay out."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.box_model.negatives", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder: Path = parser.parse_args(arguments).folder
    make_folder(folder)
    for package, sounds in _SOUNDS.items():
        count = 0
        with tempfile.TemporaryDirectory(prefix="negatives-") as temporary:
            unpack(package, Path(temporary))
            for name, file in sounds(Path(temporary) / package):
                with write_beside(folder / name) as partial, partial.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
                count += 1
        if not count:
            raise TinysceneError(
                f"{package} of this release of Debian has its sounds elsewhere: take that of bookworm."
            )
        print(f"{folder}: {count} files of {package}")
    return entry_point.EXIT_OK


def _of_0ad(unpacked: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the open file of each sound: they lie in an archive."""
    for archive in unpacked.rglob("*.zip"):
        with ZipFile(archive) as members:
            for member in members.namelist():
                if member.startswith("audio/") and Path(member).suffix.lower() in AUDIO_SUFFIXES:
                    with members.open(member) as file:
                        yield member.removeprefix("audio/").replace("/", "_"), file


def _of_sonic_pi(unpacked: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the open file of each sound."""
    for path in chosen(_SONIC_PI, unpacked.rglob("*")):
        with path.open("rb") as file:
            yield f"sonicpi_{path.name}", file


_SOUNDS = {"0ad-data": _of_0ad, _SONIC_PI.package: _of_sonic_pi}


if __name__ == "__main__":
    entry_point.run(main)
