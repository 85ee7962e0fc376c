"""INT8 against FP32 of the same student on one thread, measured alternately.

    python -m benchmarks.int8_speed MODEL.PT [--without-grn] [-o JSON]

Both files are exported as by `python -m export onnx` and run as in the runtime. Parity comes before speed:
export verifies the files. ``--without-grn`` also times the same network without its GRN layers; its accuracy
means nothing. Compare ratios, not milliseconds. The time by operator comes from separate runs with ONNX
Runtime's profiler on, which adds some microseconds to every node.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.result_files import write_result
from export.pipeline import Method, default_method, export_model
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError
from runtime.model.self_test import make_input
from runtime.model.session import INPUT, Session
from train.checkpoints.model_pt import Checkpoint, load
from train.networks import build

_WARM_UP = 50
_BATCH = 16
_PROFILED = 200


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_speed", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.PT")
    parser.add_argument("--without-grn", action="store_true", help="measure CP-Mobile without GRN as well")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    networks = [load(options.model)]
    if options.without_grn:
        networks.append(without_grn(networks[0]))
    result = compare(networks, options.rounds)
    print(json.dumps(result, indent=2))
    if options.output:
        write_result(options.output, result)
    return EXIT_OK


def without_grn(checkpoint: Checkpoint) -> Checkpoint:
    """The same network without GRN layers; batch norm statistics are those of the calibration windows."""
    if checkpoint.student != "cp_mobile" or not checkpoint.arguments.get("grn", True):
        raise TinysceneError(f"The model is a {checkpoint.student} without GRN: leave out --without-grn.")
    arguments = {**checkpoint.arguments, "grn": False}
    network = build(checkpoint.student, arguments)
    names = network.state_dict().keys()
    network.load_state_dict({name: t for name, t in checkpoint.state_dict.items() if name in names})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        for batch in torch.split(checkpoint.calibration, _BATCH):
            network(batch.float())
    return replace(checkpoint, arguments=arguments, state_dict=network.state_dict(), quantization={})


def compare(checkpoints: list[Checkpoint], rounds: int) -> dict[str, Any]:
    """Milliseconds per window in FP32 and in INT8 and their ratio for every network, measured alternately."""
    log_mel = make_input("patches", 1, checkpoints[0].input_shape)
    with tempfile.TemporaryDirectory() as folder:
        sessions = {}
        for index, checkpoint in enumerate(checkpoints):
            methods: dict[str, Method] = {"fp32": "none", "int8": default_method(checkpoint)}
            for name, method in methods.items():
                sessions[index, name] = _session(checkpoint, method, Path(folder) / f"{index}_{name}.onnx")
        times: dict[tuple[int, str], list[float]] = {key: [] for key in sessions}
        for _ in range(_WARM_UP + rounds):
            for key, session in sessions.items():
                start = time.perf_counter()
                session.logits(log_mel)
                times[key].append(1e3 * (time.perf_counter() - start))
        operators = {key: by_operator(session.path, log_mel) for key, session in sessions.items()}
    rows = []
    for index, checkpoint in enumerate(checkpoints):
        fp32, int8 = (_summary(np.array(times[index, name][_WARM_UP:])) for name in ("fp32", "int8"))
        rows.append(
            {
                "student": checkpoint.student,
                "arguments": checkpoint.arguments,
                "fp32": fp32,
                "int8": int8,
                "ratio_of_medians": int8["median_ms"] / fp32["median_ms"],
                "ratio_of_p10": int8["p10_ms"] / fp32["p10_ms"],
                "microseconds_by_operator": {name: operators[index, name] for name in ("fp32", "int8")},
            }
        )
    return {"rounds": rounds, "rows": rows}


def by_operator(path: Path, log_mel: npt.NDArray[np.float32]) -> dict[str, float]:
    """Microseconds of a window by operator: medians over runs, summed over its nodes, greatest first."""
    import onnxruntime  # imported after a `Session` has switched its telemetry off

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_profiling, options.profile_file_prefix = True, str(path.with_suffix(""))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for _ in range(_PROFILED):
        session.run(None, {INPUT: log_mel})
    nodes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event["name"].endswith("_kernel_time"):
            nodes[event["args"]["op_name"], event["name"]].append(event["dur"])
    total: dict[str, float] = defaultdict(float)
    for (operator, _), durations in nodes.items():
        total[operator] += float(np.median(durations))
    return dict(sorted(total.items(), key=lambda entry: -entry[1]))


def _session(checkpoint: Checkpoint, method: Method, path: Path) -> Session:
    verification = export_model(checkpoint, path, method=method, tolerance=1.0).verification
    if not verification.passed:
        raise TinysceneError(f"The file is not correct, so it is not timed:\n{verification.summary()}")
    return Session(path)


def _summary(milliseconds: np.ndarray) -> dict[str, float]:
    p10, median, p95 = np.percentile(milliseconds, [10, 50, 95])
    return {"p10_ms": round(p10, 4), "median_ms": round(median, 4), "p95_ms": round(p95, 4)}


if __name__ == "__main__":
    run(main)
