"""The pictures of the README: ``python -m benchmarks.pictures [SOUND ...]``.

- ``accuracy.png``: accuracy of FP32 and INT8 against size and time, from the numbers that other benchmarks
  left in ``benchmarks/results``; nothing is measured here.
- ``listen.svg``, where sounds are given: the last picture that ``python -m runtime listen SOUND ...`` draws
  in a terminal, with the packaged model.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.result_files import read_result, results_folder
from runtime import load_model
from runtime.entry_point import EXIT_OK, require, run
from runtime.errors import TinysceneError
from runtime.files import write_beside
from train.plots import pyplot, save_figure

QUANTIZED = ("ptq", "qat")
STYLES = {
    "fp32": ("FP32", "tab:gray"),
    "ptq_int8": ("INT8, post-training", "tab:blue"),
    "qat_int8": ("INT8, quantization-aware", "tab:orange"),
}
COLUMNS, LINES = 72, 40  # of the terminal
_REDRAW = re.compile(r"\x1b\[2K|\x1b\[\d*[AG]|\x1b\[\?25[hl]|\r")  # rich goes up line by line and clears each
_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # would be fetched from a server


def main(arguments: list[str]) -> int:
    """Draw what can be drawn; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument(
        "sounds", nargs="*", type=Path, metavar="SOUND", help="audio files to listen to at once"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the pictures")
    options = parser.parse_args(arguments)
    folder = options.output or results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    draw_accuracy(folder / "accuracy.png")
    if options.sounds:
        draw_listen(options.sounds, folder / "listen.svg")
    return EXIT_OK


def draw_accuracy(path: Path) -> None:
    """Share of windows that are right against bytes and milliseconds; whiskers: the best and worst fold."""
    accuracy, speed = read_result("esc10"), read_result("int8_speed_xeon")
    if accuracy is None or speed is None:
        raise TinysceneError("results/ lacks esc10.json or int8_speed_xeon.json: run this in a checkout.")
    of_network = speed["rows"][0]
    float_bytes = 4 * int(load_model().spec.complexity["params"])  # no file was written to measure
    sizes = {
        "fp32": float_bytes,
        **{f"{name}_int8": accuracy["mean"][f"{name}_file_bytes"] for name in QUANTIZED},
    }
    times = {"fp32": of_network["fp32"]["median_ms"], "ptq_int8": of_network["int8"]["median_ms"]}
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for axes, points, scale in ((left, sizes, 1e-3), (right, times, 1.0)):
        for kind, x in points.items():
            _point(axes, kind, x * scale, [fold[f"{kind}_windows"] for fold in accuracy["folds"]])
        axes.set_xlim(0, 1.15 * scale * max(points.values()))
        axes.grid(alpha=0.3)
    left.set(xlabel="kB (INT8: file; FP32: weights)", ylabel="1-s windows of ESC-10, %")
    right.set_xlabel("ms a clip, network alone, one thread of a Xeon")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=len(sizes))
    save_figure(figure, path)


def _point(axes: Any, kind: str, x: float, folds: Sequence[float]) -> None:
    mean, (name, color) = sum(folds) / len(folds), STYLES[kind]
    whiskers = [[100 * (mean - min(folds))], [100 * (max(folds) - mean)]]
    axes.errorbar([x], [100 * mean], whiskers, marker="o", linestyle="", capsize=3, label=name, color=color)


def draw_listen(sounds: Sequence[Path], path: Path) -> None:
    """What ``listen`` shows at the end of the sounds, as an SVG.

    Raises:
        TinysceneError: where it shows nothing.
    """
    console, text = require("rich.console", extra="mic"), require("rich.text", extra="mic")
    picture = last_picture(_in_terminal([sys.executable, "-m", "runtime", "listen", *map(str, sounds)]))
    if "dBFS" not in picture:
        raise TinysceneError(f"`listen` ended without a picture: {picture.strip()}")
    screen = console.Console(width=COLUMNS, record=True, file=io.StringIO())
    screen.print(text.Text.from_ansi(picture))
    svg = screen.export_svg(title=f"tinyscene listen {' '.join(sound.name for sound in sounds)}")
    with write_beside(path) as partial:
        partial.write_text(_FONT.sub("", svg))


def last_picture(output: str) -> str:
    """The last picture in the output of a program that draws in place with rich."""
    return [part for part in _REDRAW.split(output.replace("\r\n", "\n")) if part.strip()][-1].rstrip()


def _in_terminal(command: list[str]) -> str:
    """Everything that a command writes to a pseudo-terminal."""
    import pty  # POSIX alone

    child, terminal = pty.fork()
    if not child:
        os.environ.update(COLUMNS=str(COLUMNS), LINES=str(LINES), TERM="xterm-256color")
        os.execv(command[0], command)
    parts = []
    try:
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    except OSError:  # Linux says so where the other end is closed
        pass
    os.close(terminal)
    os.waitpid(child, 0)
    return b"".join(parts).decode()


if __name__ == "__main__":
    run(main)
