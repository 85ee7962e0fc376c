"""The microphone: found by name, opened at a rate it has, watched, and reopened when it fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from runtime.audio.samples import Array
from runtime.devices.ring_buffer import RingBuffer
from runtime.devices.source import Chunk
from runtime.errors import DeviceError

BUFFER_S = 8.0  # the consumer may fall behind by three quarters of it before samples are lost
SILENT_S = 2.0  # without a callback: the device is lost
STUCK_S = 10.0  # of the same block again and again: the driver is stuck; longer, since test tones repeat too
_LATENCY_S = 0.2  # asked of the device; shorter ones overflow on small boards
_RETRY_S, _RETRY_MAX_S = 0.5, 30.0  # between attempts to open a lost device, doubling

_open_streams: set[int] = set()  # PortAudio is only restarted while no other microphone is open


@contextmanager
def silence_stderr() -> Iterator[None]:
    """ALSA and PortAudio write their own traces to stderr on every attempt: discard those."""
    try:
        copy = os.dup(2)
    except OSError:  # stderr is closed: nothing to discard
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(copy, 2)
        os.close(copy)
        os.close(null)


def portaudio() -> Any:
    """Import sounddevice, which loads PortAudio.

    Raises:
        DeviceError: where one of them is not installed or cannot be loaded.
    """
    try:
        with silence_stderr():
            import sounddevice
    except ModuleNotFoundError as error:
        raise DeviceError(
            f"Microphones need the package {error.name}: run `pip install sounddevice`."
        ) from error
    except OSError as error:
        why = "is not installed" if "not found" in str(error) else f"cannot be loaded ({error})"
        raise DeviceError(
            f"PortAudio {why}, which microphones need: run `sudo apt install libportaudio2`."
        ) from error
    return sounddevice


def inputs() -> dict[int, dict[str, Any]]:
    """All devices that record: PortAudio's index to its description.

    Raises:
        DeviceError: where PortAudio is not installed or cannot list devices.
    """
    sounddevice = portaudio()
    try:
        devices = enumerate(sounddevice.query_devices())
    except sounddevice.PortAudioError as error:
        raise DeviceError(
            f"PortAudio cannot list the devices ({error}): see whether the sound server runs."
        ) from error
    return {index: dict(device) for index, device in devices if device["max_input_channels"] > 0}


def default_input(devices: dict[int, dict[str, Any]]) -> int | None:
    """The index of the default one of `inputs`; the first where the system names none, None without any."""
    default = int(portaudio().default.device[0])
    return default if default in devices else next(iter(devices), None)


def find_device(name: str | None) -> int:
    """The index of the device that has ``name`` in its name, whatever the case; the default where None.

    Indices change when something is plugged in, so a device is identified by its name only.

    Raises:
        DeviceError: where there is none, or more than one.
    """
    devices = inputs()
    default = default_input(devices)
    if default is None:
        raise DeviceError("No microphone was found: plug one in, then see `tinyscene doctor`.")
    if name is None:
        return default
    names = {index: str(device["name"]) for index, device in devices.items()}
    found = [index for index in names if names[index] == name] or [
        index for index in names if name.lower() in names[index].lower()
    ]
    if not found:
        raise DeviceError(f"No microphone has '{name}' in its name: there are {'; '.join(names.values())}.")
    if len(found) > 1:
        several = "; ".join(names[index] for index in found)
        raise DeviceError(f"Several microphones have '{name}' in their names: say which of {several}.")
    return found[0]


class Microphone:
    """A microphone that is watched: a `Source`.

    It is lost when it delivers nothing for `SILENT_S`, or the same block for `STUCK_S`. Then it is
    opened again, by its name and with growing pauses, until it is back.

    Args:
        device: part of its name; the default device where None.
        sample_rate: tried first, Hz; then the device's own, 48,000 and 44,100.
        channel: the one that is needed, from 0; a single channel is opened where None.
        clock: seconds, monotonic.

    Attributes:
        name: PortAudio's name of it.
        sample_rate: Hz, the one it opened at.
        overflows: how often the device reported that it lost samples itself.

    Raises:
        DeviceError: where it cannot be found or opened.

    Example:
        >>> microphone = Microphone("USB", sample_rate=32000)
        >>> microphone.name, microphone.sample_rate
        ('USB mic', 32000)
        >>> microphone.close()
    """

    def __init__(
        self,
        device: str | None,
        sample_rate: int,
        channel: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device, self._channel, self._clock = device, channel, clock
        self.overflows = self._overflows_reported = 0
        self._stream: Any = None
        self.name = ""
        self._ring = RingBuffer(int(BUFFER_S * sample_rate), 1, clock)
        self._retry_s, self._retry_at = _RETRY_S, 0.0
        self._open([sample_rate], others=True)

    def poll(self) -> Chunk | None:
        """The samples since the last call, or a change of the device."""
        if self._stream is None:
            return self._reopen()
        samples, lost = self._ring.take()
        captured_at, now = self._ring.written_at, self._clock()
        if (len(samples) or lost) and not self._ring.is_stuck():
            self._changed_at = now
        if fault := self._fault(captured_at, now):
            # the samples just taken are discarded with the device: the gap begins before them
            return self._lose(fault, captured_at - (len(samples) + lost) / self.sample_rate)
        lost_s = lost / self.sample_rate if lost else None
        if self.overflows != self._overflows_reported:  # the device does not say how many samples it lost
            self._overflows_reported, lost_s = self.overflows, lost_s or 0.0
        if not len(samples) and lost_s is None:
            return None
        return Chunk(samples, captured_at, lost_s, overrun=lost_s is not None)

    def close(self) -> None:
        """Release the device."""
        if self._stream is not None:
            _open_streams.discard(id(self))
            # a device that was unplugged cannot be stopped, only dropped
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
            self._stream = None

    def _fault(self, captured_at: float, now: float) -> str:
        if now - captured_at > SILENT_S:
            return f"it delivered nothing for {SILENT_S:.0f} s"
        if not self._stream.active:
            return "its stream ended"
        if now - self._changed_at > STUCK_S:
            return f"it repeated the same samples for {STUCK_S:.0f} s"
        return ""

    def _lose(self, fault: str, lost_at: float) -> Chunk:
        self._lost_at = lost_at
        self.close()
        self._retry_s, self._retry_at = _RETRY_S, self._clock()
        return Chunk(np.empty((0, 1), np.float32), self._lost_at, event="device_lost", detail=fault)

    def _reopen(self) -> Chunk | None:
        """Try to reopen a lost device when the next attempt is due; at the same rate, so time goes on."""
        now = self._clock()
        if now < self._retry_at:
            return None
        try:
            _restart_portaudio()
            self._open([self.sample_rate], others=False)
        except (DeviceError, portaudio().PortAudioError):
            self._retry_at, self._retry_s = now + self._retry_s, min(2 * self._retry_s, _RETRY_MAX_S)
            return None
        lost_s = self._clock() - self._lost_at
        return Chunk(np.empty((0, 1), np.float32), self._clock(), lost_s, "device_back", self.name)

    def _open(self, rates: list[int], *, others: bool) -> None:
        """Open the device at the first rate and number of channels that it takes."""
        index = self._find()
        device = inputs()[index]
        self.name = str(device["name"])
        if others:
            rates = [*rates, int(device["default_samplerate"]), 48_000, 44_100]
        needed = 1 if self._channel is None else self._channel + 1
        for rate in dict.fromkeys(rates):
            for channels in dict.fromkeys((needed, int(device["max_input_channels"]))):
                if self._start(index, rate, channels):
                    return
        raise DeviceError(
            f"The microphone '{self.name}' opens at none of {', '.join(map(str, dict.fromkeys(rates)))} Hz: "
            "close what else uses it, or name another."
        )

    def _find(self) -> int:
        """The device that was lost, by its whole name; else the one that was asked for.

        Part of a name may have become ambiguous meanwhile.
        """
        same = (index for index, device in inputs().items() if device["name"] == self.name)
        index = next(same, None)
        return find_device(self._device) if index is None else index

    def _start(self, index: int, rate: int, channels: int) -> bool:
        sounddevice = portaudio()
        shape = (int(BUFFER_S * rate), channels)
        if self._ring.shape != shape:  # else it is reused: a new one after each loss would fragment the heap
            self._ring = RingBuffer(*shape, self._clock)
        self._ring.clear()
        self._changed_at = self._clock()
        stream: Any = None
        try:
            with silence_stderr():
                stream = sounddevice.InputStream(
                    device=index, samplerate=rate, channels=channels, dtype="float32",
                    blocksize=0, latency=_LATENCY_S, callback=self._callback,
                )  # fmt: skip
                stream.start()
        except (sounddevice.PortAudioError, ValueError):
            if stream is not None:  # it opened and does not start
                stream.close(ignore_errors=True)
            return False
        self._stream, self.sample_rate, self.channels = stream, rate, channels
        _open_streams.add(id(self))
        return True

    def _callback(self, block: Array, frames: int, timing: Any, status: Any) -> None:
        """Copy, nothing else: PortAudio calls this from its own thread."""
        self._ring.write(block)
        if status.input_overflow:
            self.overflows += 1


def _restart_portaudio() -> None:
    """PortAudio lists devices once, when it starts: a device that came back needs a restart.

    That would close the streams of other microphones, so it waits while one of them is open.
    """
    if not _open_streams:
        sounddevice = portaudio()
        with silence_stderr():
            with suppress(sounddevice.PortAudioError):  # it did not start the last time
                sounddevice._terminate()  # the only way there is (python-sounddevice issues 125 and 47)
            sounddevice._initialize()
