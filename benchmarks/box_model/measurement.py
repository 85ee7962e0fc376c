"""One fold: its model on windows that it was not trained on, under every condition, and on negatives.

All scores are probabilities at temperature 1, so that one temperature can be fitted on the pooled folds.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.esc10 import held_out_windows
from export.pipeline import default_method, export_model
from export.verification.conditions import Condition, conditions
from export.verification.window_scores import float_scores_of, has_signal, scores_of, under, windows_of
from runtime import load_model
from runtime.audio.samples import as_float
from runtime.classifier import Model
from runtime.errors import TinysceneError
from runtime.files import write_beside
from runtime.live.overload import DEFAULT_HOP_S
from train.checkpoints import model_pt
from train.data import ClipData
from train.data.audio_files import find_audio
from train.data.corpus import read_audio
from train.data.datasets.with_negatives import synthetic_noise

Arrays = dict[str, npt.NDArray[Any]]
Scorer = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]

HOP_S = DEFAULT_HOP_S  # of the streams that events are detected in, as in `listen`
# names of sounds to patterns of the files that the recipe leaves out of the training, to be tested here
NEGATIVES: Mapping[str, tuple[str, ...]] = {
    "speech": ("*_george_*", "*_lucas_*", "*voice_latin*"),
    "music": ("*music_[H-M]*", "*loop_[e-m]*"),
    "other sounds": ("*interface_alarm*", "*resource_mining*"),
}
_NOISE_CLIPS = range(1_000, 1_360)  # numbers of clips of 10 s of noise; those of training are smaller
HALVES = ("even", "odd")  # of the negatives: thresholds that one half gives are tested on the other
# responses that the recipe leaves out of the training
MICROPHONES = (
    "American_R331.wav", "Beyer_M360.wav", "GEC_2373.wav", "IR_FosterDynamicDF1.wav",
    "IR_OktavaMK18_Overload.wav", "IR_STC4033_Pressure.wav", "RCA_44BX_1.wav", "RCA_varacoustic_fig8.wav",
    "Shure315_flat.wav",
)  # fmt: skip


def measure_fold(
    path: Path, fold: int, responses: Path, negatives: Sequence[Path], unheard: Path | None = None
) -> Arrays:
    """Export a model and score everything; what was measured before is read again.

    Args:
        path: model.pt of a student that was not trained on the fold.
        fold: of ESC-10.
        responses: folder with the impulse responses of all microphones.
        negatives: folders of sounds of none of the classes, of which the recipes hold some out.
        unheard: folder of folders of more such sounds, named by their kind (`benchmarks.box_model.unheard`).

    Returns:
        ``target`` [windows] and ``clip`` [windows]; ``CONDITION/int8``, ``CONDITION/fp32`` [answered windows,
        classes] and ``CONDITION/answered`` [windows]; ``stream/target`` [clips] and ``stream/N`` [windows at
        a hop of `HOP_S`, classes] of clip N; ``negative/KIND/even`` and ``negative/KIND/odd`` [windows at
        that hop, classes], of every second file each, a row of NaN where a window has no signal; ``bytes``.

    Raises:
        TinysceneError: where the exported file fails its verification, or a folder holds no negative.
    """
    onnx = path.with_suffix(".onnx")

    def of_windows() -> Arrays:
        checkpoint = dataclasses.replace(model_pt.load(path), temperature=1.0)
        exported = export_model(checkpoint, onnx, method=default_method(checkpoint))
        if not exported.verification.passed:
            raise TinysceneError(f"{onnx} was not verified:\n{exported.verification}")
        model, data = load_model(onnx), held_out_windows(checkpoint, fold)
        found = _under_conditions(model, checkpoint, data, responses) | _streams(model, data)
        return {**found, "bytes": np.array(exported.file_bytes)}

    found = _measured_once(path.with_name("measured.npz"), path, of_windows)
    for kind, files in negative_files(negatives, unheard).items():
        # other files, or others in a half, are measured anew, and do not take the place of these
        digest = hashlib.sha256(repr((HALVES, files)).encode()).hexdigest()[:12]
        stored = path.with_name(f"negatives_{kind.replace(' ', '_')}_{digest}.npz")
        found |= _measured_once(stored, onnx, functools.partial(_of_negatives, onnx, kind, files))
    return found


def _of_negatives(onnx: Path, kind: str, files: Sequence[Path | int]) -> Arrays:
    model, found = load_model(onnx), {}
    for number, half in enumerate(HALVES):
        sound = joined(files[number :: len(HALVES)], 32_000, f"{kind}, {half} files")
        found[f"negative/{kind}/{half}"] = _scores(model, sound)
    return found


def _measured_once(stored: Path, source: Path, measure: Callable[[], Arrays]) -> Arrays:
    """The arrays of a file that is newer than what it was measured of; else they are measured and stored."""
    if not stored.is_file() or stored.stat().st_mtime < source.stat().st_mtime:
        found = measure()
        with write_beside(stored) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **found)  # type: ignore[arg-type]
    with np.load(stored) as arrays:
        return dict(arrays)


def _under_conditions(
    model: Model, checkpoint: model_pt.Checkpoint, data: ClipData, responses: Path
) -> Arrays:
    learned = {file.name for file in responses.glob("*.wav")} - set(MICROPHONES)
    scorers: dict[str, Scorer] = {
        "int8": lambda windows: scores_of(model, windows),
        "fp32": lambda windows: float_scores_of(checkpoint, windows),
    }
    return under_conditions(data, conditions(str(responses), tuple(sorted(learned))), scorers)


def under_conditions(data: ClipData, named: Mapping[str, Condition], scorers: Mapping[str, Scorer]) -> Arrays:
    """Score the windows of a test split under conditions.

    Args:
        data: read for the test.
        named: the conditions by their names.
        scorers: by KIND, windows [windows, samples] -> scores [windows, classes].

    Returns:
        ``target`` and ``clip`` [windows]; ``CONDITION/answered`` [windows], and ``CONDITION/KIND`` [answered
        windows, classes].
    """
    waveform, target = windows_of(data)
    found: Arrays = {
        "target": target.argmax(axis=1),
        "clip": np.array([window.clip for window in data.datasets["test"].windows]),
    }
    for name, condition in tqdm(named.items(), desc="conditions", disable=None):
        changed = under(condition, waveform, data.sample_rate)
        answered = has_signal(changed)
        found[f"{name}/answered"] = answered
        for kind, scores in scorers.items():
            found[f"{name}/{kind}"] = scores(changed[answered])
    return found


def _streams(model: Model, data: ClipData) -> Arrays:
    """The clips of the fold, each from its beginning to its end as a stream."""
    dataset = data.datasets["test"]
    found: Arrays = {"stream/target": np.array([clip.target for clip in dataset.clips])}
    for number, wave in enumerate(dataset.samples):
        found[f"stream/{number}"] = _scores(model, as_float(wave))
    return found


def _scores(model: Model, waveform: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Scores [windows, classes] of a stream at a hop of `HOP_S`; NaN where there is no signal."""
    none = dict.fromkeys(model.labels, np.nan)
    predictions = model.windows(waveform, model.spec.frontend.sample_rate, HOP_S)
    scores = [[(p.scores or none)[label] for label in model.labels] for p in predictions]
    return np.array(scores, np.float32)


