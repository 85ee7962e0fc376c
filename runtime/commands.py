"""What the commands of ``python -m runtime`` do; `runtime.__main__` reads their arguments."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from runtime.classifier import Model, load_model
from runtime.door import EXIT_OK, EXIT_UNUSABLE
from runtime.errors import TinysceneError
from runtime.prediction import ClipMean, Prediction
from runtime.sources import AudioFile
from runtime.timeline import describe, line, runs, to_json


def classify(arguments: Namespace) -> int:
    """Classify files one after the other; a file that cannot be used does not stop the others."""
    model = load_model(arguments.model)
    code = EXIT_OK
    for path in arguments.files:
        try:
            _classify_file(model, AudioFile.open(path), arguments)
        except TinysceneError as error:
            print(f"error: {error}", file=sys.stderr)
            code = EXIT_UNUSABLE
    return code


def _classify_file(model: Model, file: AudioFile, arguments: Namespace) -> None:
    mean = ClipMean()
    windows = _windows(model, file, mean, arguments)
    if arguments.json:
        for window in windows:
            print(to_json(window, file=str(file.path), span="window"))
        print(to_json(mean.answer(), file=str(file.path), span="clip"), flush=True)
        return
    rates = f"{file.sample_rate} -> {model.spec.frontend.sample_rate} Hz"
    print(f"{file.path}  ({rates}, {file.channels} channel{'s' * (file.channels > 1)})")
    for run in runs(windows):
        print(line(run))
    print(f"  the clip: {describe(mean.answer(), top=3)}", flush=True)


def _windows(model: Model, file: AudioFile, mean: ClipMean, arguments: Namespace) -> Iterator[Prediction]:
    """The predictions of a file's windows as it is decoded, counted into ``mean`` on the way."""
    hop_s = model.spec.clip_s if arguments.hop is None else arguments.hop
    stream = model.stream(hop_s, file.sample_rate, arguments.channel)
    for block in file.blocks():
        for prediction in stream.push(block):
            mean.add(prediction)
            yield prediction
    for prediction in stream.flush():
        mean.add(prediction)
        yield prediction
