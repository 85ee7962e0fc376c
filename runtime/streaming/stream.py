"""Predictions of audio that arrives in chunks: one stream, or many that share a network.

A stream is defined by invariance: however a waveform is cut into chunks, the predictions are those that
`Model.classify` gives for the same windows, bit for bit. Reading a file is a fold of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.samples import Array
from runtime.model.prediction import Prediction, classified, to_scores, unclassified
from runtime.spec import ModelSpec
from runtime.streaming.framing import FramedWindow, Framer

Logits = Callable[[Array], Array]  # float32 [batch, 1, n_mels, frames] -> [batch, classes]


class Streams:
    """Many streams of one model; windows that fall due in the same call go through the network together.

    Args:
        spec: of the model.
        logits: runs the network.
        framers: one per stream; each holds all state of its stream, so another `Streams` may go on with it.
        with_columns: keep what `columns` returns.

    Example:
        >>> streams = load_model(model_path).streams(3, hop_s=1.0)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=(3, 32000)).astype(np.float32)
        >>> [len(predictions) for predictions in streams.push(noise)]
        [1, 1, 1]
    """

    def __init__(
        self, spec: ModelSpec, logits: Logits, framers: Sequence[Framer], with_columns: bool = False
    ) -> None:
        self.spec = spec
        self._logits = logits
        self._framers = framers
        self._with_columns = with_columns
        self._batch = np.empty((len(framers), *spec.input_shape[1:]), np.float32)
        self._levels: list[list[float]] = [[] for _ in framers]
        self._columns: list[list[Array | None]] = [[] for _ in framers]

    def push(self, chunks: Sequence[npt.NDArray[Any]]) -> list[list[Prediction]]:
        """Take in the next samples of every stream; an empty chunk for one that has none.

        Args:
            chunks: one per stream, int16 or float [samples] or [samples, channels], of any length.

        Returns:
            for every stream, one prediction for every window that ends in its chunk.

        Raises:
            TypeError: for samples of another dtype.
            AudioError: for samples or a layout that `Converter.push` refuses; the chunks of this call are
                left out of all streams then.
        """
        pairs = zip(self._framers, chunks, strict=True)
        predictions = self._classify(dict(enumerate(framer.push(chunk) for framer, chunk in pairs)))
        return list(predictions.values())

    def whole(self, index: int, waveform: npt.NDArray[Any]) -> list[Prediction]:
        """All of one stream: `push` of a waveform, and `finish`."""
        framer = self._framers[index]
        return self._classify({index: chain(framer.push(waveform), framer.finish())})[index]

    def finish(self, index: int) -> list[Prediction]:
        """End one stream, which starts anew afterwards; see `Framer.finish`."""
        return self._classify({index: self._framers[index].finish()})[index]

    def gap(self, index: int, seconds: float) -> list[Prediction]:
        """Note that one stream lost samples; see `Framer.gap`."""
        return self._classify({index: self._framers[index].gap(seconds)})[index]

    def set_hop(self, hop_s: float) -> None:
        """Change the time between windows of all streams, from the next but one on."""
        for framer in self._framers:
            framer.set_hop(hop_s)

    def reset(self, index: int) -> None:
        """Forget all samples of one stream; its time starts again at zero."""
        self._framers[index].reset()

    def elapsed_s(self, index: int) -> float:
        """Seconds of one stream so far, lost ones included."""
        return self._framers[index].elapsed_s

    def level_dbfs(self, index: int) -> float:
        """RMS of the last window of one stream without its mean, in dB of full scale."""
        return self._framers[index].level_dbfs

    def levels(self, index: int) -> list[float]:
        """The levels of the windows of a stream's last call, in the order of its predictions, dBFS."""
        return self._levels[index]

    def columns(self, index: int) -> list[Array | None]:
        """The new log-mel columns of the same windows, see `Framer.new_columns`; None without them."""
        return self._columns[index]

    def _classify(self, queues: Mapping[int, Iterable[FramedWindow]]) -> dict[int, list[Prediction]]:
        """Round after round, take the next window of every stream that has one, and run them together.

        The windows of one stream never share a batch: a float layer may round otherwise in another batch
        size, and a stream alone must have the predictions of `Model.classify`, bit for bit.
        """
        predictions: dict[int, list[Prediction]] = {index: [] for index in queues}
        for index in queues:
            self._levels[index], self._columns[index] = [], []
        if len(queues) == 1:  # as below, without its bookkeeping
            ((index, queue),) = queues.items()
            for window in queue:
                logits = None if window.log_mel is None else self._run([window.log_mel])[0]
                predictions[index].append(self._predict(index, window, logits))
            return predictions
        active = {index: iter(queue) for index, queue in queues.items()}
        while active:
            due = {index: first for index, queue in active.items() if (first := next(queue, None))}
            active = {index: active[index] for index in due}
            inputs = {index: window.log_mel for index, window in due.items() if window.log_mel is not None}
            computed = dict(zip(inputs, self._run(list(inputs.values())), strict=True))
            for index, window in due.items():
                predictions[index].append(self._predict(index, window, computed.get(index)))
        return predictions

    def _predict(self, index: int, window: FramedWindow, logits: Array | None) -> Prediction:
        """The prediction for a window of a stream, whose level and columns are kept."""
        self._levels[index].append(window.level_dbfs)
        columns = self._framers[index].new_columns(window) if self._with_columns else None
        self._columns[index].append(columns)
        rate = self.spec.frontend.sample_rate
        start_s, end_s = window.start / rate, window.end / rate
        if logits is None:
            return unclassified(window.state, start_s, end_s)
        return classified(to_scores(logits, self.spec), start_s, end_s)

    def _run(self, log_mels: Sequence[Array]) -> Sequence[Array]:
        """The logits of each, from one run of the network."""
        if len(log_mels) < 2:  # nothing to copy
            return [self._logits(log_mel[None, None])[0] for log_mel in log_mels]
        for row, log_mel in enumerate(log_mels):
            self._batch[row, 0] = log_mel
        return list(self._logits(self._batch[: len(log_mels)]))