def negative_files(folders: Iterable[Path], unheard: Path | None = None) -> dict[str, list[Path | int]]:
    """The negatives of each kind: files, and numbers of clips of `synthetic_noise`.

    Args:
        folders: of negatives, of which the recipes hold out `NEGATIVES`.
        unheard: folder of folders of more, named by their kind; None adds none.

    Raises:
        TinysceneError: where there is none of a kind.
    """
    paths = _audio_files(folders)
    found: dict[str, list[Path]] = {}
    for kind, patterns in NEGATIVES.items():
        files = [path for path in paths if any(path.match(pattern) for pattern in patterns)]
        if not files:
            raise TinysceneError(f"The folders of negatives hold no {kind}: name {', '.join(patterns)}.")
        found[kind] = files
    for folder in sorted(unheard.iterdir()) if unheard else []:
        found[folder.name] = [*found.get(folder.name, []), *_audio_files([folder])]
    return {**{kind: _once(files) for kind, files in found.items()}, "noise": [*_NOISE_CLIPS]}


def _once(files: Iterable[Path]) -> list[Path]:
    """The files without those of the same content: a sound of two names would be in both halves."""
    found: dict[bytes, Path] = {}
    for file in files:
        found.setdefault(hashlib.sha256(file.read_bytes()).digest(), file)
    return list(found.values())


def _audio_files(folders: Iterable[Path]) -> list[Path]:
    return [folder / name for folder in folders for name in find_audio(folder, folder).names]


def joined(files: Iterable[Path | int], sample_rate: int, what: str) -> npt.NDArray[np.float32]:
    """Sounds one after the other, float32 [samples]; each file at a peak of 0.5, noise as it is."""
    found = []
    for file in tqdm(files, desc=what, disable=None):
        if isinstance(file, int):
            found.append(as_float(synthetic_noise(file, sample_rate)))
        else:
            wave = as_float(read_audio(file, sample_rate))
            found.append(0.5 * wave / max(np.abs(wave).max(), 1e-4))
    return np.concatenate(found)
