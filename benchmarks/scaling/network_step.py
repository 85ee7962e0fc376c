"""The step of the network alone: ``python -m benchmarks.scaling.network_step STEPS JSON``.

Forward pass, backward pass and AdamW on one fixed batch of log-mels, as `fit` does them. Writes the seconds
of every step by the clock.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from benchmarks.input_side import SPEC
from benchmarks.scaling.plain_loop import BATCH
from train.students import CPMobile


def main(steps: int, output: Path) -> None:
    """Train for a number of steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = CPMobile().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    log_mel = torch.randn(BATCH, 1, SPEC.n_mels, SPEC.frames(SPEC.sample_rate))
    log_mel = log_mel.contiguous(memory_format=torch.channels_last)
    target = torch.arange(BATCH) % 10
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(log_mel), target)
        torch.autograd.backward(loss)
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    output.write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
