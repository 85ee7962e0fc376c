"""The log-mel in integers: what ``export c --fixed-point`` computes, executed by numpy to the bit.

ARITHMETIC.md describes it in words; ``fixed_front_end/ts_front_end.c`` is the same in C. All intermediate
values fit int64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from export.c.fixed_point import GREATEST, LEAST, Factor, Integers
from runtime.audio.mel_filter_bank import analysis_window, mel_filters
from runtime.errors import ModelFileError
from runtime.spec import FrontEndSpec

SAMPLE_BITS = 23  # after the point, of a sample after pre-emphasis: float32 holds such samples exactly
WINDOW_BITS, WINDOWED_BITS = 30, 26
PEAK_BITS = 28  # of the greatest windowed sample: the sums of four complex points fit int32
POWER_SHIFT = 14
LOG_BITS, LOG_SEGMENTS = 16, 64
_SAMPLE = 15  # bits after the point of an int16 sample
_GREATEST_SHIFT = 27
_LIMIT = 62  # bits of a band, and of the offset added to it
_GREATEST_WEIGHT = 65_535


@dataclass(frozen=True, eq=False)
class FixedFrontEnd:
    """A front end in integers, and the quantization of its log-mel.

    Args:
        spec: the front end, as `export.c.front_end.float_tables.check_front_end` accepts it.
        scale, zero_point: of the network's uint8 input.

    Raises:
        ModelFileError: where the bands are not of powers, or ``log_offset`` is too great for 62 bits.

    Example:
        >>> front_end = FixedFrontEnd(FrontEndSpec.preset("cp_mel"), 0.03125, 45)
        >>> front_end(np.zeros(32000, np.int16)).shape
        (256, 64)
    """

    spec: FrontEndSpec
    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if self.spec.power != 2.0:
            raise ModelFileError(
                f"The front end in fixed point has no power {self.spec.power:g}: export "
                "without --fixed-point."
            )
        if self.greatest_shift < 1:
            raise ModelFileError(
                f"The front end in fixed point has no log_offset {self.spec.log_offset:g}: it is above every "
                "power that it can represent; export without --fixed-point."
            )

    @cached_property
    def preemphasis(self) -> int:
        """The coefficient with 15 bits after the point."""
        return round(self.spec.preemphasis * 2.0**_SAMPLE)

    @cached_property
    def window(self) -> Integers:
        """The analysis window with 30 bits after the point: [win_length] of 0 to 2^30."""
        return _nearest(analysis_window(self.spec) * 2.0**WINDOW_BITS)

    @cached_property
    def cosine(self) -> Integers:
        """cos(2 pi k / n_fft) with 31 bits after the point for k from 0 to n_fft / 4; 1 is 1 - 2^-31."""
        angle = 2 * np.pi * np.arange(self.spec.n_fft // 4 + 1) / self.spec.n_fft
        return _nearest(np.minimum(np.cos(angle) * 2.0**31, 2.0**31 - 1))

    @cached_property
    def weight_bits(self) -> int:
        """Bits after the point of the mel weights: the greatest one fits uint16."""
        greatest = max(float(band.max()) for band in mel_filters(self.spec))
        return math.floor(math.log2(_GREATEST_WEIGHT / greatest))

    @cached_property
    def bands(self) -> tuple[tuple[int, Integers], ...]:
        """First bin and weights of every mel band."""
        bands = []
        for band in mel_filters(self.spec):
            weights = _nearest(band * 2.0**self.weight_bits)
            bins = np.flatnonzero(weights)
            first, end = (int(bins[0]), int(bins[-1]) + 1) if len(bins) else (0, 0)
            bands.append((first, weights[first:end]))
        return tuple(bands)

    @cached_property
    def log_table(self) -> Integers:
        """log2(1 + i / 64) with 16 bits after the point, for i from 0 to 64."""
        steps = np.arange(LOG_SEGMENTS + 1) / LOG_SEGMENTS
        return _nearest(np.log2(1 + steps) * 2.0**LOG_BITS)

    @cached_property
    def _band_exponent(self) -> int:
        """A band's integer is its power times 2 to this and twice the frame's shift."""
        log_points = self.spec.n_fft.bit_length() - 1
        return 2 * (WINDOWED_BITS + 2 - log_points) - POWER_SHIFT + self.weight_bits

    @cached_property
    def greatest_shift(self) -> int:
        """Bits that a frame is shifted at most: beyond them the offset would leave 62 bits."""
        room = _LIMIT - self._band_exponent - math.log2(self.spec.log_offset)
        return min(_GREATEST_SHIFT, math.ceil(room / 2) - 1)

    @cached_property
    def offset(self) -> int:
        """``log_offset`` as the integer of a band at the greatest shift."""
        return round(self.spec.log_offset * 2.0 ** (self._band_exponent + 2 * self.greatest_shift))

    @cached_property
    def factor(self) -> Factor:
        """From a logarithm with 16 bits after the point to steps of the input."""
        return Factor.of(math.log(2) / (self.spec.std * self.scale) / 2**LOG_BITS)

    @cached_property
    def constant(self) -> int:
        """What is added to the product with the factor before its shift; half a step rounds it."""
        steps_per_octave = math.log(2) / (self.spec.std * self.scale)
        steps = self.zero_point - self.spec.mean / (self.spec.std * self.scale)
        steps -= steps_per_octave * self._band_exponent
        shift = int(self.factor.shift[0])
        return round(steps * 2.0**shift) + (1 << (shift - 1))

    def __call__(self, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """The network's input for a window: int16 [samples] -> uint8 [n_mels, frames]."""
        return self.columns(self.frames(samples)).T

    def frames(self, samples: npt.NDArray[np.int16]) -> Integers:
        """The frames of a window's samples after pre-emphasis: [frames, win_length]."""
        spec = self.spec
        emphasized = self.emphasize(samples)
        if spec.pad:
            emphasized = np.pad(emphasized, spec.pad, mode=spec.pad_mode)
        lead = (spec.frame_samples - spec.win_length) // 2
        frames = np.lib.stride_tricks.sliding_window_view(emphasized[lead:], spec.win_length)
        return frames[:: spec.hop_length][: spec.frames(len(samples))]

    def emphasize(self, samples: npt.NDArray[np.int16]) -> Integers:
        """Samples with 23 bits after the point: int16 [n] -> int64 [n], or [n - 1] after pre-emphasis."""
        x = samples.astype(np.int64)
        raised = x << (SAMPLE_BITS - _SAMPLE)
        if not self.spec.preemphasis:
            return raised
        bits = 2 * _SAMPLE - SAMPLE_BITS
        return raised[1:] - ((self.preemphasis * x[:-1] + (1 << (bits - 1))) >> bits)

    def columns(self, frames: Integers) -> npt.NDArray[np.uint8]:
        """Frames of emphasized samples, each by itself: int64 [n, win_length] -> uint8 [n, n_mels]."""
        steps = (self.octaves(frames) * self.factor.multiplier + self.constant) >> self.factor.shift
        integers: npt.NDArray[np.uint8] = np.clip(steps, LEAST, GREATEST).astype(np.uint8)
        return integers

    def natural_log(self, frames: Integers) -> npt.NDArray[np.float64]:
        """The natural logarithm of the mel powers before quantization, for measurements: [n, n_mels]."""
        return np.asarray(math.log(2) * (self.octaves(frames) / 2**LOG_BITS - self._band_exponent))

    def octaves(self, frames: Integers) -> Integers:
        """log2 of the integers of the bands at a shift of 0, with 16 bits after the point: [n, n_mels]."""
        re, im, shift = self._windowed(frames)
        for stride in self._strides():
            re, im = self._butterflies(re, im, stride)
        power = self._power(re, im)
        sums = np.stack([power[:, first : first + len(w)] @ w for first, w in self.bands], axis=1)
        offset = _rounded(np.array(self.offset, np.int64), 2 * (self.greatest_shift - shift)[:, None])
        sums = np.maximum(sums, offset) if self.spec.log_mode == "floor" else sums + offset
        return self._logarithm(np.maximum(sums, 1)) - (shift[:, None] << (LOG_BITS + 1))

    def _windowed(self, frames: Integers) -> tuple[Integers, Integers, Integers]:
        """Real and imaginary parts of the pairs of a frame's windowed samples, and its shift."""
        x = _rounded(frames * self.window, SAMPLE_BITS + WINDOW_BITS - WINDOWED_BITS)
        bits = _bit_length(np.bitwise_or.reduce(np.where(x < 0, ~x, x), axis=1) | 1)
        shift = np.minimum(PEAK_BITS - bits, self.greatest_shift)
        pairs = np.zeros((len(x), self.spec.n_fft), np.int64)
        pairs[:, : self.spec.win_length] = x << shift[:, None]
        return pairs[:, ::2], pairs[:, 1::2], shift

    def _strides(self) -> list[int]:
        points = self.spec.n_fft // 2
        strides = [1]
        while 4 * strides[-1] < points:
            strides.append(4 * strides[-1])
        return strides

    def _turn(self, index: Integers) -> tuple[Integers, Integers]:
        """Real and imaginary part of exp(-2 pi i index / n_fft)."""
        quarter, rest = np.divmod(index, self.spec.n_fft // 4)
        cosine, sine = self.cosine[rest], self.cosine[self.spec.n_fft // 4 - rest]
        return (
            np.choose(quarter, [cosine, -sine, -cosine, sine]),
            np.choose(quarter, [-sine, -cosine, sine, cosine]),
        )

    def _butterflies(self, re: Integers, im: Integers, stride: int) -> tuple[Integers, Integers]:
        """A stage of the FFT in Stockham's order, of radix 4 or, where two are left, 2: [n, points]."""
        count, points = re.shape
        if 2 * stride == points:
            half = points // 2
            return (
                _rounded(np.concatenate([x[:, :half] + x[:, half:], x[:, :half] - x[:, half:]], axis=1), 1)
                for x in (re, im)
            )  # type: ignore[return-value]
        shape = (count, 4, points // (4 * stride), stride)
        (a, b, c, d), (ai, bi, ci, di) = (np.moveaxis(x.reshape(shape), 1, 0) for x in (re, im))
        results = [
            (a + c + b + d, ai + ci + bi + di),
            (a - c + bi - di, ai - ci - b + d),
            (a + c - b - d, ai + ci - bi - di),
            (a - c - bi + di, ai - ci + b - d),
        ]
        place = np.arange(shape[2])[:, None] * stride
        out_re, out_im = (np.empty((count, shape[2], 4, stride), np.int64) for _ in range(2))
        for row, (x, y) in enumerate(results):
            c_, s_ = self._turn(2 * row * place)
            turned = row > 0 and shape[2] > 1
            by = np.where(place > 0, 1, 0) if turned else np.zeros_like(place)
            out_re[:, :, row] = np.where(by, _halved(x * c_ - y * s_), _rounded(x, 2))
            out_im[:, :, row] = np.where(by, _halved(x * s_ + y * c_), _rounded(y, 2))
        return out_re.reshape(count, points), out_im.reshape(count, points)

    def _power(self, re: Integers, im: Integers) -> Integers:
        """Powers of the bins of the real signal: [n, n_fft / 2 + 1]."""
        points = re.shape[1]
        k = np.arange(1, points // 2)
        kr, ki, mr, mi = re[:, k], im[:, k], re[:, points - k], im[:, points - k]
        er, ei, odd_r, odd_i = kr + mr, ki - mi, ki + mi, mr - kr
        c, s = self._turn(k)
        tr, ti = _rounded(odd_r * c - odd_i * s, 31), _rounded(odd_r * s + odd_i * c, 31)
        power = np.empty((len(re), points + 1), np.int64)
        power[:, k] = (er + tr) ** 2 + (ei + ti) ** 2
        power[:, points - k] = (er - tr) ** 2 + (ti - ei) ** 2
        power[:, 0] = 4 * (re[:, 0] + im[:, 0]) ** 2
        power[:, points] = 4 * (re[:, 0] - im[:, 0]) ** 2
        power[:, points // 2] = 4 * (re[:, points // 2] ** 2 + im[:, points // 2] ** 2)
        return _rounded(power, POWER_SHIFT)

    def _logarithm(self, values: Integers) -> Integers:
        """log2 of positive integers with 16 bits after the point, linear between the entries of the table."""
        bits = _bit_length(values)
        mantissa = values << (63 - bits)  # its bit 62 is set
        index, rest = (mantissa >> 56) & (LOG_SEGMENTS - 1), (mantissa >> 40) & 0xFFFF
        low, high = self.log_table[index], self.log_table[index + 1]
        octaves: Integers = ((bits - 1) << LOG_BITS) + low + _rounded((high - low) * rest, 16)
        return octaves


def quantize_samples(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Float samples in [-1, 1] as the C code takes them in: rounded to 1 / 32768, halves away from zero."""
    finite = np.where(np.isfinite(waveform), waveform, 0).astype(np.float64)
    steps = np.floor(np.abs(finite) * 2**_SAMPLE + 0.5) * np.sign(finite)
    samples: npt.NDArray[np.int16] = np.clip(steps, -(2**_SAMPLE), 2**_SAMPLE - 1).astype(np.int16)
    return samples


def _nearest(values: npt.NDArray[np.float64]) -> Integers:
    integers: Integers = np.rint(values).astype(np.int64)
    return integers


def _rounded(values: Integers, bits: Integers | int) -> Integers:
    """``values / 2^bits``, rounded to the nearest integer, halves up."""
    half = np.where(np.asarray(bits) > 0, np.int64(1) << np.maximum(np.int64(bits) - 1, 0), 0)
    rounded: Integers = (values + half) >> bits
    return rounded


def _halved(products: Integers) -> Integers:
    """``products / 2^33``, rounded: 31 bits of the factors' and 2 of the stage's."""
    return _rounded(products, 33)


def _bit_length(values: Integers) -> Integers:
    """Bits of positive integers."""
    bits, rest = np.ones_like(values), values
    for step in (32, 16, 8, 4, 2, 1):
        is_long = rest >> step > 0
        bits += np.where(is_long, step, 0)
        rest = np.where(is_long, rest >> step, rest)
    return bits
