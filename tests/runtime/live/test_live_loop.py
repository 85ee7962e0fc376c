"""The live loop on a sound card and a clock that tests move."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from runtime.audio.log_mel import LogMel
from runtime.audio.samples import Array
from runtime.classifier import Model
from runtime.devices import microphone as microphone_module
from runtime.devices.microphone import BUFFER_S, Microphone
from runtime.devices.ring_buffer import RingBuffer
from runtime.devices.source import Chunk
from runtime.errors import DeviceError
from runtime.live.live_loop import DeviceChange, Ended, HopChange, Listener, LiveResult
from runtime.model.prediction import Prediction
from tests.runtime.fakes import FakeAudio, FakeStream, white


class Chunks:
    """Samples in chunks of a tenth of a second."""

    name, sample_rate = "chunks", 32_000

    def __init__(self, samples: np.ndarray) -> None:
        self._parts = iter(np.split(samples[:, None], range(3200, len(samples), 3200)))

    def poll(self) -> Chunk:
        part = next(self._parts, None)
        if part is None:
            raise EOFError
        return Chunk(part, 0.0)

    def close(self) -> None:
        pass


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> FakeAudio:
    fake = FakeAudio(white, ("HDMI out", "USB mic", "USB cam"))
    monkeypatch.setattr(microphone_module, "portaudio", lambda: fake)
    monkeypatch.setattr(microphone_module, "_open_streams", set())
    return fake


def listen(model: Model, audio: FakeAudio, *sources: Microphone, hop_s: float = 0.25) -> Listener:
    return Listener(model, sources, hop_s=hop_s, clock=audio.clock, sleep=audio.sleep)


def test_a_microphone_gets_the_predictions_of_classify(model: Model, audio: FakeAudio) -> None:
    items = list(islice(listen(model, audio, Microphone("mic", 32_000, clock=audio.clock)), 20))
    for item in items:
        assert isinstance(item, LiveResult) and item.dropped_s == 0 and 0 <= item.late_s < 0.1
        start = round(item.raw.start_s * 32_000)
        assert item.raw.scores == model.classify(white(start, 32_000), 32_000).scores
    assert [item.raw.start_s for item in items] == [index / 4 for index in range(20)]


def test_many_inputs_get_the_predictions_of_each_alone(model: Model, audio: FakeAudio) -> None:
    microphones = [Microphone(name, 32_000, clock=audio.clock) for name in ("USB mic", "USB cam", "HDMI")]
    items = list(islice(listen(model, audio, *microphones), 30))
    assert {item.source for item in items} == {"USB mic", "USB cam", "HDMI out"}
    for item in items:
        start = round(item.raw.start_s * 32_000)
        assert item.raw.scores == pytest.approx(model.classify(white(start, 32_000), 32_000).scores, abs=1e-6)


def test_one_channel_of_several(model: Model, audio: FakeAudio) -> None:
    microphone = Microphone("USB mic", 32_000, channel=1, clock=audio.clock)
    assert microphone.channels == 2
    listener = Listener(model, [microphone], hop_s=0.5, channel=1, clock=audio.clock, sleep=audio.sleep)
    (item,) = islice(listener, 1)
    assert item.raw.scores == model.classify(white(0, 32_000), 32_000).scores


@pytest.mark.parametrize(("rates", "opened"), [((48_000,), 48_000), ((44_100,), 44_100), ((32_000,), 32_000)])
def test_another_rate_is_resampled(
    model: Model, audio: FakeAudio, rates: tuple[int, ...], opened: int
) -> None:
    audio.rates = rates
    microphone = Microphone("USB mic", 32_000, clock=audio.clock)
    assert microphone.sample_rate == opened
    items = list(islice(listen(model, audio, microphone), 5))
    assert items[4].raw.end_s == 2.0 and items[4].late_s < 0.2


def test_a_device_that_takes_no_rate_is_one_sentence(audio: FakeAudio) -> None:
    audio.rates = ()
    with pytest.raises(DeviceError, match="opens at none of 32000, 48000, 44100 Hz"):
        Microphone("USB mic", 32_000)


def test_a_stream_that_does_not_start_is_closed(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another program has the device; the next rate is tried."""
    start, closed = FakeStream.start, list[int]()

    def busy(stream: FakeStream) -> None:
        if stream.rate == 32_000:
            raise audio.PortAudioError("Device unavailable")
        start(stream)

    monkeypatch.setattr(FakeStream, "start", busy)
    monkeypatch.setattr(FakeStream, "close", lambda stream, **_: closed.append(stream.rate))
    assert Microphone("USB mic", 32_000, clock=audio.clock).sample_rate == 48_000
    assert closed == [32_000, 32_000]  # with one channel, and with both


