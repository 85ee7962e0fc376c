"""Hours of sounds of none of the classes: ``python -m benchmarks.box_model.unheard DIR``.

Fetches Debian packages of games and of programs for children (``apt-get download``, which needs no
administrator; about 1.8 GB) and lays their sounds out as ``DIR/speech``, ``DIR/music`` and ``DIR/other
sounds``, for ``python -m benchmarks.box_model crossvalidate --unheard DIR``. No training hears them. Their
licences (GPL, CC BY-SA and others) stand in ``/usr/share/doc/PACKAGE/copyright`` of each package.
"""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime import entry_point
from runtime.audio.decode import AUDIO_SUFFIXES
from runtime.audio.read import read_recording
from runtime.errors import AudioError, TinysceneError
from runtime.files import make_folder, write_beside

_RATE = 32_000  # Hz, that files are read at to see whether they can be


@dataclass(frozen=True)
class Source:
    """Sounds of a package.

    Attributes:
        package: of Debian.
        files: pattern of the paths that are taken.
        exclude: patterns of the names that are not: sounds that may be of a class, or speech and music
            where other sounds are asked for.
    """

    package: str
    files: str
    exclude: tuple[str, ...] = ()


_FIRE_AND_WATER = (
    "*fire*", "*flame*", "*torch*", "*burn*", "*fuse*", "*water*", "*wave*", "*rain*", "*thunder*",
)  # fmt: skip
_BURSTS = ("*lightning*", "*fizz*", "*sizzle*", "*splash*", "*lava*", "*explosion*", "*pshit*")
_NO_WORDS = ("beep*", "*tone.wav", "*monkeys*")
# sounds that may be of a class
OF_CLASSES = (
    *_FIRE_AND_WATER,
    "*dog*", "*wolf*", "*coyote*", "*rooster*", "*storm*", "*shower*", "*lake*", "*harbor*", "*splash*",
    "*sink*", "*swim*", "*embers*", "*furnace*", "*napalm*", "*molotov*", "*fizzle*", "*sizzl*", "*fuze*",
    "*baby*", "*cry*", "*scream*", "*sneez*", "*tick*", "*tock*", "*clock*", "*count*", "*time*",
    "*typewriter*", "*heli*", "*chopper*", "*apache*", "*saw*", "*engine*", "*lightning*", "*farm*",
    "*bubble*",
    # a street with dogs, gardens with a brook or a mower, a flight
    "*shanty*", "*residential*", "*parkland*", "*fight4life*",
)  # fmt: skip
# folder to where its sounds come from
SOURCES: Mapping[str, tuple[Source, ...]] = {
    # words and letters in some thirty languages
    "speech": (
        Source("tuxpaint-stamps-default", "*/stamps/*_desc*.ogg", ("*dog*", "*rooster*", "*baby*")),
        Source("klettres-data", "*/klettres/*.ogg"),
        # the voices of a telephone exchange
        *(
            Source(f"asterisk-core-sounds-{language}-wav", "*/asterisk/*.wav", _NO_WORDS)
            for language in ("en", "es", "fr", "it", "ru")
        ),
    ),
    "music": (
        Source("wesnoth-1.16-music", "*/music/*.ogg"),
        Source("supertux-data", "*/music/*.ogg"),
        Source("unknown-horizons", "*/audio/music/*.ogg"),
        Source("warzone2100-music", "*/music/*.opus"),
        Source("megaglest-data", "*/music/*.ogg"),
        Source("asterisk-moh-opsound-wav", "*/moh/*.wav"),
    ),
    "other sounds": (
        Source(
            "wesnoth-1.16-data", "*/sounds/*",
            (
                *_FIRE_AND_WATER, "*lightning*", "*ship*", "*rumble*", "*timer*", "*wolf*", "*hiss*",
                "*drake*", "*ink*",
            ),
        ),
        Source("freedroid-data", "*/sound/*", (*_FIRE_AND_WATER, "*paradroid*", "*clock*")),
        Source("supertux-data", "*/sounds/*", (*_FIRE_AND_WATER, *_BURSTS, "*saw*", "*ticking*")),
        # `ack`, `select` and `die` are voices, `orni` is an engine with wings
        Source(
            "megaglest-data", "*/commondata/sounds/*",
            (*_FIRE_AND_WATER, "*_ack*", "*_select*", "*_die*", "*dragon*", "*daemon*", "*orni*"),
        ),
        Source("unknown-horizons", "*/audio/sounds/*", ("*sheep*", "*ship*")),
        Source("sound-theme-freedesktop", "*/stereo/*", ("*clock*", "*channel*")),
        Source("oxygen-sounds", "*/sounds/*"),
        # without its folder of ambient sounds
        Source("btanks-data", "*/sounds/[!a]*", OF_CLASSES),
        Source("bucklespring-data", "*/wav/*"),
        Source("caveexpress-data", "*/sounds/*", (*OF_CLASSES, "*drown*", "*geyser*", "cave[12]*", "music*")),
        Source("crossfire-client", "*/sounds/*", (*OF_CLASSES, "drip*")),
        # without its music
        Source("etw-data", "*/etw/[acis]*", OF_CLASSES),
        # merchants speak
        Source("flare-game", "*/soundfx/*", (*OF_CLASSES, "*merchant*", "*river*", "*droplets*")),
        Source("freeorion-data", "*/sound/*", (*OF_CLASSES, "artificial*")),
        Source("heroes-sound-effects", "*/sfx/*", OF_CLASSES),
        # without its folder of water
        Source("krank", "*/sounds/[ims]*", OF_CLASSES),
        Source("lomiri-sounds", "*/notifications/*"),
        Source(
            "lugaru-data", "*/Sounds/*",
            (*OF_CLASSES, "*bark*", "*growl*", "*snarl*", "music*", "*ambient*"),
        ),
        Source("minetest-data", "*/sounds/*", (*OF_CLASSES, "*lava*", "*gunpowder*", "*ignite*")),
        # orders to units are spoken
        Source(
            "netpanzer-data", "*/sound/*", (*OF_CLASSES, "*select*", "move_*", "target_*", "yessir*")
        ),
        Source("plee-the-bear-data", "*/sound/*", OF_CLASSES),
        # animals, effects, electronics, people and drums, without loops of music, instruments and singing
        Source("scratch", "*/Sounds/[AEHP]*", (*OF_CLASSES, "*ripples*", "*plunge*")),
        Source(
            "triplea", "*/sounds/*",
            (
                *OF_CLASSES, "*_sea_*", "*flyby*", "*anthem*", "*theme*", "*music*", "*march*", "*overture*",
                "*lotr*", "*gladiator*", "*colosseum*", "*epic*", "*enfants*",
            ),
        ),
        Source(
            "wordwarvi-sound", "*/sounds/*",
            (
                *OF_CLASSES, "*source*", "*help*", "*hoho*", "*nice*", "*ow_my*", "*santa*", "*exhaust*",
                "lucky*", "dtox*", "destiny*", "*music*",
            ),
        ),
        Source("workrave-data", "*/workrave/*"),
        Source("zaz-data", "*/zaz/*", (*OF_CLASSES, "mus*")),
    ),
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Fetch and lay out."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.box_model.unheard", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    packages = sorted({source.package for sources in SOURCES.values() for source in sources})
    with tempfile.TemporaryDirectory(prefix="unheard-") as temporary:
        for package in packages:
            unpack(package, Path(temporary))
        for folder, sources in SOURCES.items():
            count = sum(copied(source, Path(temporary), options.folder / folder) for source in sources)
            print(f"{options.folder / folder}: {count} files")
    return entry_point.EXIT_OK


def unpack(package: str, folder: Path) -> None:
    """Fetch a package of Debian and unpack it into a folder of its name in ``folder``.

    Raises:
        TinysceneError: where that fails.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise TinysceneError(f"There is no {tool}: run this on Debian or Ubuntu.")
    fetched = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=False)
    archives = list(folder.glob(f"{package}_*.deb"))
    if fetched.returncode or not archives:
        raise TinysceneError(f"apt-get could not download {package}: run `apt-get update`, or see above.")
    unpacked = subprocess.run(["dpkg-deb", "-x", archives[0].name, package], cwd=folder, check=False)
    if unpacked.returncode:
        raise TinysceneError(f"dpkg-deb could not unpack {package}: see above; is the disk full?")
    archives[0].unlink()


def chosen(source: Source, paths: Iterator[Path]) -> list[Path]:
    """The files of a source among paths, in the order of their names."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in AUDIO_SUFFIXES
        and fnmatch.fnmatch(str(path), source.files)
        and not any(fnmatch.fnmatch(path.name.lower(), pattern) for pattern in source.exclude)
    )


def copied(source: Source, unpacked: Path, target: Path) -> int:
    """Copy the files of a source that can be read; returns their number.

    Raises:
        TinysceneError: where there is none.
    """
    root, count = unpacked / source.package / "usr" / "share", 0
    make_folder(target)
    for path in chosen(source, (path for path in root.rglob("*") if path.is_file())):
        try:
            read_recording(path, _RATE)
        except AudioError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        with write_beside(target / "_".join(path.relative_to(root).parts)) as partial:
            shutil.copyfile(path, partial)
        count += 1
    check_found(count, source.package)
    return count


def check_found(count: int, package: str) -> None:
    """Raise TinysceneError where no sound of a package was found."""
    if not count:
        raise TinysceneError(
            f"{package} of this release of Debian has its sounds elsewhere: take that of bookworm."
        )


if __name__ == "__main__":
    entry_point.run(main)
