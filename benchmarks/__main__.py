"""``python -m benchmarks COMMAND``: every benchmark of this project, by name."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

from runtime.entry_point import EXIT_OK, EXIT_UNUSABLE, run


@dataclass(frozen=True)
class Command:
    """A benchmark.

    Attributes:
        module: whose ``main`` takes the arguments.
        summary: what it measures.
        one_thread: numpy and torch take one thread, unless the environment says otherwise.
    """

    module: str
    summary: str
    one_thread: bool = False


COMMANDS = {
    "latency": Command("benchmarks.side_by_side.latency", "a window's time against other engines", True),
    "roofline": Command("benchmarks.roofline.command", "each engine's share of the core's peak", True),
    "steps": Command("benchmarks.roofline.steps", "where the time of a window goes", True),
    "streaming": Command(
        "benchmarks.side_by_side.streaming", "processor time of a second of audio by hop", True
    ),
    "startup": Command("benchmarks.side_by_side.startup", "process start to the first prediction", True),
    "memory": Command("benchmarks.side_by_side.memory", "resident memory, and megabytes to install", True),
    "accuracy": Command("benchmarks.accuracy.command", "FP32, INT8 and C of every student and corpus", True),
    "robustness": Command("benchmarks.robustness", "accuracy under noise, other levels and microphones"),
    "training": Command("benchmarks.scaling.training", "steps a second against a plain PyTorch loop", True),
    "growth": Command(
        "benchmarks.scaling.growth", "time against length, streams, width and corpus size", True
    ),
    "portability": Command("benchmarks.int8_emulated_cpus", "the same logits on other processors"),
    "archive": Command("benchmarks.archive", "hours of recordings an hour, one process and two", True),
    "report": Command("benchmarks.report.command", "runs the short ones and writes README.md's tables", True),
    "box-model": Command("benchmarks.box_model.__main__", "trains and measures the packaged model"),
    "c-speed": Command("benchmarks.c_speed", "compiled C against ONNX Runtime", True),
    "esc10": Command("benchmarks.esc10", "ESC-10 from its labels alone"),
    "esc10-distillation": Command("benchmarks.esc10_distillation", "ESC-10 with teachers"),
    "fixed-point": Command("benchmarks.fixed_point", "the C export's integer log-mel against float32", True),
    "input-side": Command("benchmarks.input_side", "batches from files against a plain loader", True),
    "int8-speed": Command("benchmarks.int8_speed", "INT8 against FP32 in ONNX Runtime"),
    "int8-unseen": Command("benchmarks.int8_unseen", "INT8 on sound that nothing was calibrated on"),
    "label-free": Command("benchmarks.label_free", "what teachers replace of the labels"),
    "pictures": Command("benchmarks.pictures", "the pictures of the root README"),
    "runtime-cost": Command("benchmarks.runtime_cost", "what listening costs, by part", True),
    "token-merging": Command("benchmarks.token_merging.__main__", "transformers with merged tokens", True),
}


def main(arguments: list[str]) -> int:
    """Run one benchmark; returns an exit code."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(_usage())
        return EXIT_OK
    if name not in COMMANDS:
        print(f"error: There is no benchmark '{name}'.\n\n{_usage()}", file=sys.stderr)
        return EXIT_UNUSABLE
    if COMMANDS[name].one_thread:  # read where numpy and torch are imported
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, "1")
    code: int = importlib.import_module(COMMANDS[name].module).main(rest)
    return code


def _usage() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: python -m benchmarks COMMAND [ARGUMENTS]", "", *lines])


if __name__ == "__main__":
    run(main)
