"""The input side of training, against a plain loader: ``python -m benchmarks input-side``.

From 3,000 one-second wav files to augmented log-mel batches, an epoch at a time, in turns:

- ``plain``: a torch Dataset that reads each file with soundfile, resamples it with soxr and augments it, by
  itself; the DataLoader stacks them, and log-mel, masks, Freq-MixStyle and MixUp are computed on the batch.
- ``plain, 2 workers``: the same in two worker processes.
- ``plain, log-mel per item``: the same in one process, but each item also becomes a log-mel and is masked.
- ``ours, memory``: `ClipData`, which decodes once and keeps int16, and batched augmentation.
- ``ours, packed``: the same from a file of `python -m train pack`, read from disk window by window.

All use the same augmentations and the same functions for them, with one torch thread each; the plain ones
call them with batches of one, and compute the log-mel as it is usually written (`PlainLogMel`). An epoch is
timed from the first file to the last batch. What ours does once, before the first epoch, is ``setup_s``; a
fit of ``EPOCHS`` epochs with it is compared as well. Ratios are of processor time, where there are no
workers. Writes ``benchmarks/results/input_side.json`` and ``.png``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.result_files import results_folder, write_result
from benchmarks.runtime_cost import spread
from benchmarks.side_by_side.ways.plain_log_mel import PlainLogMel
from runtime.entry_point import EXIT_OK, run
from runtime.spec import FrontEndSpec
from train.augmentation.config import Augmentation
from train.augmentation.random_draws import generator_for
from train.data import Batch, ClipData, Folder, Packed
from train.data.packing import pack
from train.log_mel import LogMel
from train.plots import pyplot, save_figure

FILE_RATE, CLASSES, BATCH, EPOCHS = 44_100, 10, 64, 50  # the rate of TAU's and ESC-50's files
SPEC = FrontEndSpec.preset("cp_mel")
AUGMENTATION = Augmentation(  # CP-JKU's (Schmid et al., DCASE 2023), with gain, masks and MixUp besides
    gain_db=6.0, roll_s=0.125, impulse_p=0.6, mask_mels=32, mask_frames=8,
    freq_mixstyle_p=0.4, freq_mixstyle_alpha=0.3, mixup_alpha=0.3,
)  # fmt: skip

Epoch = Callable[[], int]  # walks through all batches; returns how many examples were in them


def main(arguments: list[str]) -> int:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks input-side")
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="JSON; the PNG goes beside it")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.clips, options.rounds)
    output = options.output or results_folder() / "input_side.json"
    write_result(output, result, {"clips": 0, "responses": 1})
    plot(result, output.with_suffix(".png"))
    print(json.dumps(result, indent=2))
    return EXIT_OK


def measure(folder: Path, clips: int, rounds: int) -> dict[str, Any]:
    """Write the clips into a folder, and time all contestants on them."""
    paths = write_clips(folder / "clips", clips)
    augmentation = write_responses(folder / "responses")
    waveform = torch.randn(2, SPEC.sample_rate)
    torch.testing.assert_close(PlainLogMel(SPEC)(waveform), LogMel(SPEC)(waveform))
    contestants: dict[str, Epoch] = {
        "plain": plain(paths, augmentation),
        "plain, 2 workers": plain(paths, augmentation, workers=2),
        "plain, log-mel per item": plain(paths, augmentation, log_mel_per_item=True),
    }
    corpus = Folder(str(folder / "clips"), no_groups=True, val_share=0.0, test_share=0.0)
    pack(corpus, SPEC.sample_rate, folder / "clips.h5")
    setup_s = {}
    for name, data in {
        "ours, memory": ClipData(corpus, batch_size=BATCH, jitter=False),
        "ours, packed": ClipData(
            Packed(str(folder / "clips.h5")), batch_size=BATCH, jitter=False, in_memory=False
        ),
    }.items():
        begun = time.process_time()
        data.setup("fit")
        setup_s[name] = round(time.process_time() - begun, 3)
        contestants[name] = ours(data, augmentation)
    times = in_turns(contestants, rounds)
    ratios = {
        other: {name: round(_median(times, other, kind) / _median(times, name, kind), 2) for name in setup_s}
        for other, kind in (
            ("plain", "processor_s"),
            ("plain, log-mel per item", "processor_s"),
            ("plain, 2 workers", "clock_s"),
        )
    }
    plain_s = EPOCHS * _median(times, "plain", "processor_s")
    fits_s = {name: EPOCHS * _median(times, name, "processor_s") + setup_s[name] for name in setup_s}
    return {
        "clips": clips,
        "batch": BATCH,
        "augmentation": str(AUGMENTATION),
        "rounds": rounds,
        "epoch": times,
        "setup_s": setup_s,
        "times_as_fast_as": ratios,
        f"times_as_fast_as_plain_in_{EPOCHS}_epochs": {n: round(plain_s / s, 2) for n, s in fits_s.items()},
    }


def _median(times: dict[str, dict[str, Any]], name: str, kind: str) -> float:
    return float(times[name][kind]["median"])


def in_turns(contestants: dict[str, Epoch], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of an epoch, each contestant once per round; the first round warms up.

    ``processor_s`` is the processor time of this process, which does not count what else the machine does;
    it leaves out the workers of a contestant.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    examples = set()
    for _ in tqdm(range(rounds + 1), unit="round", disable=None):
        for name, epoch in contestants.items():
            begun, used = time.perf_counter(), time.process_time()
            examples.add(epoch())
            times[name].append((time.perf_counter() - begun, time.process_time() - used))
    assert len(examples) == 1, "the contestants did not do the same work"
    spreads = {}
    for name, taken in times.items():
        clock, processor = zip(*taken[1:], strict=True)
        spreads[name] = {"clock_s": spread(list(clock), unit=1.0)}
        if "workers" not in name:
            spreads[name]["processor_s"] = spread(list(processor), unit=1.0)
    return spreads


class WavFiles(Dataset[tuple[Tensor, int]]):
    """The plain contestant: one file, one example.

    Args:
        paths: of the files; the class is the folder's name.
        augmentation: of the waveform, and of the log-mel where that is computed here.
        log_mel: None leaves it to the batch.
    """

    def __init__(self, paths: Sequence[Path], augmentation: Augmentation, log_mel: LogMel | None) -> None:
        self.paths, self.augmentation, self.log_mel = paths, augmentation, log_mel

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.paths[index]
        samples, rate = soundfile.read(path, dtype="float32")
        waveform = torch.from_numpy(soxr.resample(samples, rate, SPEC.sample_rate)).unsqueeze(0)
        x = self.augmentation.waveform(waveform, SPEC.sample_rate, torch.default_generator)
        if self.log_mel is not None:
            x, _ = self.augmentation.spectrum(self.log_mel(x), torch.default_generator, self.log_mel.silence)
        return x[0], int(path.parent.name)


def plain(
    paths: Sequence[Path], augmentation: Augmentation, *, workers: int = 0, log_mel_per_item: bool = False
) -> Epoch:
    """A contestant: what concerns one example is done by the Dataset, the rest on the batch."""
    log_mel = PlainLogMel(SPEC)
    of_item, of_batch = _split(augmentation) if log_mel_per_item else (augmentation, augmentation)
    dataset = WavFiles(paths, of_item, log_mel if log_mel_per_item else None)
    # workers stay between epochs, as the best of plain loaders have it
    loader = DataLoader(
        dataset, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch() -> int:
        examples = 0
        for x, _ in loader:
            features = x if log_mel_per_item else log_mel(x)
            features, _ = of_batch.spectrum(features, torch.default_generator, log_mel.silence)
            examples += len(features)
        return examples

    return epoch


def ours(data: ClipData, augmentation: Augmentation) -> Epoch:
    """A contestant: as `train.training.lightning_module` does it."""
    log_mel, epochs = LogMel(SPEC), iter(range(1_000_000))
    loader: DataLoader[Batch] = data.train_dataloader()
    sampler: Any = loader.sampler  # of ours, which follows the epoch

    def epoch() -> int:
        number, examples = next(epochs), 0
        sampler.set_epoch(number)
        for index, batch in enumerate(loader):
            view = augmentation.view(batch.waveform, log_mel, generator_for(0, number, index))
            examples += len(view.log_mel)
        return examples

    return epoch


def _split(augmentation: Augmentation) -> tuple[Augmentation, Augmentation]:
    """What can be done to one example, and what needs a batch."""
    of_item = dataclasses.replace(augmentation, freq_mixstyle_p=None, mixup_alpha=None)
    return of_item, dataclasses.replace(augmentation, mask_mels=None, mask_frames=None)


def write_clips(folder: Path, count: int) -> list[Path]:
    """Seconds of noise as 16-bit wav files, in class folders."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        path = folder / str(index % CLASSES) / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(scale=0.1, size=FILE_RATE), FILE_RATE, subtype="PCM_16")
        paths.append(path)
    return paths


