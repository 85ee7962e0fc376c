"""One sound in many valid files and by many routes, each of which should give the label of the plain file.

The plain file is 16-bit PCM at the model's rate. The rule for a variant, by what its encoding loses:

- ``exact``: it has the plain file's samples. They are read with an error below 2e-6, the label is the same,
  and its probability within 0.02.
- ``resampled``: another rate that holds the plain file's band. The label is the same, and its probability
  within 0.2.
- ``lossy``: 8 bits, companding, a codec, or a rate below the model's. The label is that of the plain sound
  after the same loss, applied to the array and resampled at once by soxr's best quality, and its probability
  within 0.3. Where the two best labels of that reference lie within 0.3, either may come out: the case is
  counted as ``close``.

A refusal is right only where a pipe is asked for a container that needs seeking.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
import soxr

from runtime.audio.samples import as_float
from runtime.classifier import Model
from runtime.cli import classify
from runtime.cli.main import main
from runtime.devices.file_source import FileSource
from runtime.devices.source import Source
from runtime.devices.standard_input import PcmOptions, open_stdin
from runtime.errors import AudioError, AudioWarning, TinysceneError
from runtime.model.prediction import Prediction, clip_mean
from tests.fuzz.audio_variants import EXACT, PERCEPTUAL, RATE, RAW_FORMATS, SECONDS, Variant, encode, writable
from tests.fuzz.containers import unfinished, with_chunks
from train.data.corpus import read_audio
from train.data.datasets.synthetic import SCENES, render

PROBABILITY_TOLERANCE = {"exact": 0.02, "resampled": 0.2, "lossy": 0.3}
MARGIN = 0.3
SAMPLE_TOLERANCE = 2e-6  # the mean of eight equal float32 samples is rounded


class Bench:
    """A model, base sounds, and what the plain files and the references give.

    Args:
        model: with 32 kHz.
        folder: for the files of one case after the other.
        esc10: the folder of ESC-10, whose clips are base sounds too; None without them.
    """

    def __init__(self, model: Model, folder: Path, esc10: Path | None) -> None:
        assert model.spec.frontend.sample_rate == RATE
        self.model, self.folder = model, folder
        self.bases = self._synthetic() + ([] if esc10 is None else self._real(esc10))
        self.outcomes: Counter[str] = Counter()
        self._references: dict[tuple[Any, ...], Prediction] = {}

    def _synthetic(self, count: int = 8) -> list[np.ndarray]:
        scenes = [render(scene, (15, index), RATE, SECONDS) for index in range(4) for scene in SCENES]
        return self._clear([wave / 32768 for wave in scenes], count)

    def _real(self, esc10: Path, count: int = 8) -> list[np.ndarray]:
        waves = []
        for path in sorted((esc10 / "audio").glob("*.ogg"))[::9]:
            wave = as_float(np.asarray(read_audio(path, RATE)))
            begin = min(int(np.argmax(np.abs(wave))), len(wave) - int(SECONDS * RATE))
            waves.append(wave[begin : begin + int(SECONDS * RATE)].astype(float))
        return self._clear(waves, count)

    def _clear(self, waves: list[np.ndarray], count: int) -> list[np.ndarray]:
        """Faded, of 16 bits, at half of full scale: those with the clearest labels, at most two of each."""
        fade = scipy.signal.windows.tukey(int(SECONDS * RATE), 0.02)
        found: list[tuple[float, str, np.ndarray]] = []
        for wave in waves:
            base = np.rint(fade * wave / np.abs(wave).max() * 2**14) / 2**15
            prediction = self.model.classify(base, RATE)
            found.append((margin(prediction), str(prediction.label), base))
        taken: Counter[str] = Counter()
        bases = []
        for clear, label, base in sorted(found, key=lambda one: -one[0]):
            taken[label] += 1
            if clear > MARGIN and taken[label] <= 2:
                bases.append(base)
        return bases[:count]

    def at(self, base: int, rate: int) -> np.ndarray:
        """A base sound at a rate."""
        wave = self.bases[base]
        return wave if rate == RATE else scipy.signal.resample(wave, round(SECONDS * rate))

    def reference(self, variant: Variant) -> Prediction:
        """The prediction that a variant has to have, see the module."""
        lossy = variant.loss == "lossy"
        coding = (variant.container, variant.subtype, variant.rate, variant.channels) if lossy else ()
        key = (variant.base, *coding)
        if key not in self._references:
            wave = self._after_loss(variant) if lossy else self.bases[variant.base]
            self._references[key] = self.model.classify(wave, RATE)
        return self._references[key]

    def _after_loss(self, variant: Variant) -> np.ndarray:
        wave, rate = self.at(variant.base, variant.rate), variant.rate
        if variant.subtype not in EXACT:
            coding = variant.container, variant.subtype
            channels = variant.channels if variant.subtype in PERCEPTUAL else 1
            channels = channels if writable(*coding, channels, rate, "FILE") else variant.channels
            data = io.BytesIO(encode(wave, *coding, channels, rate, "FILE"))
            raw = {"samplerate": rate, "channels": channels, "format": "RAW", "subtype": variant.subtype}
            with soundfile.SoundFile(data, **(raw if variant.container == "RAW" else {})) as file:
                file.seekable = lambda: False  # soundfile seeks after a read, which some codecs cannot
                wave = file.read(file.frames, always_2d=True).mean(axis=1)
        return wave if rate == RATE else soxr.resample(wave, rate, RATE, "VHQ")

    def check(self, variant: Variant) -> str:
        """What is wrong with a case; empty where nothing is. Its outcome is counted."""
        try:
            with self.file_of(variant) as path, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                wrong = self.compare(variant, self._run(variant, path), path)
            noted = [str(one.message) for one in caught if issubclass(one.category, AudioWarning)]
            wrong = wrong or (f"warns: {noted}" if noted else "")
        except TinysceneError as error:
            wrong = self._refused(variant, str(error))
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            self.outcomes["wrong"] += 1
        return wrong

    def _refused(self, variant: Variant, sentence: str) -> str:
        right = variant.route == "pipe" and variant.needs_seeking and "cannot be read from a pipe" in sentence
        if right and "\n" not in sentence and sentence.endswith("."):
            self.outcomes["refused"] += 1
            return ""
        return f"refused: {sentence}"

    def compare(self, variant: Variant, actual: Prediction, path: Path) -> str:
        """What differs from the reference; empty where nothing does."""
        expected = self.reference(variant)
        if variant.loss == "exact" and variant.container != "RAW":
            samples = as_float(np.asarray(read_audio(path, RATE)))
            if samples.shape != self.bases[variant.base].shape:
                return f"{len(samples)} samples"
            if (error := np.abs(samples - self.bases[variant.base]).max()) > SAMPLE_TOLERANCE:
                return f"samples are off by {error:.2g}"
        if variant.loss == "lossy" and margin(expected) < MARGIN:
            self.outcomes["close"] += 1
            return ""
        assert expected.label is not None
        off = abs(actual.scores.get(expected.label, -1) - expected.scores[expected.label])
        if actual.label != expected.label or off > PROBABILITY_TOLERANCE[variant.loss]:
            pairs = [f"{one.label} {one.probability}" for one in (actual, expected)]
            return f"{variant.loss}: {pairs[0]}, expected {pairs[1]}"
        plain = self.model.classify(self.bases[variant.base], RATE)
        self.outcomes[variant.loss if expected.label == plain.label else "label lost with the quality"] += 1
        return ""

    @contextlib.contextmanager
    def file_of(self, variant: Variant) -> Iterator[Path]:
        """The file of a variant, alone in its folder, for as long as it is needed."""
        folder = self.folder / str(variant.seed)
        folder.mkdir()
        target = path = folder / os.fsdecode(variant.stem + variant.suffix.encode())
        paths = [path]
        for index in range(variant.links):
            link, target = target, folder.with_name(f"{folder.name} {index}")
            link.symlink_to(target)
            paths.append(target)
        target.write_bytes(self._bytes_of(variant))
        try:
            yield path
        finally:
            for one in paths:
                one.unlink()
            folder.rmdir()

    def _bytes_of(self, variant: Variant) -> bytes:
        rng = np.random.default_rng((16, variant.seed))
        wave = self.at(variant.base, variant.rate)
        data = encode(
            wave, variant.container, variant.subtype, variant.channels, variant.rate, variant.endian
        )
        if variant.more_chunks and variant.container != "RAW":
            data = with_chunks(data, rng, samples_last=variant.is_unfinished)
        return unfinished(data, rng) if variant.is_unfinished and variant.container != "RAW" else data

    def _run(self, variant: Variant, path: Path) -> Prediction:
        rng = np.random.default_rng((17, variant.seed))
        if variant.route == "pipe" or variant.container == "RAW":
            return self._through_a_pipe(variant, path.read_bytes(), rng)
        if variant.route == "array":
            return self._array(path, rng)
        if variant.route == "training":
            return self.model.classify(np.asarray(read_audio(path, RATE)), RATE)
        if variant.route == "source":
            return self._polled(FileSource(path))
        if variant.route == "redirect":
            return self._redirected(path)
        return self._by_command(variant.route, path)

    def _array(self, path: Path, rng: np.random.Generator) -> Prediction:
        """Decoded by somebody's own program: other dtypes, byte orders and memory layouts."""
        dtype = str(rng.choice(["float32", "float64"]))
        file = io.BytesIO(path.read_bytes())  # without a name, by which soundfile takes .raw for headerless
        samples, rate = soundfile.read(file, dtype=dtype, always_2d=bool(rng.random() < 0.5))
        layouts = (np.asfortranarray, np.ascontiguousarray, lambda a: a.astype(a.dtype.newbyteorder(">")),
                   lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: a[::-1].copy()[::-1])  # fmt: skip
        return self.model.classify(layouts[rng.integers(len(layouts))](samples), rate)

    def _polled(self, source: Source) -> Prediction:
        stream = self.model.stream(self.model.spec.clip_s, source.sample_rate)
        windows = []
        with contextlib.suppress(EOFError):
            while True:
                chunk = source.poll()
                if chunk is None:
                    time.sleep(2e-4)
                else:
                    windows += stream.push(chunk.samples)
        source.close()
        return clip_mean(windows + stream.flush())

    def _redirected(self, path: Path) -> Prediction:
        fd = os.open(path, os.O_RDONLY)
        try:
            return self._polled(open_stdin(fd, PcmOptions(), RATE))
        finally:
            os.close(fd)

    def _through_a_pipe(self, variant: Variant, data: bytes, rng: np.random.Generator) -> Prediction:
        options = PcmOptions()
        if variant.container == "RAW":
            name = RAW_FORMATS[variant.subtype]
            options = PcmOptions(bool(rng.random() < 0.5), variant.rate, variant.channels, name)
        sizes = rng.integers(1, int(rng.choice([200, 5_000, 90_000])), 1_000)
        reader, writer = os.pipe()
        thread = threading.Thread(target=_feed, args=(writer, data, sizes.tolist()))
        thread.start()
        try:
            return self._polled(open_stdin(reader, options, RATE))
        finally:
            os.close(reader)
            thread.join()

    def _by_command(self, route: str, path: Path) -> Prediction:
        code, out, errors = self._command(
            ["classify", str(path if route == "command" else path.parent), "--json"]
        )
        if code:
            raise AudioError(errors.removeprefix("error: ").removesuffix("\n"))
        if errors:
            raise AudioError(f"The command wrote to stderr: {errors}.")
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        row = json.loads(out.rstrip("\n").split("\n")[-1])
        assert row["file"] == name, f"the file is called {row['file']!r}"
        return Prediction(row["label"], float(row["probability"]), row["scores"], 0.0, SECONDS)

    def _command(self, arguments: list[str]) -> tuple[int, str, str]:
        out, errors = io.StringIO(), io.StringIO()
        with (
            _model_of_commands(self.model),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
        ):
            code = main(arguments)
        return code, out.getvalue(), errors.getvalue()


@contextlib.contextmanager
def _model_of_commands(model: Model) -> Iterator[None]:
    """Commands get a model that is loaded already: a load costs more than a case."""
    original = classify.load_model
    classify.load_model = lambda *_: model  # type: ignore[assignment]
    try:
        yield
    finally:
        classify.load_model = original


def _feed(writer: int, data: bytes, sizes: list[int]) -> None:
    place = 0
    with contextlib.suppress(BrokenPipeError):  # refused by its first bytes
        for size in sizes:
            os.write(writer, data[place : place + size])
            place += size
        with open(writer, "wb", closefd=False) as file:
            file.write(data[place:])
    os.close(writer)


def margin(prediction: Prediction) -> float:
    """How far the best label lies above the second."""
    first, second = sorted(prediction.scores.values(), reverse=True)[:2]
    return first - second
