"""Takes: stretches without a gap, and names that hold a session together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.devices.source import Chunk
from runtime.errors import ConfigError
from runtime.live.takes import ClassFolder, InterruptionError, TakeReader, checked_label, fault_of


class Chunks:
    """A source of the given chunks."""

    name, sample_rate = "test", 100

    def __init__(self, *chunks: Chunk | None) -> None:
        self._chunks = list(chunks)

    def poll(self) -> Chunk | None:
        if not self._chunks:
            raise EOFError
        return self._chunks.pop(0)

    def close(self) -> None:
        pass


def chunk(value: float, count: int, **more: object) -> Chunk:
    return Chunk(np.full((count, 1), value, np.float32), 0.0, **more)  # type: ignore[arg-type]


def test_a_take_begins_where_the_last_one_ended() -> None:
    reader = TakeReader(Chunks(chunk(0.25, 70), None, chunk(0.5, 70)))
    assert reader.read(0.5).tolist() == [8192] * 50
    assert reader.read(0.5).tolist() == [8192] * 20 + [16384] * 30
    assert reader.read(0.4).tolist() == [16384] * 40
    with pytest.raises(EOFError):
        reader.read(0.1)


def test_no_take_holds_a_gap_or_what_precedes_it() -> None:
    back = Chunk(np.empty((0, 1), np.float32), 0.0, 3.0, "device_back", "test")
    lost = Chunk(np.empty((0, 1), np.float32), 0.0, event="device_lost", detail="it was unplugged")
    reader = TakeReader(Chunks(chunk(0.25, 70), chunk(0.5, 50, lost_s=0.1), lost, back, chunk(-0.5, 100)))
    with pytest.raises(InterruptionError, match="samples were lost"):
        reader.read(1.0)
    with pytest.raises(InterruptionError, match="unplugged"):
        reader.read(1.0)
    with pytest.raises(InterruptionError):
        reader.read(1.0)
    assert reader.read(1.0).tolist() == [-16384] * 100


def test_the_meter_gets_the_time_to_come_and_the_level() -> None:
    shown: list[tuple[float, float]] = []
    square = Chunk(np.tile(np.float32([[0.5], [-0.5]]), (25, 1)), 0.0)
    TakeReader(Chunks(square, square), on_chunk=lambda *now: shown.append(now)).read(1.0)
    assert shown == [(0.5, pytest.approx(-6.02, abs=0.01)), (0.0, pytest.approx(-6.02, abs=0.01))]


def test_sessions_of_the_same_second_have_names_of_their_own(tmp_path: Path) -> None:
    take = np.ones(10, np.int16)
    first, other = ClassFolder(tmp_path, "dog", 1e9), ClassFolder(tmp_path, "cat", 1e9)
    first.save(take, 100), first.save(take, 100), other.save(take, 100)
    second = ClassFolder(tmp_path, "dog", 1e9)
    assert second.session != first.session == other.session
    names = {second.save(take, 100).name, *(path.name for path in first.path.iterdir())}
    assert names == {f"dog_{first.session}_001.wav", f"dog_{first.session}_002.wav",
                     f"dog_{second.session}_001.wav"}  # fmt: skip


def test_two_sessions_that_begin_in_the_same_second_replace_nothing(tmp_path: Path) -> None:
    folders = [ClassFolder(tmp_path, "dog", 1e9) for _ in range(3)]  # none has a take yet
    saved = [folder.save(np.full(10, value, np.int16), 100) for value in (1, 2) for folder in folders]
    assert len(set(saved)) == 6 and len({folder.session for folder in folders}) == 3
    assert [path.name[-8:] for path in saved] == ["_001.wav"] * 3 + ["_002.wav"] * 3


def test_a_label_is_the_name_of_a_folder_on_any_system(tmp_path: Path) -> None:
    for label in ("\u72ac" * 34, "CON", "con.wav", "Lpt1", "com\u00b9", "NUL .x"):
        with pytest.raises(ConfigError, match="no name of a folder"):
            checked_label(label)
    for label in ("\u72ac" * 33, "x" * 100, "console", "com10", "lpt", "a.con"):
        assert ClassFolder(tmp_path, label).save(np.ones(10, np.int16), 100).is_file()


@pytest.mark.parametrize(
    ("samples", "fault"),
    [([0] * 50, "silent"), ([9000] * 50, "silent"), ([9, -9] * 25, "silent"), ([20, -20] * 25, ""),
     ([32767, 32767, 0, 5, -5] * 10, ""), ([0, 32767, -32768, -32767, 0] * 10, "clipped")],
)  # fmt: skip
def test_silence_and_clipping_are_faults(samples: list[int], fault: str) -> None:
    found = fault_of(np.array(samples, np.int16))
    assert fault in found and bool(fault) == bool(found)