def test_devices_are_found_by_name(audio: FakeAudio) -> None:
    assert Microphone("usb MIC", 32_000).name == "USB mic"
    assert Microphone(None, 32_000).name == "HDMI out"
    with pytest.raises(DeviceError, match="there are HDMI out; USB mic; USB cam"):
        Microphone("bluetooth", 32_000)
    with pytest.raises(DeviceError, match="say which of USB mic; USB cam"):
        Microphone("USB", 32_000)
    audio.plugged.clear()
    audio._initialize()
    with pytest.raises(DeviceError, match="No microphone was found"):
        Microphone(None, 32_000)


def test_a_lost_device_is_reported_and_reopened_by_name_and_time_goes_on(
    model: Model, audio: FakeAudio
) -> None:
    audio.plan = [
        (5.0, lambda: audio.plugged.remove("USB mic")),
        (20.0, lambda: audio.plugged.append("USB mic")),
    ]
    items = list(islice(listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock)), 60))
    lost, back = (item for item in items if isinstance(item, DeviceChange))
    assert (lost.event, back.event) == ("device_lost", "device_back")
    assert lost.time_s == pytest.approx(5.0, abs=0.1) and "nothing for 2 s" in lost.detail
    assert audio.starts > 1  # PortAudio had to look again, and its indices had changed
    states = {item.raw.start_s: item.raw.state for item in items if isinstance(item, LiveResult)}
    back_s = lost.time_s + items[-1].dropped_s
    assert 20.0 < back_s < 30.0  # attempts grow rarer: 0.5, 1, 2, 4, 8 s
    for start_s, state in states.items():
        assert state == ("ok" if start_s + 1 <= lost.time_s or start_s >= back_s else "gap")
    last = items[-1]
    assert last.raw.end_s == pytest.approx(audio.now, abs=0.1) and last.late_s < 0.1


def test_a_device_that_comes_back_takes_no_new_memory(model: Model, audio: FakeAudio) -> None:
    microphone = Microphone("USB mic", 32_000, clock=audio.clock)
    ring = microphone._ring
    audio.plan = [(5.0, audio.plugged.clear), (8.0, lambda: audio.plugged.append("USB mic"))]
    items = list(islice(listen(model, audio, microphone), 60))
    assert sum(isinstance(item, DeviceChange) for item in items) == 2
    assert microphone._ring is ring
    states = [item.raw.state for item in items if isinstance(item, LiveResult)]
    assert states[-1] == "ok" and items[-1].late_s < 0.1  # and nothing of its old content is classified


def test_a_device_is_opened_again_though_part_of_its_name_became_ambiguous(
    model: Model, audio: FakeAudio
) -> None:
    audio.plugged[:] = ["USB mic"]
    audio._initialize()
    audio.plan = [(5.0, audio.plugged.clear), (8.0, lambda: audio.plugged.extend(("USB cam", "USB mic")))]
    items = islice(listen(model, audio, Microphone("USB", 32_000, clock=audio.clock)), 60)
    changes = [(item.event, item.detail) for item in items if isinstance(item, DeviceChange)]
    assert changes[1:] == [("device_back", "USB mic")]


