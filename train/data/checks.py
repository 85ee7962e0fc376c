"""``python -m train check-data``: what is wrong with a corpus, before a training tells it by bad scores."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm import tqdm

from runtime import entry_point
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.samples import as_float, to_int16
from runtime.errors import TinysceneError
from train.data.corpus import SPLITS, Clip, Corpus, FileCorpus, Samples, Split, find_leaks
from train.data.near_duplicates import SAME, candidates, correlation, fingerprint
from train.data.recipe import corpus_parser, parse
from train.plots import pyplot, save_figure

_FULL_SCALE = 32_767
_CLIPPED_SHARE = 1e-3  # of samples at full scale: below it a peak just touches
_SHARE = 64  # pairs that a thread correlates at a time
_SHOWN = 5  # examples of each finding in the text; the JSON has all


@dataclass(frozen=True)
class Heard:
    """What listening to one clip tells.

    Attributes:
        problem: ``""``, or why it cannot be read.
        seconds: length.
        level_dbfs: RMS without the mean, dB of full scale.
        clipped: share of samples at full scale.
        file_rate: sample rate of its file in Hz; 0 where the corpus has no files.
        digest: of the samples, to find doubles.
        fingerprint: of the sound, see `train.data.near_duplicates`; None where it is silent.
    """

    problem: str
    seconds: float = 0.0
    level_dbfs: float = -np.inf
    clipped: float = 0.0
    file_rate: int = 0
    digest: str = ""
    fingerprint: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Health:
    """A corpus, examined.

    Attributes:
        clips: of each split.
        hours: of each split.
        unlabelled: clips of each split that nobody labelled.
        classes: split to label to clips.
        devices: split to device to clips.
        cities: split to city to clips.
        sample_rates: of the files, Hz, to clips.
        notes: what is worth knowing and no fault.
        findings: kind of finding to what it concerns; a corpus without any is sound.
        seconds: length of every clip that can be read.
        levels_dbfs: level of every clip that can be read.
    """

    clips: dict[str, int]
    hours: dict[str, float]
    unlabelled: dict[str, int]
    classes: dict[str, dict[str, int]]
    devices: dict[str, dict[str, int]]
    cities: dict[str, dict[str, int]]
    sample_rates: dict[int, int]
    notes: dict[str, list[str]]
    findings: dict[str, list[str]]
    seconds: tuple[float, ...]
    levels_dbfs: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values; lengths and levels of single clips are left to the picture."""
        return {k: v for k, v in asdict(self).items() if k not in ("seconds", "levels_dbfs")}

    def to_text(self) -> str:
        """Counts and findings for people."""
        lines = [
            f"{split}: {n} clips, {self.hours[split]:.2f} h"
            + (f", {self.unlabelled[split]} of them not labelled" if self.unlabelled[split] else "")
            for split, n in self.clips.items()
        ]
        for name, table in (("class", self.classes), ("device", self.devices), ("city", self.cities)):
            for value in sorted({value for counts in table.values() for value in counts}):
                counts = "  ".join(f"{split} {table[split].get(value, 0):6}" for split in table)
                lines.append(f"  {name} {value:20} {counts}")
        for kind, members in {**self.notes, **self.findings}.items():
            more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
            lines.append(f"{kind}: {len(members)}\n    " + "\n    ".join(members[:_SHOWN]) + more)
        return "\n".join(lines if self.findings else [*lines, "nothing found"])

    def plot(self, path: Path) -> None:
        """Draw counts by class and device, lengths and levels into a PNG."""
        figure, axes = pyplot().subplots(2, 2, figsize=(12, 8), layout="constrained")
        _stack(axes[0][0], self.classes, "class")
        _stack(axes[0][1], self.devices, "device")
        axes[1][0].hist(self.seconds, bins=40)
        axes[1][0].set_xlabel("length (s)")
        axes[1][1].hist(np.maximum(self.levels_dbfs, -100), bins=40)
        axes[1][1].axvline(NO_SIGNAL_DBFS, linestyle="--", color="black")
        axes[1][1].set_xlabel("level (dBFS), silence left of the line")
        save_figure(figure, path)


