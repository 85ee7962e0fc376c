"""Faults of a corpus: of its clips, of its classes, and between its splits."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from runtime.audio.level import NO_SIGNAL_DBFS
from runtime.errors import AudioWarning
from train.data.classes import names_alike, thin_classes
from train.data.clip_measurement import ClipMeasurement, measure_clip, read_int16
from train.data.corpus import SPLITS, Clip, Corpus, Split, find_leaks
from train.data.corpus_report import CorpusReport
from train.data.near_duplicates import SAME, Int16, candidates, correlation

_CLIPPED_SHARE = 1e-3  # of samples at full scale: below it a peak just touches
_OFFSET = 0.05  # of full scale; above it labels change
_SHARE = 64  # pairs that a thread correlates at a time

Findings = dict[str, list[str]]
Splits = Mapping[Split, Sequence[Clip]]
Measurements = Mapping[str, ClipMeasurement]


def examine(
    corpus: Corpus,
    sample_rate: int,
    *,
    workers: int = 1,
    city_disjoint: bool = False,
    compared: int | None = None,
) -> CorpusReport:
    """Measure every clip and compare the splits with each other.

    Args:
        corpus: any.
        sample_rate: Hz that clips are resampled to, as in training.
        workers: threads.
        city_disjoint: whether a city in two splits is a fault; official splits of scenes share them.
        compared: about how many clips near-duplicates are looked for among; the time grows with their square.
            Of a larger corpus every n-th clip of each split is taken, and a note says how many. None compares
            all.
    """
    with warnings.catch_warnings():  # here, as threads share the filters
        warnings.simplefilter("ignore", AudioWarning)  # what it warns of is a finding, with the clip's name
        return _examine(corpus, sample_rate, workers, city_disjoint, compared)


def _examine(
    corpus: Corpus, sample_rate: int, workers: int, city_disjoint: bool, compared: int | None
) -> CorpusReport:
    splits = {split: corpus.clips(split) for split in SPLITS}
    clips = [clip for members in splits.values() for clip in members]
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda clip: measure_clip(corpus, clip, sample_rate), clips)
        measured = list(tqdm(results, total=len(clips), desc="measuring", unit="clip", disable=None))
    of_clip = {clip.id: result for clip, result in zip(clips, measured, strict=True)}
    readable = [result for result in measured if not result.problem]
    rates = Counter(result.file.sample_rate for result in readable if result.file.sample_rate)
    findings = _of_clips(of_clip, rates) | _of_splits(splits, of_clip)
    some = _some(splits, compared)
    findings |= _similar(
        some, of_clip, lambda clip: read_int16(corpus, clip, sample_rate), sample_rate, workers
    )
    notes = _of_classes(corpus, splits, of_clip, findings)
    if some is not splits:
        count = sum(map(len, some.values()))
        notes["near-duplicates"] = [f"looked for among {count:,} of the {len(clips):,} clips"]
    cities = _shared(splits, lambda clip: clip.city)
    (findings if city_disjoint else notes)[f"{'leak: ' * city_disjoint}city in two splits"] = cities
    return CorpusReport(
        clips={split: len(members) for split, members in splits.items()},
        hours={s: sum(of_clip[c.id].seconds for c in members) / 3600 for s, members in splits.items()},
        unlabelled={s: sum(c.targets is None for c in members) for s, members in splits.items()},
        classes=_count(splits, lambda clip: [corpus.labels[target] for target in clip.targets or ()]),
        devices=_count(splits, lambda clip: [clip.device]),
        cities=_count(splits, lambda clip: [clip.city]),
        sample_rates=dict(rates),
        notes={kind: found for kind, found in notes.items() if found},
        findings={kind: found for kind, found in findings.items() if found},
        seconds=tuple(result.seconds for result in readable),
        levels_dbfs=tuple(result.level_dbfs for result in readable),
    )


def _of_clips(measured: Measurements, rates: Counter[int]) -> Findings:
    """Findings that each clip has by itself."""
    usual = rates.most_common(1)[0][0] if rates else 0
    found: Findings = defaultdict(list)
    for name, clip in measured.items():
        if clip.problem:
            found["empty" if "no samples" in clip.problem else "unreadable"].append(clip.problem)
            continue
        if clip.clipped > _CLIPPED_SHARE:
            found["clipped"].append(f"{name} ({clip.clipped:.1%} of samples at full scale)")
        if clip.file.cancels:
            found["channels cancel"].append(f"{name} (mean {clip.file.cancels_db:.0f} dB below the channels)")
        elif clip.level_dbfs < NO_SIGNAL_DBFS:
            found["silent"].append(name)
        if abs(clip.offset) > _OFFSET:
            found["constant offset"].append(f"{name} ({clip.offset:+.2f} of full scale)")
        if clip.file.sample_rate not in (0, usual):
            found["other sample rate"].append(f"{name} ({clip.file.sample_rate} Hz, most have {usual} Hz)")
    return dict(found)


def _of_classes(corpus: Corpus, splits: Splits, measured: Measurements, findings: Findings) -> Findings:
    """Classes with too few clips that can be read: none is a finding, added; the notes are returned."""
    training = [clip for clip in splits["train"] if not measured[clip.id].problem]
    thin = thin_classes(corpus.labels, training)
    findings["class without a training clip"] = thin.get("no training clip", [])
    return {
        "class with one training clip": thin.get("one training clip", []),
        "labels that look like one": names_alike(corpus.labels),
    }


def _of_splits(splits: Splits, measured: Measurements) -> Findings:
    """Findings between clips: duplicates, and recordings in two splits."""
    same: dict[str, list[tuple[Split, str]]] = defaultdict(list)
    for split, clips in splits.items():
        for clip in clips:
            same[measured[clip.id].digest].append((split, clip.id))
    same.pop("", None)
    equal = [members for members in same.values() if len(members) > 1]
    leaks = [f"{group} in {one} and {other}" for group, one, other in find_leaks(splits)]
    return {
        "leak: recording in two splits": leaks,
        "leak: same samples in two splits": _named(m for m in equal if len({split for split, _ in m}) > 1),
        "duplicate": _named(m for m in equal if len({split for split, _ in m}) == 1),
    }


def _named(equal: Iterable[Sequence[tuple[Split, str]]]) -> list[str]:
    return [" = ".join(f"{name} ({split})" for split, name in members) for members in equal]


def _some(splits: Splits, most: int | None) -> Splits:
    """The same splits where they have no more clips, or every n-th clip of each."""
    every = sum(map(len, splits.values()))
    if most is None or every <= most:
        return splits
    step = -(-every // most)
    return {split: members[::step] for split, members in splits.items()}


def _similar(
    splits: Splits,
    measured: Measurements,
    read: Callable[[Clip], Int16],
    sample_rate: int,
    workers: int,
) -> Findings:
    """The same sound in other samples; equal samples are a finding of `_of_splits`."""
    one_of = {measured[c.id].digest: (split, c) for split, clips in splits.items() for c in clips}
    all_prints = [(split, clip, measured[clip.id].prints) for split, clip in one_of.values()]
    members = [(split, clip, prints) for split, clip, prints in all_prints if prints is not None]
    pairs = candidates([prints for _, _, prints in members], [clip.group for _, clip, _ in members])
    found: dict[bool, list[str]] = {True: [], False: []}

    def correlations(share: Sequence[Sequence[int]]) -> list[float]:
        clips = [(members[a][1], members[b][1]) for a, b in share]
        return [correlation(read(one), read(other), sample_rate) for one, other in clips]

    shares = np.array_split(pairs, len(pairs) // _SHARE + 1)
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(correlations, shares)
        bar = tqdm(results, total=len(shares), desc="correlating", unit="share", disable=None)
        for pair, value in zip(pairs, itertools.chain.from_iterable(bar), strict=True):
            if value >= SAME:
                (one, a, _), (other, b, _) = (members[at] for at in pair)
                found[one != other].append(f"{a.id} ({one}) ~ {b.id} ({other}), correlation {value:.2f}")
    return {"leak: same sound in two splits": found[True], "near-duplicate": found[False]}


def _shared(splits: Splits, value: Callable[[Clip], str]) -> list[str]:
    """Values that clips of more than one split have, with those splits."""
    where: dict[str, list[str]] = defaultdict(list)
    for split, clips in splits.items():
        for name in {value(clip) for clip in clips} - {""}:
            where[name].append(split)
    return [f"{name} in {', '.join(found)}" for name, found in sorted(where.items()) if len(found) > 1]


def _count(splits: Splits, values: Callable[[Clip], Sequence[str]]) -> dict[str, dict[str, int]]:
    counts = {split: Counter(v for clip in clips for v in values(clip)) for split, clips in splits.items()}
    return {split: {name: n for name, n in sorted(count.items()) if name} for split, count in counts.items()}
