"""``python -m runtime devices``: the microphones, by the names that ``listen --device`` takes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from runtime.cli.formatting import on_one_line
from runtime.devices.microphone import default_input, inputs
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK


def devices(arguments: Namespace) -> int:
    """List the microphones; exit 1 where there is none."""
    found = inputs()
    default = default_input(found)
    for index, device in found.items():
        fields = {
            "name": device["name"],
            "channels": device["max_input_channels"],
            "sample_rate": int(device["default_samplerate"]),
            "default": index == default,
        }
        if arguments.json:
            print(json.dumps(fields))
        else:
            star = "*" if fields["default"] else " "
            name = on_one_line(str(fields["name"]))
            print(f"{star} {name}  ({fields['channels']} channels, {fields['sample_rate']} Hz)")
    if not found and not arguments.json:
        print("no microphone was found: plug one in", file=sys.stderr)
    return EXIT_OK if found else EXIT_NEGATIVE
