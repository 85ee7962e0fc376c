"""When a recording began: what recorders write into names and headers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from runtime.archive.recording_time import recorded_at
from runtime.live.takes import ClassFolder

AUDIOMOTH = "Recorded at 19:17:30 04/06/2024 {zone}by AudioMoth 24E144085F256529 at medium gain"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20240601_140505.WAV", "2024-06-01T14:05:05"),  # AudioMoth
        ("20240601_140505T.WAV", "2024-06-01T14:05:05"),  # AudioMoth, triggered
        ("24E144085F256529_20240601_140505.WAV", "2024-06-01T14:05:05"),  # with its number
        ("WALDEN_20240601_140505.wav", "2024-06-01T14:05:05"),  # Song Meter
        ("WALDEN_0+1_20240601_140505.wav", "2024-06-01T14:05:05"),  # SM3
        ("ARIZONA-1_20161023$195550.wav", "2016-10-23T19:55:50"),  # Song Meter with GPS
        ("SM2_20240601_140505_000.wav", "2024-06-01T14:05:05"),
        ("20240601T140505+1000_REC.flac", "2024-06-01T14:05:05+10:00"),  # Frontier Labs
        ("SITE_20240601_140505-0330.wav", "2024-06-01T14:05:05-03:30"),
        ("20240601T140505Z.wav", "2024-06-01T14:05:05+00:00"),
        ("2024-06-01_14-05-05.mp3", "2024-06-01T14:05:05"),
        ("20240601140505.ogg", "2024-06-01T14:05:05"),
        ("20249999_999999_20240601_140505.wav", "2024-06-01T14:05:05"),  # a counter before it
    ],
)
def test_names(name: str, expected: str) -> None:
    found = recorded_at(f"somewhere/20200101_000000/{name}")
    assert found is not None and found.isoformat() == expected


@pytest.mark.parametrize(
    "name",
    ["take 3.wav", "20240601.wav", "20241301_140505.wav", "20240601_250000.wav", "1-100032-A-0.ogg",
     "120240601_1405059.wav", "REC00020240601.wav", "10160435.wav"],
)  # fmt: skip
def test_names_without_a_time(name: str) -> None:
    assert recorded_at(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog_20261126T034008_034103-event-0.93.wav", "2026-11-26T03:41:02"),
        ("dog_20261126T034008_034103-miss-0.40-2.wav", "2026-11-26T03:41:02"),
        ("cat_20261126T034008_034103.wav", "2026-11-26T03:41:02"),  # sorted
        ("cat_20261126T000000_000000-2.wav", "2026-11-25T23:59:59"),
    ],
)
def test_a_capture_has_its_own_time_and_not_that_of_its_session(name: str, expected: str) -> None:
    found = recorded_at(name, length_s=2.0)
    assert found is not None and found.isoformat() == expected


def test_a_take_has_no_time_of_its_own(tmp_path: Path) -> None:
    path = ClassFolder(tmp_path, "dog").save(np.ones(8000, np.int16), 8000)
    assert recorded_at(path, length_s=1.0) is None
    assert recorded_at("dog_20261326T034008_034103.wav") is None  # there is no month 13


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(path: Path, *, before: bytes = b"", after: bytes = b"") -> Path:
    """A WAV file of a second of silence with chunks before and after its samples."""
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
    body = b"WAVE" + form + before + chunk(b"data", bytes(16_000)) + after
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("(UTC) ", "+00:00"),
        ("(UTC-5) ", "-05:00"),
        ("(UTC+10) ", "+10:00"),
        ("(UTC+5:30) ", "+05:30"),
        ("", ""),
    ],
)
def test_the_comment_of_an_audiomoth_comes_before_the_name(tmp_path: Path, zone: str, offset: str) -> None:
    comment = chunk(b"ICMT", AUDIOMOTH.format(zone=zone).encode().ljust(256, b"\0"))
    listed = chunk(b"LIST", b"INFO" + comment + chunk(b"IART", b"AudioMoth 24E1\0"))
    path = wav(tmp_path / "20200101_000000.WAV", before=listed)
    found = recorded_at(path)
    assert found is not None and found.isoformat() == f"2024-06-04T19:17:30{offset}"


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2024-06-01T14:05:05+02:00", "2024-06-01T14:05:05+02:00"),
        ("2024-06-01 14:05:05", "2024-06-01T14:05:05"),
        ("2024-06-01T14:05:05.250Z", "2024-06-01T14:05:05.250000+00:00"),
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_guano_metadata(tmp_path: Path, stamp: str, expected: str, place: str) -> None:
    text = f"GUANO|Version: 1.0\nMake: Wildlife Acoustics\nTimestamp: {stamp}\nLength: 1.0\n"
    path = wav(tmp_path / "bat.wav", **{place: chunk(b"guan", text.encode())})
    found = recorded_at(path)
    assert found is not None and found.isoformat() == expected


def test_headers_that_are_cut_short_or_say_nothing(tmp_path: Path) -> None:
    path = wav(
        tmp_path / "20240601_140505.wav", before=chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"my garden"))
    )
    whole = path.read_bytes()
    for length in (*range(0, 80), len(whole)):
        path.write_bytes(whole[:length])
        found = recorded_at(path)
        assert found is not None and found.isoformat() == "2024-06-01T14:05:05"
