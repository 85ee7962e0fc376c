"""Windows of log-mels in 8 bits, compressed, as model.pt stores them."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LEVELS = 255
_LEAST_STEP = 2.0**-8  # so that levels stay exact in float16


def to_8_bits(windows: Tensor) -> Tensor:
    """Windows rounded to at most 256 levels of a step that is a power of two: float16, the same shape.

    INT8 rounds its input to 8 bits with a power of two as its step, too, so what it computes of such windows
    is what it would have computed of the original ones, but for the position of a level.
    """
    step, offset = _grid(windows.float())
    return _levels(windows.float(), step, offset).mul(step).add(offset).half()


def pack_windows(windows: Tensor) -> dict[str, Any] | Tensor:
    """Plain values for windows [n, 1, n_mels, frames].

    Windows that hold more than 8 bits, or NaN, stay a tensor.
    """
    if not len(windows) or not torch.isfinite(windows).all() or not torch.equal(to_8_bits(windows), windows):
        return windows
    return _deflate(windows)


def packed_bytes(windows: Tensor) -> int:
    """The size of packed windows in a file."""
    packed = pack_windows(windows)
    return packed.nbytes if isinstance(packed, Tensor) else int(packed["deflated"].nbytes)


def _deflate(windows: Tensor) -> dict[str, Any]:
    """Differences of levels along the mels, deflated."""
    step, offset = _grid(windows.float())
    levels = _levels(windows.float(), step, offset).to(torch.uint8).numpy()
    differences = np.diff(levels, axis=2, prepend=np.uint8(0))
    data = zlib.compress(differences.tobytes(), level=6)
    packed = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    return {"deflated": packed, "shape": list(windows.shape), "step": step, "offset": offset}


def unpack_windows(values: dict[str, Any]) -> Tensor:
    """The windows that `pack_windows` packed, float16.

    Raises:
        ValueError: where the data is damaged or of another size than the shape says.
    """
    shape = tuple(int(size) for size in values["shape"])
    size = math.prod(shape)
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(values["deflated"].numpy().tobytes(), size + 1)
    except zlib.error as error:
        raise ValueError("its windows are damaged") from error
    if len(data) != size:
        raise ValueError("its windows are damaged")
    differences = np.frombuffer(data, np.uint8).reshape(shape)
    levels = torch.from_numpy(np.cumsum(differences, axis=2, dtype=np.uint8))
    return levels.float().mul(float(values["step"])).add(float(values["offset"])).half()


def _grid(windows: Tensor) -> tuple[float, float]:
    """Step and offset; the offset is a multiple of the step."""
    low, high = (float(limit) for limit in torch.aminmax(windows))
    step = max(2.0 ** math.ceil(math.log2(max(high - low, 1e-9) / (_LEVELS - 1))), _LEAST_STEP)
    return step, math.floor(low / step) * step


def _levels(windows: Tensor, step: float, offset: float) -> Tensor:
    return windows.sub(offset).div(step).round().clamp(0, _LEVELS)
