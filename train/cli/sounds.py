"""``tinyscene fit --sounds DIR``: train on a folder of class folders with a built-in recipe."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path

from runtime.capture.sorting import NOT_A_CLASS
from runtime.errors import DataError

RECIPE = Path(__file__).parent.parent / "recipes" / "sounds.yaml"
NOISE = 60  # clips of synthetic noise among the negatives
NEGATIVE_SHARE = 0.3  # of the windows
# Of `train.data.Folder`: what finds the name of the recording in the path of a file.
GROUPS = {
    # street_1.wav and street_2.wav, 30226-A.wav and 30226-B.wav; a short number alone is no name
    "name": r"([^/]*?(?:[A-Za-z]|[0-9]{4,}(?![0-9]))[^/]*?|[^/]+)(?:[-_. ]*[0-9]+|[-_. ][A-Za-z])*[.]\w+$",
    "folder": r"/(.+)/[^/]+$",  # LABEL/street/1.wav and LABEL/street/2.wav
}


def expand(arguments: list[str]) -> list[str]:
    """Replace ``--sounds DIR``, ``--group`` and ``--no-groups`` by the options of the recipe.

    The sounds in ``DIR/not_a_class``, where there are any, are negatives.

    Args:
        arguments: of ``python -m train``, the command first.

    Returns:
        The same arguments where ``--sounds`` is not among them.

    Raises:
        DataError: where it is not said which files come from one recording although names suggest it.
    """
    if not any(argument.partition("=")[0] == "--sounds" for argument in arguments):
        return arguments
    parser = argparse.ArgumentParser(prog="tinyscene fit", add_help=False, allow_abbrev=False)
    parser.add_argument("--sounds", required=True, metavar="DIR")
    apart = parser.add_mutually_exclusive_group()
    apart.add_argument("--group", metavar="name | folder | REGEX")
    apart.add_argument("--no-groups", action="store_true")
    options, others = parser.parse_known_args(arguments[1:])
    root = Path(options.sounds)
    group = None if options.no_groups else GROUPS.get(options.group, options.group)
    if group is None and not options.no_groups:
        _refuse_shared_names(root)
    recipe = (
        []
        if any(other.partition("=")[0] in ("--config", "-c") for other in others)
        else [f"--config={RECIPE}"]
    )
    return [
        arguments[0], *recipe, *_corpus(root, group),
        f"--trainer.default_root_dir=runs/{root.resolve().name}", *others,
    ]  # fmt: skip


def _corpus(root: Path, group: str | None) -> list[str]:
    """The options of a folder of class folders, of which one may hold sounds of none of the classes."""
    from train.data.audio_files import find_audio

    negatives = root / NOT_A_CLASS
    filled = negatives.is_dir() and bool(find_audio(negatives, negatives).files)
    folder = "--data.corpus.corpus" if filled else "--data.corpus"
    options = [
        f"{folder}=train.data.Folder",
        f"{folder}.root={root}",
        f"{folder}.group={group}" if group else f"{folder}.no_groups=true",
        f"{folder}.exclude=[{NOT_A_CLASS}]",
    ]
    if not filled:
        return options
    return [
        "--data.corpus=train.data.WithNegatives",
        *options,
        f"--data.corpus.folders=[{json.dumps(str(negatives))}]",
        f"--data.corpus.noise={NOISE}",
        f"--data.negative_share={NEGATIVE_SHARE}",
    ]


def _refuse_shared_names(root: Path) -> None:
    """Raise DataError where two files of a class may be parts of one recording."""
    from train.data import Folder

    folder = Folder(str(root), no_groups=True, exclude=(NOT_A_CLASS,))
    found = shared_name([clip.id for clip in folder.all_clips()])
    if found:
        first, second, name = found
        raise DataError(
            f"{first} and {second} share the name '{name}', and parts of one recording must not be on both "
            "sides of a split: give --group name where files that differ in a number at the end of their "
            "names are one recording, --group folder where those of a sub-folder are, --group REGEX for "
            "other names, or --no-groups where every file is a recording of its own."
        )


def shared_name(files: Iterable[str]) -> tuple[str, str, str] | None:
    """Two files that may be parts of one recording, and the name that they share; None where none do.

    Args:
        files: paths below the folder of class folders, ``LABEL/.../FILE``.
    """
    first: dict[tuple[str, str], str] = {}
    for file in files:
        label = file.partition("/")[0]
        found = re.search(GROUPS["folder"], file) or re.search(GROUPS["name"], file)
        if found is None:
            continue
        other = first.setdefault((label, found[1]), file)
        if other != file:
            return other, file, found[1]
    return None
