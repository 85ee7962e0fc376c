"""Stdin: headers are read, files that are no audio are refused, and samples stay samples."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.devices.pipe import Pipe
from runtime.devices.signature import identify
from runtime.devices.source import Source
from runtime.devices.standard_input import PcmOptions, open_stdin
from runtime.errors import AudioError, ConfigError

RATE = 44_100
SOUND = (0.3 * np.random.default_rng(2).standard_normal((RATE * 2, 2))).clip(-0.9, 0.9)


def audio(kind: str, subtype: str | None = None, rate: int = RATE, channels: int = 2) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SOUND[:, :channels], rate, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def piped() -> Iterator[object]:
    """Bytes that arrive through a pipe in pieces; every descriptor is closed afterwards."""
    descriptors: list[int] = []
    threads: list[threading.Thread] = []

    def write(writer: int, data: bytes, size: int) -> None:
        try:
            for at in range(0, len(data), size):
                os.write(writer, data[at : at + size])
        except BrokenPipeError:
            pass
        os.close(writer)

    def pipe(data: bytes, size: int = 4096) -> int:
        reader, writer = os.pipe()
        descriptors.append(reader)
        threads.append(threading.Thread(target=write, args=(writer, data, size), daemon=True))
        threads[-1].start()
        return reader

    yield pipe
    for reader in descriptors:
        os.close(reader)
    for thread in threads:
        thread.join(10)


def all_of(source: Source) -> np.ndarray:
    blocks = []
    while True:
        try:
            chunk = source.poll()
        except EOFError:
            return np.concatenate(blocks)
        if chunk is not None:
            blocks.append(chunk.samples)


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_stream_is_read_as_its_header_says(piped, subtype: str, size: int) -> None:
    data = audio("WAV", subtype)[:60_000]  # cut off, as where the writer was killed
    source = open_stdin(piped(data, size), PcmOptions(), 32_000)
    assert (source.sample_rate, source.name) == (RATE, "-")
    samples = all_of(source)
    expected, _ = soundfile.read(io.BytesIO(audio("WAV", subtype)), dtype="float32", always_2d=True)
    assert samples.shape[1] == 2 and len(samples) > 7000
    assert np.array_equal(samples, expected[: len(samples)])


@pytest.mark.parametrize(
    "options", [PcmOptions(sample_rate=16_000), PcmOptions(channels=1), PcmOptions(sample_format="f32")]
)
def test_options_that_contradict_the_header_are_refused(piped, options: PcmOptions) -> None:
    with pytest.raises(ConfigError, match="contradicts the header"):
        open_stdin(piped(audio("WAV")), options, 32_000)
    agreeing = PcmOptions(sample_rate=RATE, channels=2, sample_format="s16")
    assert open_stdin(piped(audio("WAV")), agreeing, 32_000).sample_rate == RATE


def test_24_bits_in_a_header_that_says_32(piped) -> None:
    """Arecord's S24_LE: most releases write a header of 24 bits in 4 bytes, some one of 32 bits."""
    values = np.array([[2**22], [-(2**22)]], "<i4")
    for bits, sample_format in ((24, None), (24, "s24_32"), (32, "s24_32")):
        header = struct.pack(
            "<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, RATE, 4 * RATE, 4, bits
        )
        stream = header + b"data" + bytes(4) + values.tobytes()
        source = open_stdin(piped(stream), PcmOptions(sample_format=sample_format), 32_000)
        assert all_of(source).ravel().tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    "kind",
    ["FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "VOC", "PAF", "AVR", "PVF", "IRCAM", "NIST"],
)
def test_other_audio_is_read_from_a_redirected_file_and_refused_from_a_pipe(
    piped, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "a").write_bytes(audio(kind))
    with (tmp_path / "a").open("rb") as file:
        source = open_stdin(file.fileno(), PcmOptions(), 32_000)
        expected, _ = soundfile.read(tmp_path / "a", dtype="float32", always_2d=True)
        assert source.sample_rate == RATE and np.array_equal(all_of(source), expected)
        source.close()
    with pytest.raises(AudioError, match="convert it"):
        open_stdin(piped(audio(kind)), PcmOptions(), 32_000)