class Stream:
    """One stream of predictions: `Streams` with a single input.

    Args:
        spec: of the model.
        logits: runs the network.
        framer: cuts the chunks into windows.

    Example:
        >>> stream = load_model(model_path).stream(hop_s=0.5)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=64000).astype(np.float32)
        >>> [p.start_s for p in stream.push(noise[:40000]) + stream.push(noise[40000:])]
        [0.0, 0.5, 1.0]
    """

    def __init__(self, spec: ModelSpec, logits: Logits, framer: Framer) -> None:
        self.spec = spec
        self._streams = Streams(spec, logits, [framer])

    @property
    def level_dbfs(self) -> float:
        """RMS of the last window without its mean, in dB of full scale."""
        return self._streams.level_dbfs(0)

    @property
    def elapsed_s(self) -> float:
        """Seconds of the stream so far, lost ones included."""
        return self._streams.elapsed_s(0)

    def push(self, chunk: npt.NDArray[Any]) -> list[Prediction]:
        """Take in the next samples; see `Streams.push`.

        Args:
            chunk: int16 or float [samples] or [samples, channels], of any length.

        Returns:
            one prediction for every window that ends in this chunk.
        """
        return self._streams.push([chunk])[0]

    def whole(self, waveform: npt.NDArray[Any]) -> list[Prediction]:
        """All of a waveform, as one chunk, and the end of the stream, which starts anew afterwards."""
        return self._streams.whole(0, waveform)

    def flush(self) -> list[Prediction]:
        """End the stream, which starts anew afterwards; see `Framer.finish`."""
        return self._streams.finish(0)

    def gap(self, seconds: float) -> list[Prediction]:
        """Note that samples were lost; see `Framer.gap`."""
        return self._streams.gap(0, seconds)

    def reset(self) -> None:
        """Forget all samples; time starts again at zero."""
        self._streams.reset(0)

    def set_hop(self, hop_s: float) -> None:
        """Change the time between windows, seconds, from the next but one on."""
        self._streams.set_hop(hop_s)
