"""Any corpus to one HDF5 file, decoded and resampled once: a packed corpus.

Partial results are kept beside the output until it is complete, so a run that was killed goes on where it
stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from runtime.audio.samples import as_float, to_int16
from runtime.errors import AudioError, DataError
from runtime.files import write_beside
from train.data.classes import refuse_lost_classes
from train.data.corpus import Clip, Corpus, Samples, Split
from train.data.datasets import packed
from train.partial_results import PartialResults

_PART = 128  # clips; what a killed run loses for each worker

Member = tuple[Split, Clip]


def pack(
    corpus: Corpus, sample_rate: int, output: Path, *, workers: int = 1, skip_corrupt: bool = False
) -> tuple[int, int]:
    """Write all splits of a corpus into one file.

    Args:
        corpus: what to pack; its splits are checked for leaks first.
        sample_rate: Hz.
        output: the file.
        workers: threads; libsndfile and soxr work outside Python's lock.
        skip_corrupt: leave out clips that cannot be read.

    Returns:
        Clips written and clips left out.

    Raises:
        AudioError: where a clip cannot be read; it names the clip.
        DataError: where there are no clips, the splits leak, or no training clip of a class can be read.
    """
    members = [(split, clip) for split, clips in corpus.splits().items() for clip in clips]
    if not members:
        raise DataError("The corpus holds no clips: there is nothing to pack.")
    shares = [members[start : start + _PART] for start in range(0, len(members), _PART)]
    named = [(split, clip.id) for split, clip in members]
    parts = PartialResults(output, [corpus.describe(), named, sample_rate, skip_corrupt], len(shares))
    missing = parts.missing()

    def decode(index: int) -> None:
        _write_part(parts.paths[index], corpus, shares[index], sample_rate, skip_corrupt)

    pool = ThreadPoolExecutor(workers)
    try:
        list(tqdm(pool.map(decode, missing), total=len(missing), desc="packing", unit="part", disable=None))
    finally:
        pool.shutdown(cancel_futures=True)
    written = _assemble(output, corpus, sample_rate, members, parts.paths)
    parts.clear()
    return written, len(members) - written


def _write_part(
    path: Path, corpus: Corpus, members: Sequence[Member], sample_rate: int, skip_corrupt: bool
) -> None:
    waves: list[Samples] = []
    for _, clip in members:
        try:
            waves.append(to_int16(as_float(corpus.read(clip, sample_rate))))
        except AudioError:
            if not skip_corrupt:
                raise
            waves.append(np.zeros(0, np.int16))  # a clip that was read is never empty
    with write_beside(path) as partial:
        np.savez(partial, samples=np.concatenate(waves), lengths=np.array([len(wave) for wave in waves]))


def _assemble(
    output: Path, corpus: Corpus, sample_rate: int, members: Sequence[Member], paths: Sequence[Path]
) -> int:
    """Put the partial results together; returns how many clips were written."""
    lengths = np.concatenate([np.load(path)["lengths"] for path in paths])
    clips = [member for member, length in zip(members, lengths, strict=True) if length]
    training = [[clip for split, clip in some if split == "train"] for some in (members, clips)]
    refuse_lost_classes(corpus.labels, *training)
    waves = tqdm(_waves(paths), total=len(clips), desc="joining", unit="clip", disable=None)
    with write_beside(output) as partial:
        packed.write(partial, corpus, sample_rate, clips, waves, int(lengths.sum()))
    return len(clips)


def _waves(paths: Sequence[Path]) -> Iterator[Samples]:
    for path in paths:
        part = np.load(path)
        ends = part["lengths"].cumsum()[:-1]
        yield from (wave for wave in np.split(part["samples"], ends) if len(wave))
