"""Two thousand valid but unusual files, folders and tables: read as the plain ones are, or refused rightly.

A case is made from its number alone, which is its seed; a failure prints it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from runtime.classifier import load_model
from tests.fuzz import corpus_variants
from tests.fuzz.audio_bench import Bench
from tests.fuzz.audio_variants import RATE, draw
from tests.train.test_parity import TOLERANCE, runtime_log_mels, training_log_mels

SOME_AUDIO, MANY_AUDIO = 20, 1_400
SOME_CORPORA, MANY_CORPORA = 5, 300  # of folders, and as many of tables


def bench(folder: Path) -> Bench:
    esc10 = os.environ.get("ESC10_DIR")
    return Bench(load_model(), folder, Path(esc10) if esc10 else None)


def check_audio(folder: Path, seeds: range) -> Counter[str]:
    """Outcomes of cases, none of which may be wrong."""
    made, wrong = bench(folder), []
    for seed in seeds:
        variant = draw(seed, len(made.bases))
        if problem := made.check(variant):
            wrong.append(f"{problem}: {variant}")
    assert not wrong, "\n".join(wrong)
    return made.outcomes


def check_corpora(folder: Path, kind: str, seeds: range) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    wrong = []
    for seed in seeds:
        top = folder / f"{kind} {seed}"
        outcome, problem = corpus_variants.check(kind, corpus_variants.make(kind, seed, top))
        shutil.rmtree(top)
        outcomes[outcome] += 1
        if problem:
            wrong.append(f"{kind} {seed}: {problem}")
    assert not wrong, "\n".join(wrong)
    return outcomes


def test_some_audio_files(tmp_path: Path) -> None:
    outcomes = check_audio(tmp_path, range(SOME_AUDIO))
    assert sum(outcomes.values()) == SOME_AUDIO


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_some_folders_and_tables(tmp_path: Path, kind: str) -> None:
    assert check_corpora(tmp_path, kind, range(SOME_CORPORA))["same"] > 0


@pytest.mark.slow
def test_many_audio_files(tmp_path: Path) -> None:
    outcomes = check_audio(tmp_path, range(MANY_AUDIO))
    assert sum(outcomes.values()) == MANY_AUDIO
    compared = outcomes["exact"] + outcomes["resampled"] + outcomes["lossy"]
    assert compared > 0.8 * MANY_AUDIO and outcomes["refused"] > 0, outcomes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "table"])
def test_many_folders_and_tables(tmp_path: Path, kind: str) -> None:
    assert check_corpora(tmp_path, kind, range(MANY_CORPORA))["same"] > 0.7 * MANY_CORPORA


@pytest.mark.slow
def test_training_and_runtime_compute_the_same_log_mel_of_unusual_files(tmp_path: Path) -> None:
    made = bench(tmp_path)
    for seed in range(0, MANY_AUDIO, 10):
        variant = draw(seed, len(made.bases))
        if variant.container == "RAW":
            continue
        with made.file_of(variant) as path:
            expected, actual = np.stack(runtime_log_mels(path)), training_log_mels(path).numpy()
        assert actual.shape == expected.shape and np.abs(actual - expected).max() < TOLERANCE, variant


def test_a_difference_is_noticed(tmp_path: Path) -> None:
    """The checks themselves: one sample, one label and one clip that differ are wrong."""
    made = bench(tmp_path)
    drawn = (draw(seed, len(made.bases)) for seed in range(100))
    variant = next(one for one in drawn if one.loss == "exact" and one.route == "source")
    assert made.check(variant) == ""
    prediction = made.model.classify(made.bases[variant.base], RATE)
    other = next(label for label in made.model.labels if label != prediction.label)
    with made.file_of(variant) as path:
        assert other in made.compare(variant, dataclasses.replace(prediction, label=other), path)
        made.bases[variant.base][1000] += 1e-4
        assert "samples are off" in made.compare(variant, prediction, path)
    case = corpus_variants.make("folder", 1, tmp_path / "corpus")
    assert corpus_variants.check("folder", case) == ("same", "")
    (content, label), *_ = case.pairs
    case.pairs[content, label] -= 1
    case.pairs[content, f"no {label}"] += 1
    assert f"lost ['no {label}']" in corpus_variants.check("folder", case)[1]
