"""The pictures of the README show what the commands print."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from benchmarks.pictures import last_picture, main


def test_the_live_view_becomes_a_picture(tmp_path, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.chdir(tmp_path)
    soundfile.write("noise.wav", np.random.default_rng(0).standard_normal(48_000) * 0.05, 16_000)
    assert main(["noise.wav", "-o", "pictures"]) == 0
    svg = (tmp_path / "pictures" / "listen.svg").read_text()
    assert "noise.wav" in svg and "dBFS" in svg
    assert "url(" not in svg.replace("url(#", "")  # nothing is fetched to show it
    assert (tmp_path / "pictures" / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_the_last_of_several_pictures_is_found():
    assert last_picture("a\r\nb\r\x1b[2K\x1b[1A\x1b[2Kc\r\nd\r\n\x1b[?25h") == "c\nd"
