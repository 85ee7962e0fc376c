"""Windows from a folder or a table of audio: to calibrate with, or to measure quality on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from export.evenly_spread import evenly_spread
from runtime.audio.decode import AudioFile
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.log_mel import LogMel
from runtime.audio.samples import as_float
from runtime.audio.window_grid import window_starts
from runtime.errors import DataError
from train.checkpoints.model_pt import Checkpoint
from train.data import Clip, Table, Tags, Unlabelled
from train.data.corpus import FileCorpus
from train.quantization.verification_windows import VerificationWindows

CALIBRATION_WINDOWS = 512
VERIFICATION_WINDOWS = 4096


@dataclass(frozen=True)
class AudioClips:
    """The clips of a folder or table.

    Attributes:
        corpus: reads them.
        clips: in a stable order.
        targets: label indices of each clip, in the order of the model's labels; None where unlabelled.
        source: folder or file name, without where it lies.
    """

    corpus: FileCorpus
    clips: list[Clip]
    targets: list[tuple[int, ...]] | None
    source: str

    def paths(self) -> set[Path]:
        """The files, to find those that two sets share."""
        return {self.corpus.path(clip).resolve() for clip in self.clips}


def find_clips(path: Path, checkpoint: Checkpoint, *, training: bool) -> AudioClips:
    """The clips of a folder of class folders, of any folder of audio, or of a table.

    Args:
        path: folder or table. Where all top-level folders have names of labels, they are the labels. Of a
            table with a column ``split``, ``train`` is for calibration and the rest for verification.
        checkpoint: gives labels and task.
        training: which rows of such a table.

    Raises:
        DataError: where there is no audio, or a label is not the model's.
    """
    if path.is_dir():
        return _folder(path, checkpoint)
    if not path.exists():
        raise DataError(f"There is no folder or table {path}: give a folder of audio, or a table of files.")
    return _table(path, checkpoint, training)


def _folder(path: Path, checkpoint: Checkpoint) -> AudioClips:
    corpus = Unlabelled(str(path), checkpoint.labels)
    clips = corpus.all_clips()
    folders = [Path(clip.id).parts[0] for clip in clips]
    known = [folder in checkpoint.labels for folder in folders]
    if any(known) and not all(known):
        unknown = folders[known.index(False)]
        raise DataError(
            f"'{unknown}' in {path} is not a label of the model, but other folders are: move it away "
            f"(the labels are {', '.join(checkpoint.labels)})."
        )
    targets: list[tuple[int, ...]] | None = None
    if all(known):
        targets = [(checkpoint.labels.index(folder),) for folder in folders]
    return AudioClips(corpus, clips, targets, f"folder {path.resolve().name}")


def _table(path: Path, checkpoint: Checkpoint, training: bool) -> AudioClips:
    several = checkpoint.task == "multi_label"
    read = Tags if several else Table
    # without shares held out, only a column `split` puts clips into another split than train
    corpus = read(str(path), no_groups=True, val_share=0.0, test_share=0.0)
    unknown = [label for label in corpus.labels if label not in checkpoint.labels]
    if unknown:
        raise DataError(f"{path} has the label '{unknown[0]}', which is not one of the model's: correct it.")
    train, rest = corpus.clips("train"), [*corpus.clips("val"), *corpus.clips("test")]
    clips = list(rest if rest and not training else train)
    if not clips:
        raise DataError(f"{path} has no row of the split train to calibrate with: add some.")
    index = [checkpoint.labels.index(label) for label in corpus.labels]
    targets = [tuple(index[target] for target in clip.targets) for clip in clips if clip.targets is not None]
    return AudioClips(corpus, clips, targets if len(targets) == len(clips) else None, f"table {path.name}")


def verification_windows(found: AudioClips, checkpoint: Checkpoint) -> VerificationWindows:
    """Up to `VERIFICATION_WINDOWS` windows, spread evenly over the clips, with their labels."""
    rows = list(_windows(found, checkpoint, VERIFICATION_WINDOWS, "verification"))
    log_mels = torch.stack([log_mel for _, _, log_mel in rows])
    targets = None
    if found.targets is not None:
        targets = torch.zeros(len(rows), len(checkpoint.labels), dtype=torch.bool)
        for row, (clip, _, _) in enumerate(rows):
            targets[row, list(found.targets[clip])] = True
    clips = tuple(found.clips[clip].id for clip, _, _ in rows)
    return VerificationWindows(log_mels, targets, found.source, clips)


def with_calibration(checkpoint: Checkpoint, found: AudioClips) -> Checkpoint:
    """The checkpoint with up to `CALIBRATION_WINDOWS` windows, spread evenly over the clips."""
    rows = list(_windows(found, checkpoint, CALIBRATION_WINDOWS, "calibration"))
    first = [found.targets[clip][:1] if found.targets is not None else () for clip, _, _ in rows]
    return replace(
        checkpoint,
        calibration=torch.stack([log_mel for _, _, log_mel in rows]).half(),
        calibration_targets=torch.tensor([target[0] if target else -1 for target in first]),
        calibration_ids=tuple(f"{found.clips[clip].id}@{start}" for clip, start, _ in rows),
    )


def _windows(
    found: AudioClips, checkpoint: Checkpoint, limit: int, purpose: str
) -> Iterator[tuple[int, int, Tensor]]:
    """Index of the clip, first sample and log-mel [1, n_mels, frames] of at most ``limit`` windows.

    They are spread evenly over the clips, and over each clip. Of more than ``limit`` clips the rest is not
    read. Windows without signal are left out, as the runtime leaves them out.
    """
    rate, length = checkpoint.frontend.sample_rate, checkpoint.clip_samples
    log_mel, silent = LogMel(checkpoint.frontend), True
    chosen = evenly_spread(range(len(found.clips)), limit)
    paths = [found.corpus.path(found.clips[clip]) for clip in chosen]
    shares = _shares([_count_windows(path, rate, length, limit) for path in paths], limit)
    bar = tqdm(chosen, desc=f"{purpose} windows", unit="clip", disable=None)
    for clip, share in zip(bar, shares, strict=True):
        samples = as_float(found.corpus.read(found.clips[clip], rate))
        starts = window_starts(len(samples), length, length)
        for start in evenly_spread(starts, share):
            window = samples[start : start + length]
            window = np.pad(window, (0, length - len(window))).astype(np.float32)
            if level_dbfs(window) >= NO_SIGNAL_DBFS:
                silent = False
                yield clip, start, torch.from_numpy(log_mel(window).copy())[None]
    if silent:
        raise DataError(f"Every window of the {found.source} is silent: give audio with a signal.")


def _count_windows(path: Path, rate: int, length: int, limit: int) -> int:
    """Windows of ``length`` samples at ``rate`` Hz in a file, by its header; ``limit`` is the most."""
    with closing(AudioFile(path)) as file:
        seconds = file.header_s
    most = limit * length  # also where the header has no length
    samples = most if seconds is None else min(math.ceil(seconds * rate), most)
    return len(window_starts(samples, length, length))


def _shares(counts: Sequence[int], limit: int) -> list[int]:
    """How many windows to take of each clip: ``limit`` of all where there are so many.

    Clips that have enough give equal shares, but for the rest of the division, which is spread over them.

    Args:
        counts: windows of each clip; at most ``limit`` clips.
        limit: windows of all clips.
    """
    available = np.asarray(counts)
    level = bisect_right(range(1, limit + 1), limit, key=lambda most: int(np.minimum(available, most).sum()))
    shares = np.minimum(available, level)
    longer = [clip for clip, count in enumerate(counts) if count > level]
    shares[evenly_spread(longer, limit - int(shares.sum()))] += 1
    return [int(share) for share in shares]


def refuse_shared_clips(calibration: AudioClips, verification: AudioClips) -> None:
    """Verification measures on clips that nothing was calibrated on.

    Raises:
        DataError: where a file is in both sets; it names one.
    """
    if shared := sorted(calibration.paths() & verification.paths()):
        raise DataError(
            f"{len(shared)} files are given for calibration and for verification, such as {shared[0]}: leave "
            "each file out of one of the two."
        )
