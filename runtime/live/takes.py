"""Takes: labelled clips of one length that are recorded one after another into a class folder."""

from __future__ import annotations

import re
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.samples import Array, to_int16
from runtime.devices.source import Source
from runtime.errors import ConfigError
from runtime.files import make_folder, write_beside

_POLL_S = 0.02
MAX_LABEL = 100  # bytes: a file's name has the label, the session and the number within 255 bytes
NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*]')  # on some system
_DEVICE_NAME = re.compile(
    r"(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)
_CLIPPED_SAMPLES = 3  # at full scale, one after another: less is a peak that just reaches it
_FULL_SCALE = 32767

_TAKE = re.compile(r".+_[0-9]{8}T[0-9]{6}_[0-9]{3,5}")

Pcm = npt.NDArray[np.int16]


class InterruptionError(Exception):
    """Samples were lost, or the device was; the message says which."""


class TakeReader:
    """Reads stretches of a given length from a live source.

    Args:
        source: read, not closed.
        channel: from 0; the mean of all channels where None.
        on_chunk: called with the seconds that are still to come and the level of what just arrived, dBFS.

    Example:
        >>> reader = TakeReader(FileSource(wav_path))
        >>> len(reader.read(0.5))
        16000
    """

    def __init__(
        self,
        source: Source,
        channel: int | None = None,
        on_chunk: Callable[[float, float], None] = lambda left_s, level: None,
    ) -> None:
        self._source, self._channel, self._on_chunk = source, channel, on_chunk
        self._rest: Pcm = np.empty(0, np.int16)  # arrived and not yet read

    def read(self, seconds: float) -> Pcm:
        """The next samples, int16 [seconds * rate].

        Raises:
            EOFError: where the source ends before.
            InterruptionError: where they would not be one stretch.
            ConfigError: where the channel does not exist.
        """
        needed = round(seconds * self._source.sample_rate)
        parts, count = [self._rest], len(self._rest)
        self._rest = self._rest[:0]
        while count < needed:
            arrived = self._poll()
            if len(arrived):
                parts.append(arrived)
                count += len(arrived)
                left_s = max(0, needed - count) / self._source.sample_rate
                self._on_chunk(left_s, level_dbfs(arrived / 32768))
            else:
                time.sleep(_POLL_S)
        samples = np.concatenate(parts)
        self._rest = samples[needed:]
        return samples[:needed]

    def _poll(self) -> Pcm:
        chunk = self._source.poll()
        if chunk is None:
            return self._rest[:0]
        if chunk.event or chunk.lost_s is not None:
            raise InterruptionError(chunk.detail or "samples were lost")
        return _mono(chunk.samples, self._channel)


class ClassFolder:
    """The folder of one class, to which a session adds takes: ``dog/dog_20261125T231500_003.wav``.

    The names of all takes of a session are the same up to their last underscore, so that a split can hold a
    session together. The session is the local time of its start, or the next second that has none yet.

    Args:
        root: where the folders of all classes lie; made if it does not exist.
        label: name of the class and its folder.
        now: the session's start, seconds since the epoch.

    Raises:
        ConfigError: where the label is no name of a folder, or the folder cannot be made.

    Example:
        >>> ClassFolder(folder, "dog", 0.0).save(np.zeros(1000, np.int16), 32000).name[-8:]
        '_001.wav'
    """

    def __init__(self, root: str | Path, label: str, now: float | None = None) -> None:
        self.label = checked_label(label)
        self.path = Path(root) / label
        make_folder(self.path, "name another with --into")
        self._start, self.takes = time.time() if now is None else now, 0
        self.session = self._free_session()

    def save(self, samples: Pcm, sample_rate: int) -> Path:
        """Write one take as mono 16-bit WAV; it appears whole or not at all, and replaces nothing.

        The first take makes the session this object's own: where another process, which began in the same
        second, has written one, the next session is taken.
        """
        while True:
            path = self.path / f"{self.label}_{self.session}_{self.takes + 1:03d}.wav"
            try:
                write_wav(path, samples, sample_rate)
            except FileExistsError:
                self.session = self._free_session()
            else:
                self.takes += 1
                return path

    def _free_session(self) -> str:
        """The first from the start on that has no takes yet."""
        names = [path.name for path in self.path.iterdir()]
        while any(name.startswith(f"{self.label}_{_session(self._start)}_") for name in names):
            self._start += 1
        return _session(self._start)


def is_take(stem: str) -> bool:
    """Whether the name of a file, without suffix, is one that `ClassFolder.save` gives a take."""
    return _TAKE.fullmatch(stem) is not None


def write_wav(path: Path, samples: Pcm, sample_rate: int) -> None:
    """Write int16 [samples] as a mono WAV file; it appears whole or not at all, and replaces nothing.

    Raises:
        TinysceneError: see `write_beside`.
        FileExistsError: where there is a file already.
        OSError: where the disk is full.
    """
    with write_beside(path, replace=False) as partial, wave.open(str(partial), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate)
        wav.writeframes(samples.astype("<i2").tobytes())


def fault_of(samples: Pcm) -> str:
    """Why a take should be recorded again; empty where it is good.

    Silence is what `NO_SIGNAL_DBFS` calls so; clipping is three samples in a row at full scale.

    Args:
        samples: int16 [samples].
    """
    if level_dbfs(samples / 32768) < NO_SIGNAL_DBFS:
        return "it is silent"
    full = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _FULL_SCALE)
    apart = full[_CLIPPED_SAMPLES - 1 :] - full[: 1 - _CLIPPED_SAMPLES]
    return "it is clipped" if np.any(apart == _CLIPPED_SAMPLES - 1) else ""


def _mono(samples: Array, channel: int | None) -> Pcm:
    channels = samples.shape[1]
    if channel is not None and len(samples):
        if not 0 <= channel < channels:
            raise ConfigError(f"There is no channel {channel}: the audio has {channels}, from 0 on.")
        samples = samples[:, channel : channel + 1]
    return to_int16(samples.mean(axis=1))


def _session(start: float) -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.localtime(start))


def checked_label(label: str) -> str:
    """The label, if it can name a folder on any system.

    Raises:
        ConfigError: where it cannot.
    """
    bad = NOT_IN_NAMES.search(label) or not label.isprintable() or is_device_name(label)
    if bad or label != label.strip() or label.strip(".") != label or not 0 < len(label.encode()) <= MAX_LABEL:
        shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in label[:MAX_LABEL])
        raise ConfigError(
            f"The label '{shown}' is no name of a folder: take 1 to {MAX_LABEL} bytes of letters, digits, "
            "spaces, `-` and `_`, and no name of a device of Windows such as CON."
        )
    return label


def is_device_name(name: str) -> bool:
    """Whether Windows takes the name of a file for that of a device, such as CON or com1.wav."""
    return _DEVICE_NAME.fullmatch(name) is not None
