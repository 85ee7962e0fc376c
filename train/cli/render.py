"""``python -m train render``: synthetic scenes, one after the other, in a WAV file to classify."""

from __future__ import annotations

import argparse

import numpy as np
import soundfile

from runtime import entry_point
from runtime.errors import ConfigError
from runtime.files import write_beside
from train.data.datasets.synthetic import DEVICES, SCENES, render


def main(arguments: list[str]) -> int:
    """Render the scenes and print when each begins; returns an exit code."""
    options = _parser().parse_args(arguments)
    scenes = [name.strip() for name in options.scenes.split(",")]
    unknown = [name for name in scenes if name not in SCENES]
    if unknown:
        raise ConfigError(f"No scene is called {unknown[0]!r}: choose from {', '.join(SCENES)}.")
    if not 0.1 <= options.seconds <= 3600:  # nan fails too
        raise ConfigError(f"A scene of {options.seconds} s cannot be rendered: give 0.1 to 3600.")
    if not 8_000 <= options.sample_rate <= 192_000:
        raise ConfigError(
            f"A sample rate of {options.sample_rate} Hz cannot be rendered: give 8000 to 192000."
        )
    if options.seed < 0:
        raise ConfigError(f"The seed is {options.seed}: give 0 or more.")
    parts = [
        render(name, (options.seed, index), options.sample_rate, options.seconds, options.device)
        for index, name in enumerate(scenes)
    ]
    with write_beside(options.output) as partial:
        soundfile.write(partial, np.concatenate(parts), options.sample_rate, subtype="PCM_16", format="WAV")
    for index, name in enumerate(scenes):
        print(f"{index * options.seconds:7.2f} s  {name}")
    return entry_point.EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{entry_point.program('train')} render", description=__doc__)
    parser.add_argument("output", help="WAV file to write")
    parser.add_argument(
        "--scenes", default=",".join(SCENES), help="comma-separated, from " + ", ".join(SCENES)
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each scene")
    parser.add_argument("--sample-rate", type=int, default=44_100, help="Hz")
    parser.add_argument("--device", choices=sorted(DEVICES), default="a", help="recording device to imitate")
    parser.add_argument("--seed", type=int, default=1_000)
    return parser
