"""Raw samples against libsndfile, and the two layouts of 24 bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from runtime.cli.main import _FORMATS
from runtime.devices.sample_format import FORMATS

SUBTYPES = {
    "u8": "PCM_U8", "s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT", "f64": "DOUBLE",
    "alaw": "ALAW", "mulaw": "ULAW",
}  # fmt: skip


def test_the_command_line_offers_every_format() -> None:
    assert tuple(FORMATS) == _FORMATS and set(FORMATS) == {*SUBTYPES, "s24_32"}


@pytest.mark.parametrize("name", SUBTYPES)
def test_samples_are_scaled_as_libsndfile_scales_them(name: str) -> None:
    samples = np.concatenate([np.random.default_rng(0).uniform(-1, 1, 4000), [-1.0, 0.0, 1 - 2**-23]])
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="RAW", subtype=SUBTYPES[name], endian="LITTLE")
    data = file.getvalue()
    assert len(data) == FORMATS[name].width * len(samples)
    expected, _ = soundfile.read(
        io.BytesIO(data), dtype="float32", format="RAW", subtype=SUBTYPES[name], endian="LITTLE",
        samplerate=8000, channels=1,
    )  # fmt: skip
    assert np.array_equal(FORMATS[name].decode(data), expected)


def test_every_code_of_g711_is_that_of_libsndfile() -> None:
    codes = bytes(range(256))
    for name in ("alaw", "mulaw"):
        expected, _ = soundfile.read(
            io.BytesIO(codes), dtype="float32", format="RAW", subtype=SUBTYPES[name], samplerate=8000,
            channels=1,
        )  # fmt: skip
        assert np.array_equal(FORMATS[name].decode(codes), expected)


def test_24_bits_in_32_take_their_sign_from_bit_23_whatever_lies_above() -> None:
    values = np.array([0, 1, -1, 2**22, -(2**22), 2**23 - 1, -(2**23)], "<i4")
    expected = (values / 2**23).tolist()
    above = values & 0xFFFFFF | 0x5A000000
    for words in (values, values & 0xFFFFFF, above):
        assert FORMATS["s24_32"].decode(words.astype("<i4").tobytes()).tolist() == expected
    packed = b"".join(int(value).to_bytes(3, "little", signed=True) for value in values)
    assert FORMATS["s24"].decode(packed).tolist() == expected