def _stack(axis: Any, table: Mapping[str, Mapping[str, int]], name: str) -> None:
    """Bars of counts, one colour a split."""
    axis.set_title(f"clips by {name}" if any(table.values()) else f"no {name} is named")
    values = sorted({value for counts in table.values() for value in counts})
    base = np.zeros(len(values))
    for split, counts in table.items():
        heights = np.array([counts.get(value, 0) for value in values], float)
        axis.bar(values, heights, bottom=base, label=split)
        base += heights
    axis.tick_params(axis="x", rotation=60)
    axis.margins(y=0.2)  # room for the legend
    axis.legend(loc="upper center", ncols=len(table))


def main(arguments: list[str]) -> int:
    """Examine and print; 1 where something was found."""
    parser = corpus_parser("check-data", __doc__)
    parser.add_argument("--plot", type=str, metavar="FILE", help="draw an overview (PNG)")
    parser.add_argument("--json", action="store_true", help="print JSON with all findings")
    parser.add_argument(
        "--city-disjoint", action="store_true", help="a city in two splits is a leak, no mere note"
    )
    options, corpus, sample_rate = parse(parser, arguments)
    health = examine(corpus, sample_rate, workers=options.workers, city_disjoint=options.city_disjoint)
    print(json.dumps(health.to_dict(), indent=2) if options.json else health.to_text())
    if options.plot:
        health.plot(Path(options.plot))
    return entry_point.EXIT_NEGATIVE if health.findings else entry_point.EXIT_OK


def examine(corpus: Corpus, sample_rate: int, *, workers: int = 1, city_disjoint: bool = False) -> Health:
    """Listen to every clip and hold the splits against each other.

    Args:
        corpus: any.
        sample_rate: Hz that clips are resampled to, as in training.
        workers: threads.
        city_disjoint: whether a city in two splits is a fault; official splits of scenes share them.
    """
    splits = {split: corpus.clips(split) for split in SPLITS}
    members = [clip for clips in splits.values() for clip in clips]
    with ThreadPoolExecutor(workers) as pool:
        listen = pool.map(lambda clip: _listen(corpus, clip, sample_rate), members)
        heard = list(tqdm(listen, total=len(members), desc="listening", unit="clip", disable=None))
    of_clip = {clip.id: result for clip, result in zip(members, heard, strict=True)}
    rates = Counter(result.file_rate for result in heard if result.file_rate)
    findings = _of_clips(of_clip, rates) | _of_splits(splits, of_clip)
    findings |= _similar(splits, of_clip, lambda clip: _read(corpus, clip, sample_rate), sample_rate, workers)
    cities = _shared(splits, lambda clip: clip.city)
    notes = {"city in two splits": [] if city_disjoint else cities}
    findings["leak: city in two splits"] = cities if city_disjoint else []
    sound = [result for result in heard if not result.problem]
    return Health(
        clips={split: len(clips) for split, clips in splits.items()},
        hours={s: sum(of_clip[c.id].seconds for c in clips) / 3600 for s, clips in splits.items()},
        unlabelled={s: sum(c.targets is None for c in clips) for s, clips in splits.items()},
        classes=_count(splits, lambda clip: [corpus.labels[target] for target in clip.targets or ()]),
        devices=_count(splits, lambda clip: [clip.device]),
        cities=_count(splits, lambda clip: [clip.city]),
        sample_rates=dict(rates),
        notes={kind: found for kind, found in notes.items() if found},
        findings={kind: found for kind, found in findings.items() if found},
        seconds=tuple(result.seconds for result in sound),
        levels_dbfs=tuple(result.level_dbfs for result in sound),
    )


def _read(corpus: Corpus, clip: Clip, sample_rate: int) -> npt.NDArray[np.int16]:
    return to_int16(as_float(corpus.read(clip, sample_rate)))


def _listen(corpus: Corpus, clip: Clip, sample_rate: int) -> Heard:
    try:
        samples = _read(corpus, clip, sample_rate)
        rate = soundfile.info(corpus.path(clip)).samplerate if isinstance(corpus, FileCorpus) else 0
    except TinysceneError as error:
        return Heard(problem=str(error))
    level = level_dbfs(as_float(samples))
    return Heard(
        problem="",
        seconds=len(samples) / sample_rate,
        level_dbfs=level,
        clipped=float((np.abs(samples.astype(np.int32)) >= _FULL_SCALE).mean()),
        file_rate=rate,
        digest=hashlib.sha1(samples.tobytes(), usedforsecurity=False).hexdigest(),
        fingerprint=fingerprint(samples, sample_rate) if level >= NO_SIGNAL_DBFS else None,
    )