def test_one_of_two_devices_is_lost_and_the_other_goes_on(model: Model, audio: FakeAudio) -> None:
    mic, cam = (Microphone(name, 32_000, clock=audio.clock) for name in ("USB mic", "USB cam"))
    audio.plan = [
        (5.0, lambda: audio.plugged.remove("USB mic")),
        (8.0, lambda: audio.plugged.append("USB mic")),
    ]
    items = list(islice(listen(model, audio, mic, cam), 100))
    changes = [(item.source, item.event) for item in items if isinstance(item, DeviceChange)]
    assert changes == [("USB mic", "device_lost"), ("USB mic", "device_back")]
    of_cam = [item for item in items if isinstance(item, LiveResult) and item.source == "USB cam"]
    assert {item.raw.state for item in of_cam} == {"ok"} and of_cam[-1].dropped_s == 0
    of_mic = [item.raw.state for item in items if isinstance(item, LiveResult) and item.source == "USB mic"]
    assert "gap" in of_mic and of_mic[-1] == "ok"


def test_portaudio_that_does_not_start_is_tried_again(
    model: Model, audio: FakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(range(3))
    initialize = audio._initialize

    def fail_thrice() -> None:
        if next(failures, None) is not None:
            raise audio.PortAudioError("not yet")
        initialize()

    audio.plan = [
        (2.0, lambda: audio.plugged.clear()),
        (3.0, lambda: setattr(audio, "_initialize", fail_thrice)),
        (4.0, lambda: audio.plugged.append("USB mic")),
    ]
    items = islice(listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock)), 30)
    assert [item.event for item in items if isinstance(item, DeviceChange)] == ["device_lost", "device_back"]


def test_a_stuck_driver_is_lost(model: Model, audio: FakeAudio) -> None:
    audio.sound = lambda first, frames: np.full(frames, 0.25, np.float32)
    audio.rng = type("Blocks", (), {"integers": lambda self, low, high: 640})()  # type: ignore[assignment]
    items = islice(listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock)), 60)
    assert next(item.detail for item in items if isinstance(item, DeviceChange)).startswith("it repeated")


def test_silence_is_no_loss(model: Model, audio: FakeAudio) -> None:
    audio.sound = lambda first, frames: np.zeros(frames, np.float32)
    items = list(islice(listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock)), 100))
    assert {item.raw.state for item in items} == {"no_signal"}


def slow_down(listener: Listener, audio: FakeAudio, seconds: float) -> list[float]:
    """Let every turn that has samples take so long; the answer's only entry can be changed later."""
    takes, push = [seconds], listener._streams.push

    def slow_push(chunks: list[Array]) -> list[list[Prediction]]:
        audio.sleep(takes[0] if any(len(chunk) for chunk in chunks) else 0)
        return push(chunks)

    listener._streams.push = slow_push  # type: ignore[method-assign, assignment]
    return takes


def test_overload_drops_the_oldest_reports_it_and_widens_the_hop(model: Model, audio: FakeAudio) -> None:
    listener = listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock))
    slow_down(listener, audio, BUFFER_S)
    items = list(islice(listener, 40))
    changes = [item for item in items if isinstance(item, HopChange)]
    # twice widened, and never beyond a window
    assert [(c.event, c.hop_s) for c in changes] == [("hop_widened", 0.5), ("hop_widened", 1.0)]
    assert "too slow" in changes[0].detail and listener.hop_s == 1.0
    results = [item for item in items if isinstance(item, LiveResult)]
    assert any(item.raw.state == "gap" for item in results) and results[-1].dropped_s > 3 * BUFFER_S
    assert results[-1].raw.end_s == pytest.approx(audio.now, abs=2 * BUFFER_S)


def test_the_hop_is_narrowed_again_after_a_calm_time(model: Model, audio: FakeAudio) -> None:
    listener = listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock), hop_s=0.5)
    takes = slow_down(listener, audio, BUFFER_S)
    changes: list[tuple[float, str, float]] = []
    starts: list[float] = []
    for item in listener:
        if isinstance(item, HopChange):
            changes.append((audio.now, item.event, item.hop_s))
            takes[0] = 0.0
        elif changes and isinstance(item, LiveResult):
            starts.append(item.raw.start_s)
        if audio.now > 1000:
            break
    (widened_s, *widened), (narrowed_s, *narrowed) = changes  # one each way
    assert (widened, narrowed) == (["hop_widened", 1.0], ["hop_narrowed", 0.5])
    assert 300 <= narrowed_s - widened_s < 400 and listener.hop_s == 0.5
    assert starts[-1] - starts[-2] == 0.5


