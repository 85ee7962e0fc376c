"""The loudspeaker: plays a short sound while the program goes on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime.devices.microphone import portaudio, silence_stderr
from runtime.errors import DeviceError


def play(samples: npt.NDArray[np.int16], sample_rate: int) -> None:
    """Play a sound on the default output, in place of the one that plays; does not wait for its end.

    Args:
        samples: int16 [samples].
        sample_rate: Hz.

    Raises:
        DeviceError: where there is no output, or it does not take the sound.
    """
    sounddevice = portaudio()
    try:
        with silence_stderr():
            sounddevice.play(samples, sample_rate)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceError(f"No sound can be played ({error}): see whether there is an output.") from error
