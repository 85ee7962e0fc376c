"""Predictions of audio that arrives in chunks: one stream, or many that share a network.

A stream is defined by invariance: however a waveform is cut into chunks, the predictions are those that
`Model.classify` gives for the same windows, bit for bit. Reading a file is a fold of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.log_mel import Array
from runtime.model.prediction import Prediction, heard, to_scores, unheard
from runtime.spec import ModelSpec
from runtime.streaming.framing import Window, WindowCutter

Logits = Callable[[Array], Array]  # float32 [batch, 1, n_mels, frames] -> [batch, classes]


class Stream:
    """One stream of predictions.

    Args:
        spec: of the model.
        logits: runs the network.
        cutter: cuts the chunks into windows.

    Example:
        >>> stream = load_model(model_path).stream(hop_s=0.5)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=64000).astype(np.float32)
        >>> [p.start_s for p in stream.push(noise[:40000]) + stream.push(noise[40000:])]
        [0.0, 0.5, 1.0]
    """

    def __init__(self, spec: ModelSpec, logits: Logits, cutter: WindowCutter) -> None:
        self.spec = spec
        self._logits = logits
        self._cutter = cutter

    @property
    def level_dbfs(self) -> float:
        """RMS of the last window without its mean, in dB of full scale."""
        return self._cutter.level_dbfs

    def push(self, chunk: npt.NDArray[Any]) -> list[Prediction]:
        """Hear the next samples.

        Args:
            chunk: int16 or float [samples] or [samples, channels], of any length.

        Returns:
            one prediction for every window that ends in this chunk.

        Raises:
            TypeError: for samples of another dtype.
            AudioError: where a sample is NaN or infinite; the chunk is left out of the stream then.
        """
        return self._answer(self._cutter.push(chunk))

    def flush(self) -> list[Prediction]:
        """End the stream, which is as new afterwards; see `WindowCutter.finish`."""
        return self._answer(self._cutter.finish())

    def gap(self, seconds: float) -> list[Prediction]:
        """Note that samples were lost; see `WindowCutter.gap`."""
        return self._answer(self._cutter.gap(seconds))

    def reset(self) -> None:
        """Forget all that was heard; time starts again at zero."""
        self._cutter.reset()

    def set_hop(self, hop_s: float) -> None:
        """Change the time between windows, seconds, from the next but one on."""
        self._cutter.set_hop(hop_s)

    def _answer(self, windows: Iterable[Window]) -> list[Prediction]:
        # One by one, never as a batch: another batch size may round float layers otherwise.
        return [
            _predict(self.spec, w, None if w.log_mel is None else self._logits(w.log_mel[None, None])[0])
            for w in windows
        ]


class Streams:
    """Many streams of one model; windows that fall due in the same call go through the network together.

    Args:
        spec: of the model.
        logits: runs the network.
        cutters: one per stream.

    Example:
        >>> streams = load_model(model_path).streams(3, hop_s=1.0)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=(3, 32000)).astype(np.float32)
        >>> [len(predictions) for predictions in streams.push(noise)]
        [1, 1, 1]
    """

    def __init__(self, spec: ModelSpec, logits: Logits, cutters: Sequence[WindowCutter]) -> None:
        self.spec = spec
        self._logits = logits
        self._cutters = cutters
        self._batch = np.empty((len(cutters), *spec.input_shape[1:]), np.float32)
        self._levels: list[list[float]] = [[] for _ in cutters]

    def push(self, chunks: Sequence[npt.NDArray[Any]]) -> list[list[Prediction]]:
        """Hear the next samples of every stream, as `Stream.push`; an empty chunk for one that has none."""
        pairs = zip(self._cutters, chunks, strict=True)
        answers = self._answer(dict(enumerate(cutter.push(chunk) for cutter, chunk in pairs)))
        return list(answers.values())

    def finish(self, index: int) -> list[Prediction]:
        """End one stream, which is as new afterwards; see `WindowCutter.finish`."""
        return self._answer({index: self._cutters[index].finish()})[index]

    def gap(self, index: int, seconds: float) -> list[Prediction]:
        """Note that one stream lost samples; see `WindowCutter.gap`."""
        return self._answer({index: self._cutters[index].gap(seconds)})[index]

    def set_hop(self, hop_s: float) -> None:
        """Change the time between windows of all streams, from the next but one on."""
        for cutter in self._cutters:
            cutter.set_hop(hop_s)

    def cutter(self, index: int) -> WindowCutter:
        """What cuts a stream: how much of it was heard."""
        return self._cutters[index]

    def levels(self, index: int) -> list[float]:
        """The levels of the windows of a stream's last answer, in the order of its predictions, dBFS."""
        return self._levels[index]

    def _answer(self, queues: Mapping[int, Iterable[Window]]) -> dict[int, list[Prediction]]:
        """Round after round, take the next window of every stream that has one, and run them together."""
        answers: dict[int, list[Prediction]] = {index: [] for index in queues}
        for index in queues:
            self._levels[index] = []
        active = {index: iter(queue) for index, queue in queues.items()}
        while active:
            due = {index: window for index, queue in active.items() if (window := next(queue, None))}
            active = {index: active[index] for index in due}
            for index, prediction in self._round(due).items():
                answers[index].append(prediction)
                self._levels[index].append(due[index].level_dbfs)
        return answers

    def _round(self, due: dict[int, Window]) -> dict[int, Prediction]:
        heard_ones = [index for index, window in due.items() if window.log_mel is not None]
        for row, index in enumerate(heard_ones):
            self._batch[row, 0] = due[index].log_mel
        logits = self._logits(self._batch[: len(heard_ones)]) if heard_ones else self._batch[:0, 0, 0]
        of = dict(zip(heard_ones, logits, strict=True))
        return {index: _predict(self.spec, window, of.get(index)) for index, window in due.items()}


def _predict(spec: ModelSpec, window: Window, logits: Array | None) -> Prediction:
    rate = spec.frontend.sample_rate
    start_s, end_s = window.start / rate, window.end / rate
    if logits is None:
        return unheard(window.state, start_s, end_s)
    return heard(to_scores(logits, spec), start_s, end_s)