def write_responses(folder: Path) -> Augmentation:
    """The augmentation, with 24 made-up microphones as long as MicIRP's: up to a third of a second."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index in range(24):
        samples = rng.integers(2_000, FILE_RATE // 3)
        decay = np.exp(-np.arange(samples) / (samples / 8))
        soundfile.write(folder / f"{index}.wav", 0.5 * rng.uniform(-1, 1, samples) * decay, FILE_RATE)
    return dataclasses.replace(AUGMENTATION, impulse_dir=str(folder))


def plot(result: dict[str, Any], path: Path) -> None:
    """Seconds of an epoch, median and 95th percentile: of processor time, or of the clock with workers."""
    shown = {name: times.get("processor_s", times["clock_s"]) for name, times in result["epoch"].items()}
    medians = np.array([times["median"] for times in shown.values()])
    upper = np.array([times["p95"] for times in shown.values()]) - medians
    colors = ["tab:blue" if name in result["setup_s"] else "tab:gray" for name in shown]
    figure, axes = pyplot().subplots(figsize=(7, 2.6), layout="constrained")
    bars = axes.barh(list(shown), medians, color=colors, xerr=[np.zeros(len(shown)), upper], capsize=3)
    axes.bar_label(bars, [f"{median:.2g} s" for median in medians], label_type="center", color="white")
    axes.invert_yaxis()
    axes.set_xlabel(f"s for {result['clips']:,} clips (median; whisker: 95th percentile)")
    save_figure(figure, path)


if __name__ == "__main__":
    run(main)
