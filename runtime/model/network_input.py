"""What a network takes: the shape of its input, and the check of an array against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.errors import ConfigError, ModelFileError
from runtime.spec import ModelSpec

_FLOAT32 = np.dtype(np.float32)


def input_shape(spec: ModelSpec, path: Path) -> tuple[int, int, int, int]:
    """The shape of the network's input at batch 1: [1, 1, n_mels, frames].

    Args:
        spec: read from a model file.
        path: of that file, for the message.

    Raises:
        ModelFileError: where a window is too short for the front end.
    """
    try:
        return spec.input_shape
    except ConfigError as error:
        raise ModelFileError(
            f"The front end of {path} does not fit its windows: {str(error).rstrip('.')}; export it again."
        ) from error


def check_input(log_mel: npt.NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """Refuse an array that the network does not take.

    Args:
        log_mel: float32 [batch, 1, n_mels, frames].
        shape: of `input_shape`.

    Raises:
        ValueError: for another shape or dtype.
    """
    if log_mel.dtype != _FLOAT32 or log_mel.shape[1:] != shape[1:]:
        raise ValueError(
            f"The network takes float32 [batch, {', '.join(map(str, shape[1:]))}], not {log_mel.dtype} "
            f"{list(log_mel.shape)}."
        )