def _of_clips(heard: Mapping[str, Heard], rates: Counter[int]) -> dict[str, list[str]]:
    """Findings that each clip has by itself."""
    usual = rates.most_common(1)[0][0] if rates else 0
    found = defaultdict(list)
    for name, result in heard.items():
        if result.problem:
            found["empty" if "no samples" in result.problem else "unreadable"].append(result.problem)
            continue
        if result.clipped > _CLIPPED_SHARE:
            found["clipped"].append(f"{name} ({result.clipped:.1%} of samples at full scale)")
        if result.level_dbfs < NO_SIGNAL_DBFS:
            found["silent"].append(name)
        if result.file_rate != usual:
            found["other sample rate"].append(f"{name} ({result.file_rate} Hz, most have {usual} Hz)")
    return dict(found)


def _of_splits(splits: Mapping[Split, Sequence[Clip]], heard: Mapping[str, Heard]) -> dict[str, list[str]]:
    """Findings between clips: doubles, and what stands on both sides of a split."""
    same: dict[str, list[tuple[Split, str]]] = defaultdict(list)
    for split, clips in splits.items():
        for clip in clips:
            same[heard[clip.id].digest].append((split, clip.id))
    same.pop("", None)
    doubles = [members for members in same.values() if len(members) > 1]
    return {
        "leak: recording in two splits": [
            f"{g} in {one} and {other}" for g, one, other in find_leaks(splits)
        ],
        "leak: same samples in two splits": list(_named(d for d in doubles if len({s for s, _ in d}) > 1)),
        "duplicate": list(_named(d for d in doubles if len({s for s, _ in d}) == 1)),
    }


def _similar(
    splits: Mapping[Split, Sequence[Clip]],
    heard: Mapping[str, Heard],
    read: Callable[[Clip], Samples],
    sample_rate: int,
    workers: int,
) -> dict[str, list[str]]:
    """The same sound in other samples; equal samples are `_of_splits`' finding."""
    one_of = {heard[c.id].digest: (split, c) for split, clips in splits.items() for c in clips}
    members = [(s, c) for digest, (s, c) in one_of.items() if heard[c.id].fingerprint is not None]
    pairs = candidates([heard[c.id].fingerprint for _, c in members], [c.group for _, c in members])
    found: dict[bool, list[str]] = {True: [], False: []}

    def likeness(share: Sequence[Sequence[int]]) -> list[float]:
        return [correlation(*(read(members[at][1]) for at in pair), sample_rate) for pair in share]

    shares = np.array_split(pairs, len(pairs) // _SHARE + 1)
    with ThreadPoolExecutor(workers) as pool:
        alike = tqdm(
            pool.map(likeness, shares), total=len(shares), desc="correlating", unit="share", disable=None
        )
        for pair, value in zip(pairs, itertools.chain.from_iterable(alike), strict=True):
            if value >= SAME:
                (one, a), (other, b) = (members[at] for at in pair)
                found[one != other].append(f"{a.id} ({one}) ~ {b.id} ({other}), correlation {value:.2f}")
    return {"leak: same sound in two splits": found[True], "near-duplicate": found[False]}


def _shared(splits: Mapping[Split, Sequence[Clip]], value: Callable[[Clip], str]) -> list[str]:
    """Values that clips of more than one split have, with those splits."""
    where: dict[str, list[str]] = defaultdict(list)
    for split, clips in splits.items():
        for name in {value(clip) for clip in clips} - {""}:
            where[name].append(split)
    return [f"{name} in {', '.join(found)}" for name, found in sorted(where.items()) if len(found) > 1]


def _named(doubles: Iterator[list[tuple[Split, str]]]) -> Iterator[str]:
    for members in doubles:
        yield " = ".join(f"{name} ({split})" for split, name in members)


def _count(
    splits: Mapping[Split, Sequence[Clip]], values: Callable[[Clip], Sequence[str]]
) -> dict[str, dict[str, int]]:
    counts = {split: Counter(v for clip in clips for v in values(clip)) for split, clips in splits.items()}
    return {split: {name: n for name, n in sorted(count.items()) if name} for split, count in counts.items()}
