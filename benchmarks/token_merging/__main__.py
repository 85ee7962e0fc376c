"""What token merging saves and costs: ``python -m benchmarks token-merging model.pt AUDIO...``.

For every r, the processor time of one thread for a clip, against the network without merging, and how far its
predictions move: share of clips with the same top label, and the mean difference of probabilities. Clips are
as long as the model's windows, cut from the beginning of each file or filled up with zeros. The values of r
take turns. Agreement says something of a trained network alone. Writes a table (JSON) and a plot beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.result_files import write_result
from runtime import entry_point
from runtime.audio.read import read_recording
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.log_mel import LogMel
from train.plots import pyplot, save_figure
from train.teachers.vit import Blocks, merge_tokens

Row = dict[str, float]


def main(arguments: list[str]) -> int:
    """Measure, print and write; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks token-merging", description=__doc__)
    parser.add_argument("model", help="model.pt of an ast, a passt or a ced")
    parser.add_argument("audio", nargs="+", type=Path, help="recordings")
    parser.add_argument("--r", type=int, nargs="+", default=[8, 16, 32, 48, 64], help="tokens a block")
    parser.add_argument("--inflect", type=float, default=0.0, help="-1 merges most in the first blocks")
    parser.add_argument("-o", "--output", type=Path, default=Path("token_merging.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = model_pt.load(options.model)
    log_mels = [_log_mel(model, path) for path in options.audio]
    rows = measure(model.build(), log_mels, [0, *options.r], options.inflect, model.task == "multi_label")
    result = {
        "network": model.student, "arguments": model.arguments, "clip_s": model.clip_s,
        "clips": len(log_mels), "trained": not model.provenance.get("untrained", False),
        "inflect": options.inflect, "rows": rows,
    }  # fmt: skip
    write_result(options.output, result)
    _plot(rows, options.output.with_suffix(".png"))
    for row in rows:
        print(json.dumps(row))
    return entry_point.EXIT_OK


@torch.no_grad()
def measure(
    network: nn.Module, log_mels: list[Tensor], values: list[int], inflect: float, multi_label: bool
) -> list[Row]:
    """One row for each value of r, which is first 0: the network without merging.

    Args:
        network: an AST, a PaSST or a CED in eval mode.
        log_mels: of the clips, [1, 1, n_mels, frames] each.
        values: of r.
        inflect: see `train.teachers.token_merging.merge_schedule`.
        multi_label: probabilities are sigmoids, not softmax.
    """
    times: dict[int, list[float]] = {r: [] for r in values}
    outputs: dict[int, list[Tensor]] = {r: [] for r in values}
    for index, log_mel in enumerate([log_mels[0], *log_mels]):  # the first one warms up
        for r in values:
            merge_tokens(network, r, inflect)
            begun = time.thread_time()
            logits = network(log_mel)[0]
            if index:
                times[r].append(time.thread_time() - begun)
                outputs[r].append(logits.sigmoid() if multi_label else logits.softmax(0))
    plain, base = torch.stack(outputs[values[0]]), float(np.median(times[values[0]]))
    rows = []
    for r in values:
        merge_tokens(network, r, inflect)
        moved, seconds = torch.stack(outputs[r]), float(np.median(times[r]))
        rows.append({
            "r": r,
            "tokens": _tokens(network, log_mels[0]),
            "ms": round(1e3 * seconds, 2),
            "speedup": round(base / seconds, 2),
            "same_top_label": round(float((moved.argmax(1) == plain.argmax(1)).double().mean()), 4),
            "probability_difference": round(float((moved - plain).abs().mean()), 6),
        })  # fmt: skip
    return rows


def _tokens(network: nn.Module, log_mel: Tensor) -> int:
    """Tokens after the last block."""
    counts: list[int] = []
    blocks = next(part for part in network.modules() if isinstance(part, Blocks))
    with blocks.register_forward_hook(lambda _, inputs, output: counts.append(output.shape[1])):
        network(log_mel)
    return counts[0]


def _log_mel(model: Checkpoint, path: Path) -> Tensor:
    samples = read_recording(path, model.frontend.sample_rate).samples[: model.clip_samples]
    clip = np.zeros(model.clip_samples, np.float32)
    clip[: len(samples)] = samples
    log_mel: Tensor = LogMel(model.frontend)(torch.from_numpy(clip)[None])
    return log_mel


def _plot(rows: list[Row], path: Path) -> None:
    """Throughput and agreement against r, one above the other."""
    figure, (upper, lower) = pyplot().subplots(2, 1, figsize=(5, 4.4), sharex=True, layout="constrained")
    merged = [row["r"] for row in rows]
    upper.plot(merged, [row["speedup"] for row in rows], "o-")
    upper.set(ylabel="throughput,\nwithout merging = 1")
    lower.plot(merged, [100 * row["same_top_label"] for row in rows], "o-")
    lower.set(xlabel="r, tokens merged in a block", ylabel="clips with the same\ntop label, %", ylim=(0, 103))
    save_figure(figure, path)


if __name__ == "__main__":
    entry_point.run(main)
