"""``python -m runtime``: reads the arguments of its commands and starts one of them."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from contextlib import nullcontext
from typing import Any

from runtime.archive.formats import FORMATS as TABLE_FORMATS
from runtime.cli.arguments import add_event_rules, add_events, add_json, add_model
from runtime.cli.standard_output import json_alone
from runtime.entry_point import program
from runtime.live.overload import DEFAULT_HOP_S

_MODULES = {  # imported once the command is known: numpy, scipy and onnxruntime take half a second
    "classify": "runtime.cli.classify",
    "listen": "runtime.cli.microphone.listen",
    "devices": "runtime.cli.microphone.devices",
    "doctor": "runtime.cli.doctor",
    "serve": "runtime.cli.serve",
    "record": "runtime.cli.microphone.record",
    "sort": "runtime.cli.microphone.sort",
}
_FORMATS = (
    "u8",
    "s16",
    "s24",
    "s24_32",
    "s32",
    "f32",
    "f64",
    "alaw",
    "mulaw",
)  # of runtime.devices.sample_format


def main(arguments: list[str]) -> int:
    """Run one command."""
    warnings.showwarning = _print_warning
    parsed = _parser().parse_args(arguments)
    command = getattr(importlib.import_module(_MODULES[parsed.command]), parsed.command)
    with json_alone() if getattr(parsed, "json", False) else nullcontext():
        code: int = command(parsed)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("runtime"), description="Classify audio files and live audio; nothing is sent anywhere."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_classify(commands.add_parser("classify", help="classify audio files and folders"))
    _add_listen(commands.add_parser("listen", help="classify a microphone, a pipe or a file live"))
    _add_serve(commands.add_parser("serve", help="show live results on a page, for other devices, too"))
    _add_record(commands.add_parser("record", help="fill a class folder with clips from a microphone"))
    _add_sort(commands.add_parser("sort", help="move captures of `listen --capture` into class folders"))
    add_json(commands.add_parser("devices", help="list the microphones"))
    doctor = commands.add_parser("doctor", help="check what `listen` needs, and measure its speed")
    doctor.add_argument(
        "--model", action="append", metavar="M",
        help="an .onnx file; may be given again, as to compare INT8 with `export onnx --quantize none`",
    )  # fmt: skip
    add_json(doctor)
    return parser


def _add_classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="what libsndfile reads, such as wav, flac, ogg or mp3; or a folder",
    )
    add_model(parser)
    add_json(parser)
    parser.add_argument("--hop", type=float, metavar="S", help="seconds between windows (a window's length)")
    add_events(parser)
    _add_table(parser)


def _add_table(parser: argparse.ArgumentParser) -> None:
    table = parser.add_argument_group(
        "tables",
        "of many recordings, classified in parallel; a command that was killed goes on where it was, and it "
        "exits with 1 where files could not be classified",
    )
    table.add_argument(
        "-o", "--output", metavar="OUT", help="write table.csv, .jsonl, .parquet or .selections.txt (Raven)"
    )
    table.add_argument(
        "--format",
        choices=TABLE_FORMATS,
        help="by the ending of OUT; audacity makes OUT a folder of label tracks",
    )
    table.add_argument("--clips", action="store_true", help="a row for every file, not for every window")
    table.add_argument("--scores", action="store_true", help="the scores of all labels, too")
    table.add_argument("--jobs", type=int, metavar="N", help="processes (as many as there are cores)")
    table.add_argument("--shard", metavar="I/N", help="only part I of N; without it, put the parts together")
    table.add_argument("--engine", choices=("processes", "ray"), help="where to classify (processes)")


def _add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="- for stdin (WAV, or PCM without a header), a file, a microphone",
    )
    parser.add_argument("--input", action="append", metavar="INPUT", help="one more input")
    parser.add_argument("--device", metavar="NAME", help="part of a microphone's name")
    add_model(parser)
    add_json(parser)
    parser.add_argument(
        "--hop", type=float, default=DEFAULT_HOP_S, metavar="S", help="seconds between windows (%(default)s)"
    )
    parser.add_argument("--top", type=int, default=3, metavar="N", help="labels to show (%(default)s)")
    parser.add_argument("--record", metavar="DIR", help="record what is classified as wav files")
    parser.add_argument(
        "--record-limit", type=float, default=100, metavar="MB", help="of all recordings (%(default)s)"
    )
    _add_capture(parser)
    add_events(parser)
    _add_pcm(parser, rate="the model's")


def _add_capture(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--capture", metavar="DIR", help="store the sound around events and close misses, for `sort`"
    )
    parser.add_argument(
        "--capture-mb", type=float, default=100, metavar="MB", help="of it; the oldest goes (%(default)s)"
    )


def _add_pcm(parser: argparse.ArgumentParser, rate: str) -> None:
    pcm = parser.add_argument_group("PCM on stdin", "taken from a WAV header; without one:")
    pcm.add_argument("--raw", action="store_true", help="take all bytes as samples, whatever they look like")
    pcm.add_argument("--rate", type=int, metavar="HZ", help=f"sample rate ({rate})")
    pcm.add_argument("--channels", type=int, metavar="N", help="interleaved (1)")
    pcm.add_argument(
        "--format", choices=_FORMATS,
        help="little-endian (s16); s24 is ALSA's S24_3LE, s24_32 its S24_LE: 24 bits in 32",
    )  # fmt: skip


def _add_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("label", metavar="LABEL", help="the class: name of the folder that is filled")
    parser.add_argument(
        "--source", "--device", metavar="S",
        help="part of a microphone's name, a file, or - for stdin (the default microphone)",
    )  # fmt: skip
    parser.add_argument(
        "--into", default=".", metavar="DIR", help="where the folders of all classes are (this folder)"
    )
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of a take (%(default)g)")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="takes (%(default)s)")
    parser.add_argument("--pause", type=float, metavar="S", help="before each take (2; of a file 0)")
    parser.add_argument("--channel", type=int, metavar="C", help="this channel, from 0; else their mean")
    _add_pcm(parser, rate="48000")


def _add_sort(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captures", metavar="DIR", help="the folder that `listen --capture` filled")
    parser.add_argument("sounds", metavar="SOUNDS", help="where the folders of all classes are")
    parser.add_argument("--mute", action="store_true", help="play a capture only on the key p")
    files = parser.add_argument_group("without questions")
    files.add_argument(
        "--as", dest="as_class", action="append", nargs="+", metavar=("LABEL", "FILE"),
        help="move these captures into the folder of a class",
    )  # fmt: skip
    files.add_argument(
        "--not-a-class", action="append", nargs="+", metavar="FILE",
        help="move these into not_a_class: sounds of no class, which `learn` takes as negatives",
    )  # fmt: skip


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--source", default="mic", metavar="S",
        help="mic, mic:NAME (part of a name), a file, or browser: only what browsers send (mic)",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen at (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8765, metavar="N", help="0 takes a free one (%(default)s)"
    )
    parser.add_argument(
        "--hop", type=float, default=DEFAULT_HOP_S, metavar="S", help="seconds between windows"
    )
    parser.add_argument("--log", metavar="FILE", help="write events into this SQLite file (memory)")
    parser.add_argument("--log-limit", type=float, default=20, metavar="MB", help="of the log (%(default)s)")
    parser.add_argument("--record", metavar="DIR", help="record the server's own input as wav files")
    parser.add_argument(
        "--record-limit", type=float, default=100, metavar="MB", help="of all recordings (%(default)s)"
    )
    _add_capture(parser)
    parser.add_argument(
        "--sounds", default="sounds", metavar="DIR", help="where the page sorts captures to (%(default)s)"
    )
    parser.add_argument("--clients", type=int, default=64, metavar="N", help="at a time (%(default)s)")
    add_event_rules(parser)
    access = parser.add_argument_group("access from other machines")
    access.add_argument("--token", metavar="T", help="asked for by the page (environment: TINYSCENE_TOKEN)")
    access.add_argument("--insecure", action="store_true", help="serve other machines without a token")
    access.add_argument(
        "--name", action="append", metavar="HOST", help="one more name the page is reached by"
    )
    access.add_argument(
        "--certificate", metavar="PEM", help="TLS, which browsers ask for before a microphone"
    )
    access.add_argument("--key", metavar="PEM", help="private key of the certificate, if in another file")
    mqtt = parser.add_argument_group("MQTT", "with discovery for Home Assistant")
    mqtt.add_argument(
        "--mqtt", metavar="URL", help="mqtt://[USER:PASSWORD@]HOST (environment: TINYSCENE_MQTT)"
    )
    mqtt.add_argument("--mqtt-name", metavar="NAME", help="of this machine in topics (its host name)")


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A sentence, without the place in the code."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
