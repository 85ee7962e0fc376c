"""WAV streams as programs write them into pipes, in any chunking, against libsndfile."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile

from runtime.devices.wav_stream import WavReader
from runtime.errors import AudioError

RATE = 44_100
FRAMES = np.random.default_rng(1).uniform(-1, 1, (701, 3))


def written(channels: int = 2, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, FRAMES[:, :channels], RATE, format=kind, subtype=subtype)
    return file.getvalue()


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """A stream in chunks of any size; seed 0 is byte by byte."""
    rng, at = random.Random(seed), 0
    while at < len(data):
        size = rng.choice([1, 2, 3, 5, 11, 40, 44, 100, 5000]) if seed else 1
        yield data[at : at + size]
        at += size


def read(data: bytes, seed: int = 1) -> np.ndarray:
    reader = WavReader()
    samples = b"".join(reader.feed(piece) for piece in pieces(data, seed))
    assert reader.format is not None and reader.format.sample_format is not None
    assert reader.format.sample_rate == RATE
    return reader.format.sample_format.decode(samples).reshape(-1, reader.format.channels)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def pcm_header(channels: int = 2, bits: int = 16, tag: int = 1) -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, RATE, frame * RATE, frame, bits))


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


SAMPLES = np.round(FRAMES[:, :2] * 32_767).astype("<i2")
EXPECTED = SAMPLES.astype(np.float32) / 32_768
DATA = SAMPLES.tobytes()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"]
)
@pytest.mark.parametrize(("kind", "channels"), [("WAV", 1), ("WAV", 3), ("WAVEX", 2), ("RF64", 2)])
def test_any_chunking_gives_what_libsndfile_reads(kind: str, channels: int, subtype: str, seed: int) -> None:
    data = written(channels, kind, subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert np.array_equal(read(data, seed), expected)


UNUSUAL: dict[str, Callable[[], bytes]] = {
    "both sizes 0": lambda: riff(pcm_header(), chunk(b"data", DATA, 0), size=0),
    "only the data size 0": lambda: riff(pcm_header(), chunk(b"data", DATA, 0), size=36),
    "0xFFFFFFFF, as ffmpeg writes": lambda: riff(
        pcm_header(), chunk(b"data", DATA, 0xFFFFFFFF), size=0xFFFFFFFF
    ),
    "2 GB, as arecord writes": lambda: riff(pcm_header(), chunk(b"data", DATA, 0x7FFFFF00), size=0x7FFFFF24),
    "a LIST chunk before the samples": lambda: riff(
        pcm_header(), chunk(b"LIST", b"INFOISFT\x04\0\0\0abc\0"), chunk(b"data", DATA)
    ),
    "chunks of odd size": lambda: riff(
        chunk(b"JUNK", b"odd"), pcm_header(), chunk(b"bext", b"x" * 603), chunk(b"data", DATA)
    ),
    "a large chunk before the samples": lambda: riff(
        pcm_header(), chunk(b"ID3 ", b"data" * 50_000), chunk(b"data", DATA)
    ),
    "chunks behind the samples": lambda: riff(
        pcm_header(), chunk(b"data", DATA), chunk(b"LIST", b"INFO" + b"loud" * 500)
    ),
    "no chunk behind the samples": lambda: riff(pcm_header(), chunk(b"data", DATA)) + b"\xff\x00\x80" * 400,
    "a chunk of format with an extension": lambda: riff(
        chunk(b"fmt ", pcm_header()[8:] + b"\0\0"), chunk(b"data", DATA)
    ),
    "RF64 that was never finished": lambda: (
        b"RF64" + b"\xff" * 4 + b"WAVE" + chunk(b"ds64", bytes(28)) + pcm_header()
        + chunk(b"data", DATA, 0xFFFFFFFF)
    ),
    "BW64": lambda: (
        b"BW64" + b"\xff" * 4 + b"WAVE" + chunk(b"ds64", struct.pack("<QQQI", 0, len(DATA), 0, 0))
        + pcm_header() + chunk(b"data", DATA, 0xFFFFFFFF) + chunk(b"axml", b"<xml/>" * 100)
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_streams_give_their_samples_and_nothing_else(name: str, seed: int) -> None:
    assert np.array_equal(read(UNUSUAL[name](), seed), EXPECTED)


def test_files_one_behind_the_other_are_one_stream() -> None:
    cut = riff(pcm_header(), chunk(b"data", DATA[:-3]))  # its last frame is not whole
    twice = read(cut + riff(pcm_header(), chunk(b"data", DATA)))
    assert np.array_equal(twice, np.concatenate([EXPECTED[:-1], EXPECTED]))
    with pytest.raises(AudioError, match="another format"):
        read(cut + riff(pcm_header(channels=1), chunk(b"data", DATA)))


def test_a_recorder_that_starts_over_after_its_stated_size_is_read_on() -> None:
    """As arecord does after 2 GB: it ends a file and writes the next header into the same pipe."""
    for seed in range(4):
        reader = WavReader(placeholder=len(DATA))
        one = riff(pcm_header(), chunk(b"data", DATA))
        assert b"".join(map(reader.feed, pieces(3 * one, seed))) == 3 * DATA


def test_a_placeholder_that_is_passed_without_another_header_goes_on() -> None:
    reader = WavReader(placeholder=len(DATA) // 2)
    stream = riff(pcm_header(), chunk(b"data", DATA, len(DATA) // 2 + 3), size=0)
    assert b"".join(map(reader.feed, pieces(stream, 1))) == DATA


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (riff(chunk(b"data", DATA)), "no 'fmt ' chunk"),
        (riff(chunk(b"fmt ", bytes(4))), "chunk of 4 bytes"),
        (riff(chunk(b"fmt ", bytes(40), 10**9)), "chunk of 1000000000 bytes"),
        (riff(pcm_header(channels=0)), "0 channels"),
        (riff(pcm_header(channels=900)), "900 channels"),
        (riff(b"\x01\x02\x03\x04" * 20), "where a chunk should begin"),
        (riff(pcm_header(), chunk(b"data", DATA)) + b"RIFF\0\0\0\0AVI ", "no WAV"),
    ],
)
def test_damaged_headers_are_one_sentence(data: bytes, fact: str) -> None:
    with pytest.raises(AudioError, match=fact) as caught:
        read(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tag", "bits", "codec"), [(0x11, 4, "IMA ADPCM"), (0x1234, 16, "0x1234"), (1, 64, "64 bits")]
)
def test_a_codec_that_is_not_pcm_is_named(tag: int, bits: int, codec: str) -> None:
    reader = WavReader()
    reader.feed(riff(pcm_header(channels=2, bits=bits, tag=tag), chunk(b"data", DATA)))
    assert reader.format is not None and reader.format.sample_format is None and codec in reader.format.codec
