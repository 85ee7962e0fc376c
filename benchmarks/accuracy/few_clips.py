"""ESC-10 as class folders, for trials of `learn`: ``python -m benchmarks.accuracy.few_clips DIR --draw N``.

Links the clips of ESC10_DIR into ``DIR/fewN`` (eight of each class, drawn at random from folds 1 to 3),
``DIR/folds123`` (all of these folds) and ``DIR/fold4`` (to test on).
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from runtime import entry_point
from runtime.errors import TinysceneError
from runtime.files import make_folder
from train.data import ESC50

CLIPS = 8  # of a class
_LEARN, _TEST = (1, 2, 3), (4,)


def main(arguments: list[str]) -> int:
    """Lay the folders out; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.few_clips", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="to write")
    parser.add_argument("--draw", type=int, default=0, metavar="N", help="seeds the choice; default 0")
    options = parser.parse_args(arguments)
    every, test = _of_class(_LEARN), _of_class(_TEST)
    few = {
        label: random.Random(f"{options.draw}{label}").sample(paths, CLIPS) for label, paths in every.items()
    }
    for name, clips in ((f"few{options.draw}", few), ("folds123", every), ("fold4", test)):
        _link(options.folder / name, clips)
    return entry_point.EXIT_OK


def _of_class(folds: Sequence[int]) -> dict[str, list[Path]]:
    """Files of each label, by name."""
    corpus = ESC50(esc10=True, train_folds=folds, val_folds=[], test_folds=[])
    found: dict[str, list[Path]] = defaultdict(list)
    for clip in corpus.clips("train"):
        found[corpus.labels[clip.target]].append(corpus.path(clip))
    return {label: sorted(paths) for label, paths in found.items()}


def _link(folder: Path, clips: dict[str, list[Path]]) -> None:
    for label, paths in clips.items():
        of_label = folder / label.replace("_", " ")
        make_folder(of_label)
        for path in paths:
            link = of_label / path.name
            if link.is_symlink() or link.exists():
                continue
            try:
                link.symlink_to(path.resolve())
            except OSError as error:
                raise TinysceneError(f"Cannot link {link}: {error.strerror}.") from error


if __name__ == "__main__":
    entry_point.run(main)
