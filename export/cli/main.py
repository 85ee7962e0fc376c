"""``python -m export COMMAND``: a model.pt, or somebody's .onnx file, becomes a file for the runtime."""

from __future__ import annotations

import argparse

from export.cli import c_library, convert, learn, quantize, sensitivity, sherpa, submission, verify
from runtime.entry_point import program, require, wait_without_spinning

_COMMANDS = (learn, convert, quantize, sensitivity, verify, submission, sherpa, c_library)


def main(arguments: list[str]) -> int:
    """Run a command; returns 0 where the file was written or is verified, 1 where it is not."""
    wait_without_spinning()
    parser = argparse.ArgumentParser(prog=program("export"), description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    options = parser.parse_args(arguments)
    for module in getattr(options, "needs", ("torch", "onnx", "onnxscript")):
        require(module, extra=getattr(options, "extra", "train"))
    return int(options.command(options))