def test_a_loop_that_slept_blames_itself_and_not_the_device(model: Model, audio: FakeAudio) -> None:
    audio.plan = [(3.0, lambda: setattr(audio, "now", audio.now + 2 * BUFFER_S))]
    items = list(islice(listen(model, audio, Microphone("USB mic", 32_000, clock=audio.clock)), 40))
    assert all(isinstance(item, LiveResult) for item in items)
    assert items[-1].dropped_s == pytest.approx(2 * BUFFER_S, abs=0.1)
    assert items[-1].raw.end_s == pytest.approx(audio.now, abs=0.1)


def test_samples_that_the_device_lost_flag_a_gap(model: Model, audio: FakeAudio) -> None:
    microphone = Microphone("USB mic", 32_000, clock=audio.clock)
    stream = iter(listen(model, audio, microphone))
    assert {item.raw.state for item in islice(stream, 6)} == {"ok"}
    microphone.overflows += 1
    assert [item.raw.state for item in islice(stream, 8)].count("gap") == 4  # the windows that touch it


class Script:
    """A source of given chunks."""

    name, sample_rate = "script", 32_000

    def __init__(self, *sizes: int) -> None:
        self.chunks = iter(sizes)
        self.delivered = 0

    def poll(self) -> Chunk:
        size = next(self.chunks, None)
        if size is None:
            raise EOFError
        self.delivered += size
        return Chunk(white(self.delivered - size, size)[:, None], 0.0)

    def close(self) -> None:
        self.delivered = -1


class Swelling(Script):
    """Sound that comes up out of silence."""

    def poll(self) -> Chunk:
        chunk = super().poll()
        first = self.delivered - len(chunk.samples)
        return Chunk(chunk.samples * (np.arange(first, self.delivered) > 40_000)[:, None], 0.0)


def test_every_window_has_its_own_level_in_any_cut(model: Model) -> None:
    whole, cut = (
        [
            (item.raw.end_s, item.level_dbfs)
            for item in Listener(model, [source], hop_s=0.5)
            if isinstance(item, LiveResult)
        ]
        for source in (Swelling(96_000), Swelling(*[800] * 120))
    )
    assert whole == cut
    assert [level > -60 for _, level in whole] == [False, True, True, True, True]


class Broken(Script):
    """A source that loses its samples, through no fault of the loop."""

    def poll(self) -> Chunk:
        return Chunk(super().poll().samples[:0], 0.0, lost_s=0.1)


def test_samples_that_are_no_sound_do_not_widen_the_hop(model: Model) -> None:
    items = list(Listener(model, [Broken(*[3200] * 40)], hop_s=0.25))
    assert {item.raw.state for item in items if isinstance(item, LiveResult)} == {"gap"}
    assert not any(isinstance(item, HopChange) for item in items)


def test_inputs_of_any_length_end_one_by_one(model: Model) -> None:
    short, long = Script(20_000), Script(30_000, 7, 60_000)
    listener = Listener(model, [short, long], hop_s=0.5)
    items = list(listener)
    assert next(item for item in items if isinstance(item, Ended)).source == "script"
    ends = [item.raw.end_s for item in items if isinstance(item, LiveResult)]
    assert sorted(ends) == [20_000 / 32_000, 1.0, 1.5, 2.0, 2.5, 90_007 / 32_000]
    listener.close()
    assert short.delivered == long.delivered == -1


def test_the_ring_gives_back_what_was_written_in_any_cut() -> None:
    ring, rng, taken, written = RingBuffer(1000, 2), np.random.default_rng(0), [], 0
    for _ in range(300):
        size = int(rng.integers(0, 400))
        ring.write(np.arange(2 * written, 2 * (written + size), dtype=np.float32).reshape(-1, 2))
        written += size
        if rng.random() < 0.7 or written - sum(map(len, taken)) > 300:
            samples, lost = ring.take()
            assert lost == 0
            taken.append(samples)
    taken.append(ring.take()[0])
    assert np.array_equal(np.concatenate(taken), np.arange(2 * written, dtype=np.float32).reshape(-1, 2))


