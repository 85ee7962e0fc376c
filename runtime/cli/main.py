"""``python -m runtime``: classify files, listen to microphones, find out what is wrong."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from typing import Any

from runtime.live.overload import DEFAULT_HOP_S

_MODULES = {  # imported once the command is known: numpy, scipy and onnxruntime take half a second
    "classify": "runtime.cli.classify",
    "listen": "runtime.cli.listen",
    "devices": "runtime.cli.doctor",
    "doctor": "runtime.cli.doctor",
}


def main(arguments: list[str]) -> int:
    """Run one command."""
    warnings.showwarning = _say_warning
    parsed = _parser().parse_args(arguments)
    command = getattr(importlib.import_module(_MODULES[parsed.command]), parsed.command)
    code: int = command(parsed)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime", description="Hear what goes on.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_classify(commands.add_parser("classify", help="label audio files"))
    _add_listen(commands.add_parser("listen", help="label what a microphone hears"))
    _add_json(commands.add_parser("devices", help="list the microphones"))
    doctor = commands.add_parser("doctor", help="check what listening needs, and measure")
    doctor.add_argument(
        "--model", action="append", metavar="M",
        help="an .onnx file; may be given again, as to compare INT8 with `export onnx --quantize none`",
    )  # fmt: skip
    _add_json(doctor)
    return parser


def _add_classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="wav, flac, ogg or mp3")
    _add_common(parser)
    parser.add_argument("--hop", type=float, metavar="S", help="seconds between windows (a window's length)")


def _add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="- for PCM on stdin, a file, a microphone")
    parser.add_argument("--input", action="append", metavar="INPUT", help="one more input")
    parser.add_argument("--device", metavar="NAME", help="part of a microphone's name")
    _add_common(parser)
    parser.add_argument(
        "--hop", type=float, default=DEFAULT_HOP_S, metavar="S", help="seconds between answers (%(default)s)"
    )
    parser.add_argument("--top", type=int, default=3, metavar="N", help="labels to show (%(default)s)")
    parser.add_argument("--record", metavar="DIR", help="keep the sound as wav files")
    parser.add_argument(
        "--record-limit", type=float, default=100, metavar="MB", help="of all that is kept (%(default)s)"
    )
    pcm = parser.add_argument_group("PCM on stdin")
    pcm.add_argument("--rate", type=int, metavar="HZ", help="sample rate (the model's)")
    pcm.add_argument("--channels", type=int, default=1, metavar="N", help="interleaved (%(default)s)")
    pcm.add_argument(
        "--format", choices=("s16", "s32", "f32"), default="s16", help="little-endian (%(default)s)"
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="an .onnx file; the model in the box by default")
    _add_json(parser)
    parser.add_argument("--channel", type=int, metavar="C", help="hear this channel, from 0; else their mean")
    parser.add_argument("--temperature", type=float, metavar="T", help="divide logits by it (the model's)")
    events = parser.add_argument_group("events")
    events.add_argument("--events", action="store_true", help="print what begins and ends, not every window")
    events.add_argument(
        "--threshold", action="append", metavar="[LABEL=]P", help="begin from this probability (the model's)"
    )
    events.add_argument("--smooth", dest="smoothing_s", type=float, metavar="S", help="time constant (0.5)")
    events.add_argument(
        "--min-duration", dest="min_duration_s", type=float, metavar="S", help="shortest (0.5)"
    )
    events.add_argument("--cooldown", dest="cooldown_s", type=float, metavar="S", help="pause after (1)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A sentence, without the place in the code."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
