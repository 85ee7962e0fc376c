"""The public API: `load_model`, then `Model.classify`, `Model.windows` or `Model.stream`."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from runtime.audio.converter import warn
from runtime.errors import AudioError, ConfigError, ModelFileError
from runtime.live.overload import DEFAULT_HOP_S
from runtime.model.native_library import installed_library
from runtime.model.native_session import SUFFIXES, NativeSession
from runtime.model.prediction import Prediction, clip_mean
from runtime.streaming.framing import Framer
from runtime.streaming.stream import Stream, Streams

if TYPE_CHECKING:
    from runtime.model.session import Provider, Session

_IDLE = 4  # streams that a model keeps for `classify`, one for each rate and hop that was used last


class Model:
    """A loaded model; see `load_model`.

    Args:
        session: the network, checked.
        temperature: in place of the one in the file.

    Attributes:
        spec: the description of the model in the file.

    Example:
        >>> model = load_model(model_path)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=48000).astype(np.float32)
        >>> prediction = model.classify(noise, sample_rate=48000)
        >>> prediction.label in model.labels, prediction.state, prediction.end_s
        (True, 'ok', 1.0)
    """

    def __init__(self, session: Session | NativeSession, temperature: float | None = None) -> None:
        self.session = session
        self.spec = session.spec
        if temperature is not None:
            if not 0 < temperature < math.inf:
                raise ConfigError(f"A temperature of {temperature} is not positive: give one such as 1.5.")
            self.spec = dataclasses.replace(session.spec, temperature=temperature)
        self._idle: dict[tuple[float, int], Stream] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the scores."""
        return self.spec.labels

    def classify(self, waveform: npt.NDArray[Any], sample_rate: int) -> Prediction:
        """One prediction for a clip: the mean over its windows, which lie side by side.

        A last window, aligned to the end, covers what remains. Windows without signal are left out of
        the mean. A clip shorter than one window is padded with zeros at its end.

        Args:
            waveform: int16 or float [samples] or [samples, channels].
            sample_rate: of the waveform, Hz.

        Raises:
            AudioError: where there are no samples, one is NaN or infinite, the peak is far above full scale,
                or the layout is another, such as [channels, samples].
            TypeError: for samples of another dtype.
        """
        predictions = self.windows(waveform, sample_rate)
        if len(predictions) == 1 and predictions[0].scores:
            return predictions[0]  # its own mean
        return clip_mean(predictions)

    def windows(
        self, waveform: npt.NDArray[Any], sample_rate: int, hop_s: float | None = None
    ) -> list[Prediction]:
        """The predictions for all windows of a waveform, as `Stream.whole` gives them.

        Args:
            waveform: int16 or float [samples] or [samples, channels].
            sample_rate: of the waveform, Hz.
            hop_s: seconds from one window to the next; the length of a window where None.

        Raises:
            AudioError, TypeError: see `classify`.
        """
        if np.size(waveform) == 0:
            raise AudioError("The audio holds no samples: record it again.")
        # The buffers of a stream cost an eighth of a window's time to make, so they are used again. Two
        # threads never get the same stream, because pop is atomic; one whose push failed is dropped.
        key = (self.spec.clip_s if hop_s is None else hop_s, sample_rate)
        stream = self._idle.pop(key, None) or self.stream(*key)
        predictions = stream.whole(waveform)
        self._idle[key] = stream
        if len(self._idle) > _IDLE:
            self._idle.pop(next(iter(tuple(self._idle))), None)
        return predictions

    def windows_of(
        self,
        blocks: Iterable[npt.NDArray[Any]],
        sample_rate: int,
        hop_s: float | None = None,
        channel: int | None = None,
        on_note: Callable[[str], None] = warn,
    ) -> Iterator[Prediction]:
        """The predictions for audio in blocks, window after window in constant memory.

        Args:
            blocks: int16 or float [samples] or [samples, channels], such as `AudioFile.blocks`.
            sample_rate: of the blocks, Hz.
            hop_s: seconds from one window to the next; the length of a window where None.
            channel: which channel to take; their mean where None.
            on_note: called with what is wrong with the audio without being refused, a sentence. An
                `AudioWarning` by default.

        Raises:
            AudioError, TypeError: see `classify`.
            ConfigError: where the rate, the hop or the channel makes no sense.
        """
        framer = self.framer(self.spec.clip_s if hop_s is None else hop_s, sample_rate, channel, on_note)
        stream = Stream(self.spec, self.session.logits, framer)
        for block in blocks:
            yield from stream.push(block)
        yield from stream.flush()

    def stream(
        self, hop_s: float = DEFAULT_HOP_S, sample_rate: int | None = None, channel: int | None = None
    ) -> Stream:
        """Start a stream of predictions for audio that arrives in chunks.

        Args:
            hop_s: seconds from one window to the next.
            sample_rate: of the chunks, Hz; the model's own where None. Another is resampled on the way.
            channel: which channel of a chunk [samples, channels] to take; their mean where None.

        Raises:
            ConfigError: where one of them makes no sense.
        """
        return Stream(self.spec, self.session.logits, self.framer(hop_s, sample_rate, channel))

    def streams(
        self,
        count: int,
        hop_s: float = DEFAULT_HOP_S,
        sample_rate: int | None = None,
        channel: int | None = None,
    ) -> Streams:
        """Start ``count`` streams that share this network; the rest as in `stream`."""
        framers = [self.framer(hop_s, sample_rate, channel) for _ in range(count)]
        return Streams(self.spec, self.session.logits, framers)

    def framer(
        self,
        hop_s: float,
        sample_rate: int | None = None,
        channel: int | None = None,
        on_note: Callable[[str], None] = warn,
    ) -> Framer:
        """The windows of a stream, with this model's front end; see `Framer`."""
        return Framer(self.spec, hop_s, sample_rate, channel, self.session.front_end, on_note)


