"""Training as it is written first: ``python -m benchmarks.scaling.plain_loop CLIPS STEPS JSON``.

A Dataset that reads a file with soundfile and resamples it, a DataLoader, torchaudio's MelSpectrogram on the
batch, the same network, Adam. Writes the processor seconds of every step.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import chain, repeat
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from benchmarks.input_side import SPEC, WavFiles
from benchmarks.side_by_side.ways.by_hand import torchaudio_transforms
from train.augmentation.config import Augmentation
from train.students import CPMobile

BATCH = 32


def main(clips: Path, steps: int, output: Path) -> None:
    """Train for a number of steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mel = torchaudio_transforms().MelSpectrogram(
        SPEC.sample_rate, SPEC.n_fft, SPEC.win_length, SPEC.hop_length, f_max=SPEC.f_max, n_mels=SPEC.n_mels
    )
    dataset = WavFiles(sorted(clips.rglob("*.wav")), Augmentation(gain_db=None), None)
    loader = DataLoader(dataset, BATCH, shuffle=True, drop_last=True)
    network = CPMobile().train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    seconds, began = [], time.process_time()
    for number, (waveform, target) in enumerate(chain.from_iterable(repeat(loader))):
        if number == steps:
            break
        log_mel = (torch.log(mel(waveform[:, 1:]) + SPEC.log_offset) - SPEC.mean) / SPEC.std
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(log_mel.unsqueeze(1)), target)
        torch.autograd.backward(loss)
        optimizer.step()
        seconds.append(time.process_time() - began)
        began = time.process_time()
    output.write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
