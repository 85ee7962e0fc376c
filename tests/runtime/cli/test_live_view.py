"""What a person sees: bars in a terminal, lines elsewhere, names where there is more than one input."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.cli.formatting import LabelFormatter
from runtime.cli.main import main
from runtime.cli.microphone.live_view import JsonView, LineView
from runtime.live.live_loop import DeviceChange, HopChange, LiveResult
from runtime.model.prediction import classified
from runtime.streaming.events import Event, EventRules

WORDING = LabelFormatter("single_label", EventRules())


@pytest.fixture
def wav(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 32_000, subtype="PCM_16")
    return path


def in_terminal(*arguments: str) -> tuple[int, str]:
    """Run ``listen`` with a terminal as its stdout."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "listen", *arguments],
        stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", "COLUMNS": "90"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65_536):
            seen += part
    except OSError:  # as Linux does once the other end is closed
        pass
    os.close(ours)
    return process.wait(30), seen.decode()


def test_a_terminal_gets_bars(wav: Path, model_path: Path) -> None:
    pytest.importorskip("rich", reason="without it a terminal gets lines")
    code, seen = in_terminal(str(wav), "--model", str(model_path), "--top", "2")
    assert code == 0
    for part in ("level", "dBFS", "* rain", "█", "late", "lost", "last", "onset"):
        assert part in seen
    assert "hum" not in seen  # the third and fourth label are not among the top two


def test_a_terminal_without_rich_gets_lines(
    wav: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ModuleNotFoundError('no rich', name='rich')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, seen = in_terminal(str(wav), "--model", str(model_path))
    assert code == 0 and "1.00 s" in seen and "█" not in seen


def test_lines_name_their_input_where_there_are_several(
    wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", str(model_path), "--hop", "1"]
    main(["listen", str(wav), *common])
    assert str(wav) not in capsys.readouterr().out
    main(["listen", str(wav), "--input", str(wav), *common])
    assert all(line.endswith(str(wav)) for line in capsys.readouterr().out.splitlines())


def test_a_change_of_a_device_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    change = DeviceChange("USB mic", "device_lost", "its stream ended", 1.5)
    LineView(WORDING, 1, events_only=True, named=False).show(change)
    JsonView(events_only=True).show(change)
    out, err = capsys.readouterr()
    assert err == "device_lost: USB mic: its stream ended\n"
    assert '"event": "device_lost"' in out and '"time_s": 1.5' in out


def test_a_change_of_the_hop_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    change = HopChange("hop_widened", 0.5, "the machine is too slow")
    LineView(WORDING, 1, events_only=True, named=False).show(change)
    JsonView(events_only=True).show(change)
    out, err = capsys.readouterr()
    assert err == "hop_widened: the machine is too slow\n"
    printed = json.loads(out)
    assert abs(datetime.fromisoformat(printed.pop("utc")).timestamp() - time.time()) < 60
    assert printed == {"event": "hop_widened", "hop_s": 0.5, "detail": "the machine is too slow"}


def test_json_has_the_time_of_day_of_the_sound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    window = classified({"dog": 0.9}, start_s=9.0, end_s=10.0)
    events = (Event("dog", "onset", 8.5, None, 0.9), Event("rain", "offset", 2.0, 9.5, 0.8))
    JsonView(events_only=False).show(
        LiveResult("mic", window, window, events, level_dbfs=-20.0, late_s=0.25, dropped_s=0.0)
    )
    times = [json.loads(line)["utc"] for line in capsys.readouterr().out.splitlines()]
    assert [datetime.fromisoformat(utc).timestamp() for utc in times] == [999.75, 998.25, 999.25]


@pytest.mark.parametrize(
    "override",
    [["--temperature", "9"], ["--smooth", "3"], ["--min-duration", "2"], ["--threshold", "0.99"]],
    ids=lambda override: override[0],
)
def test_every_override_changes_the_result(
    wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str], override: list[str]
) -> None:
    common = ["classify", str(wav), "--hop", "0.25", "--json", "--model", str(model_path)]
    outputs = []
    for arguments in ([], override):
        for events in ([], ["--events"]):
            main([*common, *events, *arguments])
            outputs.append(capsys.readouterr().out)
    assert (outputs[0], outputs[1]) != (outputs[2], outputs[3])


def test_cooldown_on_the_command_line(
    tmp_path: Path, model_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    second = noise[:32_000]
    soundfile.write(tmp_path / "a.wav", np.concatenate([second, 0 * noise[:48_000], second]), 32_000)
    onsets = []
    for cooldown in ("0", "9"):
        main(["classify", str(tmp_path / "a.wav"), "--hop", "0.25", "--events", "--cooldown", cooldown,
              "--smooth", "0", "--min-duration", "0", "--model", str(model_path)])  # fmt: skip
        onsets.append(capsys.readouterr().out.count("onset"))
    assert onsets == [2, 1]
