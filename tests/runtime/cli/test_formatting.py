"""How predictions are shown: one label, or for a multi-label model all that reach their thresholds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.cli.formatting import LabelFormatter, line
from runtime.cli.main import main
from runtime.model.model_file import append_checksum
from runtime.model.prediction import Prediction, classified, unclassified
from runtime.spec import ModelSpec
from runtime.streaming.events import EventRules
from tests.runtime.conftest import build_onnx, with_self_test

RULES = EventRules(enter_of={"dog": 0.8, "rain": 0.3})
ONE, MANY = LabelFormatter("single_label", RULES), LabelFormatter("multi_label", RULES)


def window(start_s: float, dog: float, rain: float) -> Prediction:
    return classified({"dog": dog, "rain": rain}, start_s, start_s + 1.0)


def test_one_label_and_its_runners_up() -> None:
    assert ONE.describe(window(0, 0.6, 0.4), top=2) == "dog 0.60  rain 0.40"
    assert ONE.describe(unclassified("gap", 0, 1)) == "(samples lost)"
    doubtful = dataclasses.replace(window(0, 0.6, 0.2), label=None, state="unknown")
    assert ONE.describe(doubtful) == "(unknown)  dog 0.60"


def test_a_label_that_was_chosen_by_its_threshold_stands_before_a_likelier_one() -> None:
    chosen = dataclasses.replace(window(0, 0.6, 0.4), label="rain", probability=0.4)
    assert ONE.describe(chosen, top=2) == "rain 0.40  dog 0.60"


@pytest.mark.parametrize(
    ("dog", "rain", "shown"),
    [(0.9, 0.3, "dog 0.90  rain 0.30"), (0.8, 0.85, "rain 0.85  dog 0.80"), (0.79, 0.3, "rain 0.30"),
     (0.79, 0.2, "(unknown)  dog 0.79")],
)  # fmt: skip
def test_all_labels_that_reach_their_thresholds(dog: float, rain: float, shown: str) -> None:
    assert MANY.describe(window(0, dog, rain), top=1) == shown


def test_runs_of_several_labels() -> None:
    windows = [
        window(0, 0.9, 0.5), window(1, 0.8, 0.9), window(2, 0.9, 0.1), window(3, 0.1, 0.1),
        unclassified("no_signal", 4, 5), window(5, 0.2, 0.3),
    ]  # fmt: skip
    assert [line(run).split(maxsplit=4)[::2] for run in MANY.runs(windows)] == [
        ["0.00", "2.00", "dog 0.85  rain 0.70"],
        ["2.00", "3.00", "dog 0.90"],
        ["3.00", "4.00", "(unknown)"],
        ["4.00", "5.00", "(no signal)"],
        ["5.00", "6.00", "rain 0.30"],
    ]
    assert [run.end_s for run in ONE.runs(windows)] == [1.0, 2.0, 4.0, 5.0, 6.0]


@pytest.fixture(scope="module")
def several_path(spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a sigmoid for each label and a threshold that hum alone does not reach."""
    several = dataclasses.replace(spec, task="multi_label", thresholds={"hum": 0.999999, "dog": 0.6})
    path = tmp_path_factory.mktemp("several") / "several.onnx"
    path.write_bytes(append_checksum(build_onnx(with_self_test(several))))
    return path


@pytest.fixture
def bands(tmp_path: Path) -> Path:
    """Dog's and rain's bands together, then hum's; a second of silence around."""
    spectrum = np.fft.rfft(np.random.default_rng(5).normal(size=96_000))
    hz = np.fft.rfftfreq(96_000, 1 / 32_000)
    parts = [np.zeros(32_000)]
    for inside in ((hz > 1100) & (hz < 2600) | (hz > 9000), (hz > 50) & (hz < 700)):
        sound = np.fft.irfft(spectrum * inside)
        parts += [0.1 * sound / sound.std(), np.zeros(32_000)]
    soundfile.write(tmp_path / "bands.wav", np.concatenate(parts), 32_000, subtype="FLOAT")
    return tmp_path / "bands.wav"


def test_classify_shows_all_labels(
    several_path: Path, bands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["classify", str(bands), "--model", str(several_path)]
    main(common)
    _, *timeline, clip = capsys.readouterr().out.splitlines()
    shown = [text.split()[4::2] for text in timeline if " signal)" not in text]
    assert set(shown[0]) == {"dog", "rain"} and shown[1] == ["(unknown)"]
    main([*common, "--threshold", "hum=0.5"])
    assert "s  hum" in capsys.readouterr().out
    main([*common, "--json"])
    for answer in map(json.loads, capsys.readouterr().out.splitlines()):
        assert not answer["scores"] or list(answer["scores"]) == ["hum", "dog", "clock", "rain"]
    assert clip.startswith("  the clip: ")


def test_listen_shows_the_labels_whose_events_are_active(
    several_path: Path, bands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["listen", str(bands), "--model", str(several_path), "--top", "1"]
    main(common)
    lines = capsys.readouterr().out.splitlines()
    assert any("dog" in text and "rain" in text for text in lines)
    assert not any("clock" in text for text in lines if "(unknown)" not in text)
    assert any("(unknown)  hum" in text for text in lines)
    main([*common, "--events"])
    events = [text.split()[2:4] for text in capsys.readouterr().out.splitlines()]
    assert sorted(events[:2]) == [["onset", "dog"], ["onset", "rain"]]
    assert sorted(events[2:]) == [["offset", "dog"], ["offset", "rain"]]
