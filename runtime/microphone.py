"""The microphone: found by name, opened at a rate it has, watched, and opened again when it dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runtime.errors import DeviceError
from runtime.frontend import Array
from runtime.ring import Ring

_BUFFER_S = 8.0  # the listener may fall behind by three quarters of it before samples are lost
_POLL_S = 0.02
_LATENCY_S = 0.2  # asked of the device; short ones overflow on small boards


@dataclass(frozen=True)
class Chunk:
    """Audio that just arrived.

    Attributes:
        samples: float32 [samples, channels].
        captured_at: `time.monotonic` of its last sample, seconds.
        lost_s: seconds of audio that were lost before it.
    """

    samples: Array
    captured_at: float
    lost_s: float = 0.0


def portaudio() -> Any:
    """Import sounddevice, which loads PortAudio.

    Raises:
        DeviceError: where PortAudio is not installed.
    """
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            "PortAudio is not installed, which microphones need: run `sudo apt install libportaudio2`."
        ) from error
    return sounddevice


def inputs() -> dict[int, dict[str, Any]]:
    """All devices that record: PortAudio's index to its description."""
    devices = enumerate(portaudio().query_devices())
    return {index: dict(device) for index, device in devices if device["max_input_channels"] > 0}


def find_device(name: str | None) -> int:
    """The index of the device that has ``name`` in its name, whatever the case; the default where None.

    Indices change when something is plugged in, so a device is kept by its name only.

    Raises:
        DeviceError: where there is none, or more than one.
    """
    devices = inputs()
    listed = "; ".join(str(device["name"]) for device in devices.values())
    if not devices:
        raise DeviceError("No microphone was found: plug one in, then see `python -m runtime doctor`.")
    if name is None:
        index = int(portaudio().default.device[0])
        return index if index in devices else next(iter(devices))
    exact = [index for index, device in devices.items() if device["name"] == name]
    found = exact or [i for i, device in devices.items() if name.lower() in device["name"].lower()]
    if not found:
        raise DeviceError(f"No microphone has '{name}' in its name: there are {listed}.")
    if len(found) > 1:
        several = "; ".join(str(devices[index]["name"]) for index in found)
        raise DeviceError(f"Several microphones have '{name}' in their names: say which of {several}.")
    return found[0]


class Microphone:
    """A microphone that delivers chunks.

    Args:
        device: part of its name; the default device where None.
        sample_rate: tried first, Hz; then the device's own, 48,000 and 44,100.
        channel: needed from 0 on; one channel is opened where None.

    Raises:
        DeviceError: where it cannot be found or opened.
    """

    def __init__(self, device: str | None, sample_rate: int, channel: int | None = None) -> None:
        self._name = device
        self._channel = channel
        self._wanted_rate = sample_rate
        self.overflows = 0
        self._open()

    def _open(self) -> None:
        index = find_device(self._name)
        description = inputs()[index]
        self.name = str(description["name"])
        rates = (self._wanted_rate, int(description["default_samplerate"]), 48_000, 44_100)
        widths = (1 if self._channel is None else self._channel + 1, int(description["max_input_channels"]))
        for rate in dict.fromkeys(rates):
            for channels in dict.fromkeys(widths):
                if self._try(index, rate, channels):
                    return
        raise DeviceError(
            f"The microphone '{self.name}' opens at none of {', '.join(map(str, dict.fromkeys(rates)))} Hz: "
            "close what else uses it, or name another."
        )

    def _try(self, index: int, rate: int, channels: int) -> bool:
        sounddevice = portaudio()
        self._ring = Ring(int(_BUFFER_S * rate), channels)
        try:
            self._stream = sounddevice.InputStream(
                device=index, samplerate=rate, channels=channels, dtype="float32",
                blocksize=0, latency=_LATENCY_S, callback=self._callback,
            )  # fmt: skip
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError):
            return False
        self.sample_rate, self.channels = rate, channels
        return True

    def _callback(self, block: Array, frames: int, timing: Any, status: Any) -> None:
        """Copy, nothing else: PortAudio calls this from its own thread."""
        self._ring.write(block)
        if status.input_overflow:
            self.overflows += 1

    def chunks(self) -> Iterator[Chunk]:
        """What is heard, as it comes, without end."""
        overflows = self.overflows
        while True:
            time.sleep(_POLL_S)
            samples, lost = self._ring.take()
            captured_at = self._ring.written_at
            if lost or self.overflows != overflows:
                overflows = self.overflows
                yield Chunk(samples, captured_at, max(lost / self.sample_rate, 1e-9))
            elif len(samples):
                yield Chunk(samples, captured_at)

    def close(self) -> None:
        """Let the device go."""
        self._stream.close()
