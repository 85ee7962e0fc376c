"""Files of the real world: unfinished headers, names in any encoding, every ending that libsndfile reads."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.audio.decode import AUDIO_SUFFIXES, AudioBytes, AudioFile
from runtime.audio.read import read_recording
from runtime.errors import AudioError, AudioWarning

pytestmark = pytest.mark.filterwarnings("error::runtime.errors.AudioWarning")  # none without a reason

RATE = 8_000
SAMPLES = np.random.default_rng(0).normal(size=30_000) * 0.1


def decoded(path: Path, start_s: float = 0.0, seconds: float | None = None) -> np.ndarray:
    return np.concatenate(list(AudioFile(path).blocks(start_s, seconds)))


def written(path: Path, kind: str, subtype: str = "PCM_16") -> bytearray:
    soundfile.write(path, SAMPLES, RATE, format=kind, subtype=subtype)
    return bytearray(path.read_bytes())


def put(data: bytearray, place: int, form: str, *values: int) -> None:
    struct.pack_into(form, data, place, *values)


def riff(data: bytearray) -> None:
    put(data, 4, "<I", 0)
    put(data, data.index(b"data") + 4, "<I", 0)


def riff_data_alone(data: bytearray) -> None:
    put(data, data.index(b"data") + 4, "<I", 0)


def rf64(data: bytearray) -> None:
    put(data, data.index(b"ds64") + 8, "<QQQ", 0, 0, 0)


def aiff(data: bytearray) -> None:
    put(data, 4, ">I", 46)
    put(data, data.index(b"SSND") + 4, ">I", 8)
    put(data, data.index(b"COMM") + 10, ">I", 0)


def au(data: bytearray) -> None:
    put(data, 8, ">I", 0)


def caf(data: bytearray) -> None:
    put(data, data.index(b"data") + 4, ">q", -1)


def caf_empty(data: bytearray) -> None:
    put(data, data.index(b"data") + 4, ">q", 4)


def flac(data: bytearray) -> None:
    data[21] &= 0xF0
    data[22:26] = bytes(4)


@pytest.mark.parametrize(
    ("kind", "subtype", "break_off"),
    [("WAV", "PCM_16", riff), ("WAV", "PCM_24", riff), ("WAV", "FLOAT", riff),
     ("WAV", "PCM_16", riff_data_alone), ("WAVEX", "PCM_16", riff), ("RF64", "PCM_16", rf64),
     ("AIFF", "PCM_16", aiff), ("AU", "PCM_16", au), ("CAF", "PCM_16", caf), ("CAF", "PCM_16", caf_empty),
     ("FLAC", "PCM_16", flac), ("FLAC", "PCM_24", flac)],
)  # fmt: skip
def test_a_header_that_was_never_completed(
    tmp_path: Path, kind: str, subtype: str, break_off: Callable[[bytearray], None]
) -> None:
    data = written(tmp_path / "whole", kind, subtype)
    break_off(data)
    (tmp_path / "cut").write_bytes(data)
    assert np.array_equal(decoded(tmp_path / "cut"), decoded(tmp_path / "whole"))
    assert (tmp_path / "cut").read_bytes() == data  # the file itself is left alone
    part = decoded(tmp_path / "cut", 1.0, 0.5)
    assert np.array_equal(part, decoded(tmp_path / "whole")[RATE : RATE + RATE // 2])


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_flac_file_that_broke_off_in_a_frame(tmp_path: Path, share: float) -> None:
    data = written(tmp_path / "whole", "FLAC")
    flac(data)
    (tmp_path / "cut").write_bytes(data[: int(share * len(data))])
    whole, cut = decoded(tmp_path / "whole"), decoded(tmp_path / "cut")
    assert len(cut) > (share - 0.2) * len(whole) and np.array_equal(cut, whole[: len(cut)])


@pytest.mark.parametrize("size", [2**31 - 1, 2**32 - 1])
def test_a_length_beyond_the_end_of_the_file(tmp_path: Path, size: int) -> None:
    data = written(tmp_path / "whole", "WAV")
    put(data, data.index(b"data") + 4, "<I", size)
    (tmp_path / "cut").write_bytes(data)
    assert np.array_equal(decoded(tmp_path / "cut"), decoded(tmp_path / "whole"))


def test_what_follows_an_empty_recording_is_no_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SAMPLES[:0], RATE)
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 8) + b"INFOtext")
    with pytest.raises(AudioError, match="no samples"):
        decoded(tmp_path / "a.wav")


@pytest.mark.parametrize("size", [4, 5, 14, 21, 25, 42])
def test_a_flac_file_that_broke_off_before_its_first_frame(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.flac").write_bytes((b"fLaC\x80\x00\x00\x22" + bytes(34))[:size])
    with pytest.raises(AudioError, match="not audio"):
        decoded(tmp_path / "a.flac")


def test_a_caf_chunk_longer_than_any_file(tmp_path: Path) -> None:
    data = written(tmp_path / "whole", "CAF")
    put(data, data.index(b"desc") + 4, ">q", 2**63 - 1)
    (tmp_path / "a.caf").write_bytes(data)
    with pytest.raises(AudioError, match="not audio"):
        AudioFile(tmp_path / "a.caf")


def test_samples_without_a_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(SAMPLES.tobytes())
    with pytest.raises(AudioError, match="--format"):
        AudioFile(tmp_path / "a.raw")
    data = written(tmp_path / "a.wav", "WAV")
    (tmp_path / "b.raw").write_bytes(data)  # the content counts, not the name
    assert np.array_equal(decoded(tmp_path / "b.raw"), decoded(tmp_path / "a.wav"))


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    try:
        path.write_bytes(written(tmp_path / "a.wav", "WAV"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert np.array_equal(decoded(path), decoded(tmp_path / "a.wav"))
    assert AudioFile(path).name.endswith(r"/caf\xe9.wav")
    path.write_bytes(b"not audio, but long enough to be looked at")
    with pytest.raises(AudioError, match=r"caf\\xe9\.wav") as caught:
        AudioFile(path)
    str(caught.value).encode()  # prints on every terminal


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_text_is_not_audio(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.wav").write_bytes(("file,label\n" + "a.wav,dog\n" * 500).encode(encoding))
    with pytest.raises(AudioError, match="not audio"):
        AudioFile(tmp_path / "a.wav")


def test_endings() -> None:
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3", ".w64", ".caf", ".au", ".aif"} <= AUDIO_SUFFIXES
    assert not AUDIO_SUFFIXES & {".raw", ".mat", ".txt", ""}
    assert all(suffix == suffix.lower() for suffix in AUDIO_SUFFIXES)


@pytest.mark.parametrize("kind", ["W64", "CAF", "AU", "AIFF", "VOC", "NIST", "SVX", "PVF", "IRCAM", "RF64"])
def test_less_common_formats(tmp_path: Path, kind: str) -> None:
    written(tmp_path / "a", kind)
    written(tmp_path / "b", "WAV")
    assert np.array_equal(decoded(tmp_path / "a"), decoded(tmp_path / "b"))


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize("is_unfinished", [False, True])
def test_rf64_with_a_chunk_of_odd_length(tmp_path: Path, magic: bytes, is_unfinished: bool) -> None:
    path = tmp_path / "a.wav"
    data = written(path, "RF64")
    expected = decoded(path)
    data[48:48] = b"bext" + struct.pack("<I", 603) + bytes(604)  # behind ds64, with its pad byte
    data[:4] = magic
    if is_unfinished:
        put(data, 20, "<QQ", 0, 0)
    path.write_bytes(data)
    assert np.array_equal(decoded(path), expected)


@pytest.mark.parametrize("channels", [1, 3, 5, 8])
def test_paf_of_24_bits_with_any_number_of_channels(tmp_path: Path, channels: int) -> None:
    steps = np.random.default_rng(1).integers(-(2**23), 2**23, (30_000, channels)) << 8
    soundfile.write(tmp_path / "a.paf", steps.astype(np.int32), RATE, subtype="PCM_24")
    assert np.array_equal(decoded(tmp_path / "a.paf"), (steps / 2**31).astype(np.float32))


@pytest.mark.parametrize("subtype", ["DWVW_16", "DWVW_24"])
def test_a_codec_in_which_nobody_can_seek(tmp_path: Path, subtype: str) -> None:
    written(tmp_path / "a.aiff", "AIFF", subtype)
    assert np.abs(decoded(tmp_path / "a.aiff")[:, 0] - SAMPLES).max() < 2**-15


def test_floats_in_the_range_of_integers(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", SAMPLES * 32767, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"loud\.wav.*32768"):
        decoded(tmp_path / "loud.wav")
    soundfile.write(tmp_path / "over.wav", SAMPLES * 16, RATE, subtype="FLOAT")  # loud, but possible
    assert len(decoded(tmp_path / "over.wav")) == len(SAMPLES)


def test_a_recording_is_what_was_decoded_mixed_and_noted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([SAMPLES, -SAMPLES], axis=1), RATE)
    recording = read_recording(tmp_path / "a.wav", RATE)
    assert np.abs(recording.samples).max() < 1e-4 and (recording.file_rate, recording.file_channels) == (
        RATE,
        2,
    )
    assert len(recording.notes) == 1 and "channel" in recording.notes[0]
    one = read_recording(tmp_path / "a.wav", RATE, channel=1)
    assert np.array_equal(one.samples, decoded(tmp_path / "a.wav")[:, 1]) and not one.notes


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_bytes_in_memory_are_decoded_as_the_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind.upper() not in soundfile.available_formats():
        pytest.skip("this libsndfile does not write it")
    soundfile.write(path, np.random.default_rng(0).normal(scale=0.1, size=(20_000, 2)), 16_000)
    expected, actual = AudioFile(path), AudioBytes(path.read_bytes(), "a file")
    assert (actual.sample_rate, actual.channels) == (expected.sample_rate, expected.channels)
    blocks = np.concatenate(list(actual.blocks())), np.concatenate(list(expected.blocks()))
    assert np.array_equal(*blocks)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"hello" * 100, bytes(1000)])
def test_bytes_that_are_no_audio_are_one_sentence(data: bytes) -> None:
    with pytest.raises(AudioError, match=r"^The upload "):
        AudioBytes(data, "The upload")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("uppermost", ["sign", "zero"])
def test_24_bits_in_32_are_the_lower_ones_as_alsa_writes_them(
    tmp_path: Path, channels: int, uppermost: str
) -> None:
    """Libsndfile takes them for the upper ones, which is 48 dB too quiet."""
    steps = np.round(SAMPLES.reshape(-1, channels) * 2**23).astype("<i4")
    data = (steps if uppermost == "sign" else steps & 0xFFFFFF).astype("<i4").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, RATE, 4 * channels * RATE, 4 * channels, 24)
    chunks = b"LIST" + struct.pack("<I", 4) + b"abcd" + b"fmt " + struct.pack("<I", 16) + form
    body = b"WAVE" + chunks + b"data" + struct.pack("<I", len(data)) + data
    whole = b"RIFF" + struct.pack("<I", len(body)) + body
    (tmp_path / "a.wav").write_bytes(whole)
    expected = (steps / np.float32(2**23)).astype(np.float32)
    assert np.array_equal(decoded(tmp_path / "a.wav"), expected)
    assert np.array_equal(np.concatenate(list(AudioBytes(whole, "a.wav").blocks())), expected)


def notes_of(data: bytes) -> list[str]:
    notes: list[str] = []
    for _ in AudioBytes(bytes(data), "a file", notes.append).blocks():
        pass
    return notes


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM"), ("WAVEX", "FLOAT"), ("RF64", "PCM_24")],
)
def test_a_wav_file_that_was_cut_short(tmp_path: Path, kind: str, subtype: str) -> None:
    whole = written(tmp_path / "a.wav", kind, subtype)
    assert not notes_of(whole)
    header = whole.index(b"data") + 8
    cut = whole[: header + (len(whole) - header) * 3 // 5]  # 1.5 of 3.75 s are missing
    (note,) = notes_of(cut)
    assert "ends 1.5 s before the length that its header states" in note
    (tmp_path / "a.wav").write_bytes(cut)
    with pytest.warns(AudioWarning, match=r"1\.5 s") as warned:
        decoded(tmp_path / "a.wav")
    assert len(warned) == 1
    recording = read_recording(tmp_path / "a.wav", RATE)
    assert recording.notes == (note,) and abs(len(recording.samples) / RATE - 2.25) < 0.05
    assert not read_recording(tmp_path / "a.wav", RATE, seconds=1.0).notes  # it does not reach the end


def test_a_wav_header_that_leaves_out_sound(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.wav", "WAV")
    place = whole.index(b"data") + 4
    put(whole, place, "<I", 4 * RATE)
    (note,) = notes_of(whole)
    assert "leaves out 1.8 s" in note
    put(whole, place, "<I", 2 * len(SAMPLES) - RATE)  # a recorder at work writes the header after the samples
    assert not notes_of(whole)


@pytest.mark.parametrize(
    "behind",
    [b"LIST" + struct.pack("<I", 40_000) + bytes(40_000), b"ID3\x03" + bytes(range(256)) * 200, bytes(40_000),
     b"\0LIST" + bytes(40_000)],
)  # fmt: skip
def test_what_is_no_sound_may_follow_the_samples_of_a_wav_file(tmp_path: Path, behind: bytes) -> None:
    assert not notes_of(written(tmp_path / "a.wav", "WAV") + behind)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_that_was_cut_short_or_damaged(tmp_path: Path, subtype: str) -> None:
    if subtype not in soundfile.available_subtypes("OGG"):
        pytest.skip("this libsndfile does not write it")
    soundfile.write(tmp_path / "a.ogg", np.tile(SAMPLES, 10), RATE, format="OGG", subtype=subtype)
    whole = (tmp_path / "a.ogg").read_bytes()
    assert not notes_of(whole)
    (note,) = notes_of(whole[: len(whole) * 3 // 5])
    assert "no mark of its end" in note
    if subtype == "OPUS":  # libsndfile replaces what it cannot decode, so that nothing is missing
        return
    begin = len(whole) // 3
    (note,) = notes_of(whole[:begin] + bytes(len(whole) // 4) + whole[begin + len(whole) // 4 :])
    assert "of the 37.5 s in its header cannot be decoded" in note


@pytest.mark.parametrize("break_off", [riff, riff_data_alone])
def test_bytes_in_memory_whose_header_was_never_completed(
    tmp_path: Path, break_off: Callable[[bytearray], None]
) -> None:
    data = written(tmp_path / "a.wav", "WAV")
    expected = decoded(tmp_path / "a.wav")
    break_off(data)
    assert np.array_equal(np.concatenate(list(AudioBytes(bytes(data), "a file").blocks())), expected)
