"""Run the short benchmarks, then write the tables and plots: ``python -m benchmarks report [--quick]``.

``--quick`` runs latency (the engines of `QUICK_ENGINES` alone), streaming, startup and memory with fewer
rounds; without it all contestants and products run, and roofline, steps, training and growth too.
``--no-run`` only writes from the results files. Accuracy is collected: ``python -m benchmarks accuracy``
trains. Tables and marked numbers go into benchmarks/README.md, marked numbers into the README at the top as
well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.accuracy import command as accuracy
from benchmarks.report import markers, plots, tables
from benchmarks.result_files import read_result, results_folder
from benchmarks.roofline import command as roofline
from benchmarks.roofline import steps
from benchmarks.scaling import growth, training
from benchmarks.side_by_side import latency, memory, startup, streaming
from runtime.entry_point import EXIT_OK, run
from runtime.files import write_beside

QUICK_ENGINES = ("native", "ort_int8", "ort_fp32", "torch_eager", "ort_torchaudio", "ort_librosa",
                 "openvino_fp32", "openvino_int8", "ncnn", "litert")  # fmt: skip
_QUICK: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "latency": (latency.main, ["--rounds", "30", "--only", *QUICK_ENGINES]),
    "streaming": (streaming.main, ["--rounds", "60"]),
    "startup": (startup.main, ["--runs", "5"]),
    "memory": (memory.main, ["--runs", "2"]),
}
_FULL: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "latency": (latency.main, []),
    "roofline": (roofline.main, []),
    "steps": (steps.main, []),
    "streaming": (streaming.main, []),
    "startup": (startup.main, []),
    "memory": (memory.main, []),
    "training": (training.main, []),
    "growth": (growth.main, []),
}


def main(arguments: list[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks report", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer rounds and engines")
    parser.add_argument("--no-run", action="store_true", help="write from the results files alone")
    options = parser.parse_args(arguments)
    chosen = {} if options.no_run else _QUICK if options.quick else _FULL
    for name, (command, its_arguments) in chosen.items():
        begun = time.monotonic()
        command(its_arguments)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    accuracy.main(["--no-run"])
    for path in (*plots.draw_all(results_folder()), *write_readmes()):
        print(f"wrote {path}", file=sys.stderr)
    return EXIT_OK


def write_readmes() -> list[Path]:
    """Fill the sections of benchmarks/README.md, and the marked numbers of all READMEs that have some.

    Returns:
        the files; none in an installation, which has no READMEs.
    """
    own = Path(__file__).parents[1] / "README.md"
    top = own.parents[1]
    written = []
    for path in (own, top / "README.md", top / "train" / "README.md"):
        if not path.is_file():
            continue
        text = path.read_text()
        if path == own:
            for name, to_table in tables.TABLES.items():
                values = read_result(name)
                if values is not None:
                    text = markers.fill_section(text, name, to_table(values))
        text = markers.fill_numbers(text, read_result)
        if text != path.read_text():
            with write_beside(path) as partial:
                partial.write_text(text)
            written.append(path)
    return written


if __name__ == "__main__":
    run(main)
