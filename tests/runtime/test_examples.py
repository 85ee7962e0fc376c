"""The examples in the docstrings run, and every class that a user makes has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

import runtime
from runtime.devices import microphone
from tests.runtime.fakes import FakeAudio, white

MODULES = [
    module.name for module in pkgutil.walk_packages(runtime.__path__, "runtime.")
    if not module.name.startswith("runtime.server.") or find_spec("starlette")  # of the extra serve
]  # fmt: skip
# results and views, which nobody makes by hand, and errors
EXEMPT = {
    "Chunk",
    "Source",
    "FramedWindow",
    "Checked",
    "Recording",
    "LiveResult",
    "DeviceChange",
    "HopChange",
    "Ended",
    "Finding",
    "ModelFile",
    "SelfTestVector",
    "Run",
    "RecordedBlock",
}
EXEMPT |= {"Capture", "Trigger"}
EXEMPT |= {"Row", "Identity", "Table"}
EXEMPT |= {"NativeSession", "NativeLogMel"}  # their example would need a compiler
EXEMPT |= {"LoggedEvent", "Limits", "Publication", "Start", "Address"}
EXEMPT |= {"Kind", "WavFormat", "Results", "View", "LineView", "JsonView", "TerminalView"}


@pytest.fixture
def names(tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What an example may use without having made it."""
    wav_path, folder = tmp_path / "a.wav", tmp_path / "folder"
    soundfile.write(wav_path, np.random.default_rng(0).normal(scale=0.1, size=64_000), 32_000)
    audio = FakeAudio(white)
    monkeypatch.setattr(microphone, "portaudio", lambda: audio)
    from runtime.audio.decode import AudioFile
    from runtime.devices.file_source import FileSource

    return {
        "np": np, "load_model": runtime.load_model, "model_path": model_path, "wav_path": wav_path,
        "folder": folder, "AudioFile": AudioFile, "FileSource": FileSource,
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_run(name: str, names: dict[str, object]) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert failed == 0


def test_every_class_has_an_example() -> None:
    lacking = [
        f"{name}.{cls.__name__}"
        for name in MODULES
        for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass)
        if cls.__module__ == name
        and not (cls.__name__.startswith("_") or issubclass(cls, Exception) or cls.__name__ in EXEMPT)
        and "Example:" not in (cls.__doc__ or "")
    ]
    assert lacking == []
