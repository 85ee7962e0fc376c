"""Chunks to mono at one rate: channels, and what is noted about them."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.audio.converter import CANCELS, HAS_OFFSET, Converter
from runtime.audio.resample import resample
from runtime.errors import AudioError, ConfigError

RATE = 16_000
NOISE = (np.random.default_rng(0).normal(size=2 * RATE) * 0.1).astype(np.float32)


def converted(waveform: np.ndarray, size: int, rate: int = RATE, channel: int | None = None) -> np.ndarray:
    converter = Converter(rate, RATE, channel, on_note=lambda note: None)
    parts = [converter.push(waveform[begin : begin + size]) for begin in range(0, len(waveform), size)]
    return np.concatenate([*parts, converter.finish()])


def notes(waveform: np.ndarray, size: int = 1000, channel: int | None = None) -> list[str]:
    found: list[str] = []
    converter = Converter(RATE, RATE, channel, found.append)
    for begin in range(0, len(waveform), size):
        converter.push(waveform[begin : begin + size])
    converter.finish()
    return found


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("channels", [1, 2, 16])
def test_chunking_changes_nothing(size: int, rate: int, channels: int) -> None:
    waveform = np.random.default_rng(1).normal(size=(3000, channels)).astype(np.float32) * 0.1
    if size < channels:  # a first chunk must show its layout
        size = channels
    expected = resample(converted(waveform, 10**6), rate, RATE)
    assert np.array_equal(converted(waveform, size, rate), expected)
    assert np.array_equal(converted(np.asfortranarray(waveform), size, rate), expected)


def test_one_channel_or_their_mean() -> None:
    stereo = np.stack([NOISE, NOISE[::-1]], axis=1)
    assert np.array_equal(converted(stereo, 999), (NOISE + NOISE[::-1]) / 2)
    assert np.array_equal(converted(stereo, 999, channel=1), NOISE[::-1])
    with pytest.raises(ConfigError, match="no channel 2"):
        converted(stereo, 999, channel=2)


def test_the_number_of_channels_stays() -> None:
    converter = Converter(RATE, RATE)
    converter.push(np.zeros((5, 2)))
    assert not len(converter.push(np.zeros((0, 1))))  # nothing has no channels
    for chunk in (np.zeros((5, 3)), np.zeros(5), np.zeros((2, 5, 2))):
        with pytest.raises(AudioError, match=r"2 channel\(s\)"):
            converter.push(chunk)
    assert len(converter.push(np.zeros((1, 2)))) == 1
    converter.finish()  # as at a gap, after which another microphone may come
    assert len(converter.push(np.zeros((5, 3)))) == 5


@pytest.mark.parametrize("left", [0.0, 1e-3])  # a codec leaves a little
@pytest.mark.parametrize("seconds", [0.2, 2.0])
def test_channels_that_cancel_are_noted_once(left: float, seconds: float) -> None:
    part = NOISE[: int(seconds * RATE)]
    inverted = np.stack([part, -part * (1 - left)], axis=1)
    assert notes(inverted) == [CANCELS] and notes(inverted, size=10**6) == [CANCELS]
    assert notes(inverted, channel=0) == []


def test_other_channels_are_not_noted() -> None:
    for right in (NOISE, 0 * NOISE, NOISE[::-1], -0.5 * NOISE):
        assert notes(np.stack([NOISE, right], axis=1)) == []
    assert notes(np.zeros((RATE, 2), np.float32)) == []
    assert notes(1e-5 * np.stack([NOISE, -NOISE], axis=1)) == []  # the channels are silent, too


def test_a_constant_offset_is_noted() -> None:
    assert notes(NOISE + np.float32(0.3)) == notes(NOISE - np.float32(0.3), size=10**6) == [HAS_OFFSET]
    assert notes(NOISE + np.float32(0.02)) == []
    assert notes((np.stack([NOISE, NOISE], axis=1) * 32768).astype(np.int16) + np.int16(9000)) == [HAS_OFFSET]


@pytest.mark.parametrize("size", [999, RATE // 2, 11_000, 10**6])
def test_what_is_wrong_in_one_second_is_noted_however_the_audio_was_cut(size: int) -> None:
    left, second = np.tile(NOISE, 5), slice(4 * RATE, 5 * RATE)
    right = left.copy()
    right[second] *= -1
    assert notes(np.stack([left, right], axis=1), size) == [CANCELS]
    left[second] += 0.3
    assert notes(left, size) == [HAS_OFFSET]