def load_model(
    path: str | Path | None = None,
    temperature: float | None = None,
    threads: int = 1,
    providers: Sequence[Provider] | None = None,
) -> Model:
    """Load and check a model file.

    Args:
        path: an .onnx file of `python -m export onnx`, or the shared library that `python -m export c` and
            `make` make of it; the packaged model where None, compiled if `python -m export c --install` was
            run.
        temperature: logits are divided by it before softmax or sigmoid; the file's own where None.
        threads: that one run of the network uses; one is fastest for networks of this size.
        providers: execution providers of ONNX Runtime in order of preference, such as
            ``["CUDAExecutionProvider", "CPUExecutionProvider"]``; the CPU alone where None. A shared library
            takes neither threads nor providers.

    Raises:
        ModelFileError: where it cannot be used, see `Session`.
        ConfigError: where the temperature or ``threads`` is not positive, or a provider is not available.
    """
    if path is not None and Path(path).suffix in SUFFIXES:
        if threads != 1 or providers is not None:
            raise ConfigError(f"{path} runs on one thread of the CPU: leave out threads and providers.")
        return Model(NativeSession(path), temperature)
    if path is None and threads == 1 and providers is None and (session := _installed()) is not None:
        return Model(session, temperature)
    from runtime.model.session import Session  # a library needs none of it, and starts sooner

    return Model(Session(path if path is not None else packaged_model(), threads, providers), temperature)


def _installed() -> NativeSession | None:
    """The packaged model as `python -m export c --install` compiled it, if it did."""
    library = installed_library(packaged_model())
    try:
        return None if library is None else NativeSession(library)
    except ModelFileError as error:
        warnings.warn(f"ONNX Runtime takes the place of {library}: {error}", stacklevel=3)
        return None


def packaged_model() -> Path:
    """The model file that comes with this package. Raises ModelFileError where it was left out."""
    path = Path(__file__).parent / "models" / "esc10.onnx"
    if not path.is_file():
        raise ModelFileError("This installation carries no model: name one with `--model model.onnx`.")
    return path