def test_a_ring_that_was_cleared_is_as_new() -> None:
    ring = RingBuffer(1000, 1)
    for _ in range(2):
        ring.write(np.full((700, 1), 0.5, np.float32))
        ring.write(np.full((200, 1), 0.5, np.float32))
        assert ring.is_stuck()
        ring.clear()
        assert ring.written == 0 and not ring.is_stuck() and len(ring.take()[0]) == 0
        ring.write(np.ones((300, 1), np.float32))
        samples, lost = ring.take()
        assert samples.sum() == 300 and lost == 0
        ring.clear()


def test_a_slow_reader_of_the_ring_loses_its_backlog_and_learns_how_much() -> None:
    ring = RingBuffer(1000, 1)
    for _ in range(9):
        ring.write(np.ones((100, 1), np.float32))
    samples, lost = ring.take()
    assert (len(samples), lost) == (0, 900)
    ring.write(np.ones((5, 1), np.float32))
    assert (len(ring.take()[0]), ring.take()[1]) == (5, 0)


def test_inputs_come_and_go_while_the_loop_runs(model: Model, audio: FakeAudio) -> None:
    """One that is added gets the predictions of its own samples; one that is removed ends and stays open."""
    first, second = (Microphone(name, 32_000, clock=audio.clock) for name in ("USB mic", "USB cam"))
    listener = Listener(model, [], hop_s=0.25, clock=audio.clock, sleep=audio.sleep, open_ended=True)
    listener.add(first)
    items: list[LiveResult | Ended] = []
    for item in listener:
        assert isinstance(item, LiveResult | Ended)
        items.append(item)
        if len(items) == 4:
            listener.add(second)
        if len(items) == 20:
            listener.remove(first)
        if len(items) == 30:
            listener.stop()
    ended = [(index, item.source) for index, item in enumerate(items) if isinstance(item, Ended)]
    assert [name for _, name in ended] == ["USB mic", "USB cam"] and ended[0][0] >= 20
    assert not any(item.source == "USB mic" for item in items[ended[0][0] + 1 :])
    for name in ("USB mic", "USB cam"):
        starts = [i.raw.start_s for i in items if isinstance(i, LiveResult) and i.source == name]
        assert starts == [index / 4 for index in range(len(starts))] and len(starts) > 5
    assert [stream.name for stream in audio.streams] == ["USB mic"]  # not closed
    first.close()


def test_an_input_that_is_added_before_the_hop_changes_gets_the_new_hop(
    model: Model, noise: np.ndarray
) -> None:
    """Its thread adds it; the loop takes it in later, when its hop may be another one."""
    listener = Listener(model, [], hop_s=0.25)
    listener.add(Chunks(noise))
    while not listener._hop_controller.lost():  # as overload in the loop would
        pass
    starts = [item.raw.start_s for item in listener if isinstance(item, LiveResult)]
    assert listener.hop_s == 0.5 and np.all(np.diff(starts[:-1]) == 0.5)


def test_new_columns_make_one_picture_of_the_stream(model: Model, noise: np.ndarray) -> None:
    """Side by side they are the log-mel of the stream, without the columns that read a window's padding."""
    listener = Listener(model, [Chunks(noise)], hop_s=0.25, with_columns=True)
    columns = [item.columns for item in listener if isinstance(item, LiveResult)]
    picture = np.concatenate([part for part in columns if part is not None], axis=1)
    whole = LogMel(model.spec.frontend)(noise)
    begin = 64 - 5 - 16  # the first window brings its last columns but those that read its end's padding
    assert np.array_equal(picture[:, :-16], whole[:, begin : begin + picture.shape[1] - 16])


def test_without_being_asked_no_columns_are_made(model: Model, noise: np.ndarray) -> None:
    results = [item for item in Listener(model, [Chunks(noise)], hop_s=0.25) if isinstance(item, LiveResult)]
    assert results and all(item.columns is None for item in results)
