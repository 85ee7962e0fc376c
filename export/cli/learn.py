"""``export learn``: from a folder of sounds to one verified INT8 file."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from export.cli.convert import share
from export.learn.front_end import BRIEF_S
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK, FULL_DISK
from runtime.errors import ConfigError, TinysceneError

_DESCRIPTION = """
SOUNDS holds a folder of recordings for each class (SOUNDS/dog/barn.wav), or is a table with the columns
path and label. Everything between is chosen, printed with the option that changes it, and resumed after an
interruption by the same command. The folder SOUNDS/not_a_class, where there is one, holds sounds of none of
the classes.
"""


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "learn",
        prog="tinyscene learn",  # as `python -m train learn` it would be of another package
        help="from a folder of sounds to one verified .onnx file, with every choice made and printed",
        description=_DESCRIPTION,
    )
    parser.add_argument("sounds", type=Path, metavar="SOUNDS", help="folder of class folders, or a table")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.ONNX")
    _add_data(parser)
    _add_training(parser)
    parser.add_argument(
        "--tolerance", type=share, metavar="SHARE",
        help="of accuracy that INT8 may lose: 0.01 (default) is one point; 1 always writes",
    )  # fmt: skip
    parser.add_argument("--run", type=Path, metavar="DIR", help="intermediate results (default: MODEL_run)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write the page as Markdown with pictures")
    parser.add_argument(
        "--print-recipe", action="store_true",
        help="print the recipe, for `python -m train fit --config`, and train nothing",
    )  # fmt: skip
    parser.set_defaults(command=_run)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--test", type=Path, metavar="DIR|TABLE",
        help="test on these class folders, and train on all of SOUNDS (default: a fifth of the recordings of "
        "each class is held out)",
    )  # fmt: skip
    parser.add_argument(
        "--group", metavar="KIND|REGEX",
        help="what makes files one recording, which is never trained on and tested with: file, name, folder, "
        "time, speaker, or a regular expression that finds the name of the recording (default: as names "
        "suggest)",
    )  # fmt: skip
    parser.add_argument(
        "--negatives", type=Path, action="append", default=[], metavar="DIR",
        help="sounds of none of the classes, beside SOUNDS/not_a_class; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--background", action="append", default=[], metavar="quiet|DIR",
        help="the class background: the quiet parts of the recordings, or the files of a folder; repeatable "
        "(default: the quiet parts where SOUNDS has a single class)",
    )  # fmt: skip
    parser.add_argument(
        "--also", type=Path, action="append", default=[], metavar="DIR",
        help="unlabelled sounds, which the teacher labels; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--despite-findings", action="store_true", help="go on although the check of the sounds finds faults"
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--teacher", type=Path, metavar="FILE",
        help="EfficientAT's mn04_as_mAP_432.pt, or a model.pt of these classes: the network learns from it",
    )  # fmt: skip
    parser.add_argument(
        "--from", type=Path, dest="start", metavar="MODEL.ONNX",
        help="go on from this result of an earlier `learn`; it is replaced where the new one is as good on "
        "the same held-out recordings",
    )  # fmt: skip
    parser.add_argument(
        "--budget", default=argparse.SUPPRESS,
        help="size of the network: dcase2024 (128 K parameters, default), cortex-m4 (14 K) or tiny (6 K)",
    )  # fmt: skip
    parser.add_argument(
        "--frontend", metavar="NAME",
        help="a preset (default: cp_mel, or passt_mel for words and other sounds of less than "
        f"{BRIEF_S} s; either one at 16 or 8 kHz where the files have no more)",
    )  # fmt: skip
    parser.add_argument("--steps", type=_count, metavar="N", help="of the training")
    parser.add_argument(
        "--seed", type=_seed, default=argparse.SUPPRESS, help="of split and training (default 0)"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="KEY=VALUE",
        help="any value of the recipe, such as model.lr=1e-3; repeatable",
    )  # fmt: skip


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of steps: give 1 or more")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is no seed: give 0 or more")
    return value


def _run(arguments: argparse.Namespace) -> int:
    from export.learn.learn import learn
    from export.learn.options import Options

    values: dict[str, Any] = {n: value for n, value in vars(arguments).items() if n != "command"}
    values["changes"] = tuple(_pair(text) for text in values["changes"])
    values |= {name: tuple(values[name]) for name in ("negatives", "background", "also")}
    options = Options(**values)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            learned = learn(options, lambda line: print(line, file=sys.stderr, flush=True))
    except (OSError, RuntimeError) as error:
        if not _is_of_a_full_disk(error):
            raise
        raise TinysceneError(
            f"Cannot write into {options.all_runs}: the disk is full, or it was taken away; make room, and "
            "give the same command again."
        ) from error
    print(learned.text)
    return EXIT_OK if learned.replaced else EXIT_NEGATIVE


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """The sentence alone, without the line of the source that Python shows with it."""
    from tqdm import tqdm

    tqdm.write(f"{'remark':13} {message}", file=sys.stderr)


def _is_of_a_full_disk(error: OSError | RuntimeError) -> bool:
    """Whether nothing more could be written; torch.save says so in no other way."""
    if isinstance(error, OSError):
        return error.errno in FULL_DISK
    return any(name in str(error) for name in ("PytorchStreamWriter", "inline_container.cc"))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text} is not KEY=VALUE: write e.g. --set model.lr=1e-3.")
    return key, value
