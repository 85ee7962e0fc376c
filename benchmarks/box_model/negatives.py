"""Sounds of none of the classes to train on: ``python -m benchmarks.box_model.negatives DIR``.

Fetches Debian packages (``apt-get download``, which needs no administrator; about 2.2 GB) and lays their
sounds out as ``DIR/sounds`` (0 A.D. and Sonic Pi) and ``DIR/effects`` (games, desktops), for ``--negatives``
of ``python -m benchmarks.box_model``. No package is one of those of ``unheard.py``, which are for the test.
Their licences stand in ``/usr/share/doc/PACKAGE/copyright`` of each package.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZipFile

from benchmarks.box_model.unheard import OF_CLASSES, Source, check_found, chosen, copied, unpack
from runtime import entry_point
from runtime.audio.decode import AUDIO_SUFFIXES
from runtime.files import make_folder, write_beside

_SONIC_PI = Source("sonic-pi-samples", "*")
EFFECTS = (
    Source("ardentryst", "*/sounds/*", OF_CLASSES),
    Source("boswars-data", "*/units/*", OF_CLASSES),
    Source("bzflag-data", "*/bzflag/*", OF_CLASSES),
    Source("deepin-sound-theme", "*/stereo/*", OF_CLASSES),
    Source("endless-sky-data", "*/sounds/*", OF_CLASSES),
    Source("extremetuxracer-data", "*/sounds/*", OF_CLASSES),
    Source("frozen-bubble-data", "*/snd/*", (*OF_CLASSES, "*intro*", "*mainzik*", "*frozen*", "*title*")),
    Source("gnome-audio", "*/sounds/*", OF_CLASSES),
    # without its voices
    Source("hedgewars-data", "*/Data/Sounds/[!v]*", OF_CLASSES),
    Source("lbreakout2-data", "*/lbreakout2/*", OF_CLASSES),
    Source("lincity-ng-data", "*/sounds/*", OF_CLASSES),
    Source("marsshooter-data", "*/audio/toon/*", OF_CLASSES),
    Source("pokerth-data", "*/sounds/*", OF_CLASSES),
    Source("scorched3d-data", "*/wav/*", OF_CLASSES),
    Source("trackballs-data", "*/sfx/*", OF_CLASSES),
    Source("tuxmath-data", "*/sounds/*", OF_CLASSES),
    Source("tuxtype-data", "*/sounds/*", OF_CLASSES),
    Source("warmux-data", "*/sound/default/*", OF_CLASSES),
    Source("widelands-data", "*/sound/*", OF_CLASSES),
    Source("yaru-theme-sound", "*/stereo/*", OF_CLASSES),
)


def main(arguments: list[str]) -> int:
    """Fetch and lay out."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.box_model.negatives", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    folder: Path = options.folder / "sounds"
    make_folder(folder)
    for package, sounds in _SOUNDS.items():
        count = 0
        with tempfile.TemporaryDirectory(prefix="negatives-") as temporary:
            unpack(package, Path(temporary))
            for name, file in sounds(Path(temporary) / package):
                with write_beside(folder / name) as partial, partial.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
                count += 1
        check_found(count, package)
        print(f"{folder}: {count} files of {package}")
    count = 0
    for source in EFFECTS:
        with tempfile.TemporaryDirectory(prefix="negatives-") as temporary:
            unpack(source.package, Path(temporary))
            count += copied(source, Path(temporary), options.folder / "effects")
    print(f"{options.folder / 'effects'}: {count} files")
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
