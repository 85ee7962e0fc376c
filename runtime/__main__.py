"""``python -m runtime``: classify files, listen to a microphone."""

from __future__ import annotations

import argparse

from runtime.door import run


def main(arguments: list[str]) -> int:
    """Run one command; imports of numpy, scipy and onnxruntime wait until it is known."""
    parsed = _parser().parse_args(arguments)
    if parsed.command == "classify":
        from runtime.commands import classify

        return classify(parsed)
    from runtime.listen import listen

    return listen(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime", description="Hear what goes on.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_classify(commands.add_parser("classify", help="label audio files"))
    _add_listen(commands.add_parser("listen", help="label what the microphone hears"))
    return parser


def _add_classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="wav, flac, ogg or mp3")
    _add_common(parser)
    parser.add_argument("--hop", type=float, metavar="S", help="seconds between windows (a window's length)")


def _add_listen(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("--device", metavar="NAME", help="part of the microphone's name")
    parser.add_argument("--hop", type=float, default=0.25, metavar="S", help="seconds between answers (0.25)")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="how many labels to show (3)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="an .onnx file; the model in the box by default")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--channel", type=int, metavar="C", help="hear this channel, from 0; else their mean")


if __name__ == "__main__":
    run(main)
