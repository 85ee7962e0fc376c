"""Sample formats of raw PCM: bytes to float32 in [-1, 1], scaled as libsndfile does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from runtime.audio.samples import Array


@dataclass(frozen=True)
class SampleFormat:
    """How one sample is stored; everything is little-endian.

    Attributes:
        name: as ``--format`` takes it.
        width: bytes a sample.
        convert: bytes of whole samples -> float32 [samples].

    Example:
        >>> s24 = FORMATS["s24"]
        >>> s24.decode(bytes([0, 0, 0x40, 0, 0, 0xC0])).tolist()
        [0.5, -0.5]
    """

    name: str
    width: int
    convert: Callable[[bytes], Array] = field(repr=False, compare=False)

    def decode(self, data: bytes) -> Array:
        """Bytes of whole samples -> float32 [samples]."""
        return self.convert(data)


def _u8(data: bytes) -> Array:
    return _scaled(np.frombuffer(data, np.uint8).astype(np.int16) - 128, 7)


def _s16(data: bytes) -> Array:
    return _scaled(np.frombuffer(data, "<i2"), 15)


def _s24(data: bytes) -> Array:
    """Three bytes a sample (ALSA's S24_3LE): the upper three of 32 bits."""
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return _scaled(wide.view("<i4").ravel(), 31)


def _s24_32(data: bytes) -> Array:
    """The lower 24 of 32 bits (ALSA's S24_LE); the uppermost byte is undefined, so the sign is bit 23."""
    return _scaled(np.frombuffer(data, "<i4") << 8, 31)


def _s32(data: bytes) -> Array:
    return _scaled(np.frombuffer(data, "<i4"), 31)


def _f32(data: bytes) -> Array:
    return np.frombuffer(data, "<f4").astype(np.float32)


def _f64(data: bytes) -> Array:
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite by the reader
        return np.frombuffer(data, "<f8").astype(np.float32)


def _scaled(integers: np.ndarray, bits: int) -> Array:
    return integers.astype(np.float32) / np.float32(2.0**bits)


def _alaw(data: bytes) -> Array:
    return _ALAW[np.frombuffer(data, np.uint8)]


def _mulaw(data: bytes) -> Array:
    return _MULAW[np.frombuffer(data, np.uint8)]


def _mulaw_table() -> Array:
    """ITU-T G.711: sign, 3 bits of exponent, 4 of mantissa, all inverted; 14 bits in the upper part of 16."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = ((2 * mantissa + 33) << exponent + 2) - 132
    return _scaled(np.where(code & 0x80, -magnitude, magnitude), 15)


def _alaw_table() -> Array:
    """ITU-T G.711: sign, 3 bits of exponent, 4 of mantissa, every other bit inverted; 13 bits in 16."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    linear = np.where(exponent > 0, (2 * mantissa + 33) << np.maximum(exponent - 1, 0), 2 * mantissa + 1)
    return _scaled(np.where(code & 0x80, linear << 3, -(linear << 3)), 15)


_MULAW, _ALAW = _mulaw_table(), _alaw_table()

FORMATS = {
    one.name: one
    for one in (
        SampleFormat("u8", 1, _u8),
        SampleFormat("s16", 2, _s16),
        SampleFormat("s24", 3, _s24),
        SampleFormat("s24_32", 4, _s24_32),
        SampleFormat("s32", 4, _s32),
        SampleFormat("f32", 4, _f32),
        SampleFormat("f64", 8, _f64),
        SampleFormat("alaw", 1, _alaw),
        SampleFormat("mulaw", 1, _mulaw),
    )
}