FOREIGN = {
    "text": b"# tinyscene\n\nAudio classifiers that leave the lab.\n" * 9,
    "short text": b"hello\n",
    "JSON": b'{"a": [1, 2, 3]}\n' * 40,
    "Latin-1": "Wärme, Überfluß, größer".encode("latin-1") + b" and plain words" * 9,
    "Greek": "Ακούω ήχους\n".encode() * 50,
    "UTF-16": ("Some text in another encoding. " * 9).encode("utf-16"),
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4,
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 4,
    "BMP": b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0" + bytes(range(256)) * 4,
    "GIF": b"GIF89a" + bytes(range(256)) * 4,
    "WebP": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(range(256)) * 4,
    "gzip": b"\x1f\x8b\x08\0" + bytes(range(256)) * 4,
    "zip": b"PK\x03\x04" + bytes(range(256)) * 4,
    "tar": b"a.txt".ljust(257, b"\0") + b"ustar  \0" + bytes(1000),
    "PDF": b"%PDF-1.7\n" + bytes(range(256)) * 4,
    "NumPy": b"\x93NUMPY\x01\0" + bytes(range(256)) * 4,
    "ELF": b"\x7fELF\x02\x01\x01" + bytes(1000),
    "MP4": b"\0\0\0\x20ftypM4A " + bytes(range(256)) * 4,
    "WebM": b"\x1aE\xdf\xa3" + bytes(range(256)) * 4,
    "AAC": (b"\xff\xf1\x50\x80\x20\x1f\xfc" + bytes(249)) * 20,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_audio_is_refused_without_raw(piped, name: str) -> None:
    with pytest.raises(AudioError, match="audio") as caught:
        open_stdin(piped(FOREIGN[name]), PcmOptions(), 32_000)
    assert "\n" not in str(caught.value)
    assert (
        len(all_of(open_stdin(piped(FOREIGN[name]), PcmOptions(raw=True), 32_000))) == len(FOREIGN[name]) // 2
    )


def test_mp3_without_a_tag_is_known_by_its_frames(piped) -> None:
    for rate in (48_000, 44_100, 32_000, 22_050, 16_000, 8_000):
        data = audio("MP3", rate=rate)
        sync = next(at for at in range(len(data)) if data[at] == 0xFF and data[at + 1] & 0xE6 == 0xE2)
        kind = identify(Pipe(piped(data[sync:])))
        assert kind is not None and kind.name == "an MP3 file", rate


@pytest.mark.parametrize("name", ["s16", "s24", "s24_32", "s32", "f32", "u8", "mulaw"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_frame_may_be_split_anywhere(piped, name: str, channels: int) -> None:
    width = {"s16": 2, "s24": 3, "u8": 1, "mulaw": 1}.get(name, 4)
    values = np.random.default_rng(3).integers(-(2**15), 2**15, (400, channels))
    if name == "f32":
        data = (values / 2**15).astype("<f4").tobytes()
    elif name in ("u8", "mulaw"):
        data = (values & 0xFF).astype(np.uint8).tobytes()
    else:
        scaled = values << {"s16": 0, "s24": 8, "s24_32": 8, "s32": 16}[name]
        data = b"".join(int(v).to_bytes(width, "little", signed=True) for v in scaled.ravel())
    options = PcmOptions(raw=True, channels=channels, sample_format=name)
    whole = all_of(open_stdin(piped(data), options, 32_000))
    assert whole.shape == (400, channels)
    if name not in ("u8", "mulaw"):
        assert np.array_equal(whole, values / 2**15)
    for size in (1, 5, 7, 1021):
        assert np.array_equal(all_of(open_stdin(piped(data, size), options, 32_000)), whole)


def test_samples_are_never_taken_for_a_file() -> None:
    """Music, speech, silence, offsets and clipping in every format, from any place on."""
    rng = np.random.default_rng(4)
    time_s = np.arange(9000) / 8000
    sounds = [
        np.zeros(9000), np.full(9000, 0.02), np.sign(np.sin(900 * time_s)), 0.5 * np.sin(2764 * time_s),
        1e-4 * rng.standard_normal(9000), 0.2 * rng.standard_normal(9000), np.linspace(-1, 1, 9000),
        0.4 * np.sin(20 * time_s) - 0.4,
    ]  # fmt: skip
    for sound in sounds:
        for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW"):
            file = io.BytesIO()
            soundfile.write(file, sound.clip(-1, 1), 8000, format="RAW", subtype=subtype, endian="LITTLE")
            data = file.getvalue()
            for at in rng.integers(0, len(data) - 4096, 20):
                reader, writer = os.pipe()
                os.write(writer, data[at : at + 4096])
                os.close(writer)
                assert identify(Pipe(reader)) is None, (subtype, data[at : at + 16])
                os.close(reader)


def test_an_empty_stream_is_one_sentence(piped) -> None:
    for data in (b"", b"\0"):
        source = open_stdin(piped(data), PcmOptions(), 32_000)
        with pytest.raises(AudioError, match="before the first sample"):
            all_of(source)
    with pytest.raises(AudioError, match="holds no samples"):
        open_stdin(piped(audio("WAV")[:40]), PcmOptions(), 32_000)


def test_a_pipe_can_be_read_by_a_thread_as_on_windows() -> None:
    reader, writer = os.pipe()
    pipe = Pipe(reader, threaded=True)
    assert pipe.read() is None
    os.write(writer, b"RIFF....")
    assert pipe.peek(3) == b"RIFF...." and pipe.read() == b"RIFF...."
    os.close(writer)
    assert pipe.peek(1) == b"" and pipe.read() == b""
    os.close(reader)
    broken = Pipe(reader, threaded=True)
    with pytest.raises(AudioError, match="cannot be read"):
        broken.peek(1)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_listen_gives_a_piped_wav_the_scores_of_the_file(
    tmp_path: Path, model_path: Path, subtype: str
) -> None:
    (tmp_path / "a.wav").write_bytes(audio("WAV", subtype))
    command = [sys.executable, "-m", "runtime"]
    common = ["--json", "--hop", "0.5", "--model", str(model_path)]
    live = subprocess.run(
        [*command, "listen", "-", *common],
        input=(tmp_path / "a.wav").read_bytes(),
        capture_output=True,
        timeout=60,
    )
    file = subprocess.run(
        [*command, "classify", str(tmp_path / "a.wav"), *common], capture_output=True, timeout=60
    )
    assert live.returncode == file.returncode == 0 and b"44100 -> 32000 Hz" in live.stderr
    scores = [
        [
            line["scores"]
            for line in map(json.loads, done.stdout.splitlines())
            if line.get("span") != "clip" and "state" in line
        ]
        for done in (live, file)
    ]
    assert scores[0] == scores[1] and len(scores[0]) == 3


def test_a_redirected_file_that_is_not_at_its_start_is_read_from_there(
    tmp_path: Path, model_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(b"skipped" + audio("WAV"))
    with (tmp_path / "a.wav").open("rb") as file:
        os.lseek(file.fileno(), 7, os.SEEK_SET)
        assert open_stdin(file.fileno(), PcmOptions(), 32_000).sample_rate == RATE
