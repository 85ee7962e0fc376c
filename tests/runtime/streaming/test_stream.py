"""However a waveform is cut into chunks, its predictions are those of its windows alone."""

from __future__ import annotations

import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.classifier import Model, load_model
from runtime.errors import AudioError, AudioWarning, ConfigError
from runtime.model.prediction import Prediction, clip_mean
from runtime.streaming.framing import Framer
from runtime.streaming.stream import Stream, Streams

RATE = 32_000


def alone(model: Model, noise: np.ndarray, prediction: Prediction) -> Prediction:
    """What `classify` says to the same window as a clip of its own."""
    start = round(prediction.start_s * RATE)
    answer = model.classify(noise[start : start + RATE], RATE)
    return dataclasses.replace(answer, start_s=prediction.start_s, end_s=prediction.end_s)


def fold(stream: Stream, waveform: np.ndarray, sizes: list[int]) -> list[Prediction]:
    predictions, position = [], 0
    for size in sizes:
        predictions += stream.push(waveform[position : position + size])
        position += size
    return predictions + stream.push(waveform[position:]) + stream.flush()


@pytest.fixture(scope="module")
def expected(model: Model, noise: np.ndarray) -> dict[int, list[Prediction]]:
    return {
        hop: model.windows(noise[:50_001], RATE, hop / RATE) for hop in (1000, 4000, 8000, 32_000, 48_000)
    }


@pytest.mark.parametrize("hop", [1000, 4000, 8000, 32_000, 48_000])
def test_every_window_is_a_clip_of_its_own(
    model: Model, noise: np.ndarray, expected: dict[int, list[Prediction]], hop: int
) -> None:
    starts = [round(p.start_s * RATE) for p in expected[hop]]
    grid = list(range(0, 50_001 - RATE + 1, hop))
    rest = 50_001 - RATE - grid[-1]
    assert starts == grid + [50_001 - RATE] * (2 * rest >= hop)  # a tail of half a hop or more
    for prediction in expected[hop]:
        assert prediction == alone(model, noise, prediction)


SIZES = st.lists(st.integers(0, 40_000), max_size=12)


@settings(max_examples=500, deadline=None)
@given(sizes=SIZES, hop=st.sampled_from([4000, 8000, 32_000, 48_000]))
def test_chunking_changes_nothing(
    model: Model, noise: np.ndarray, expected: dict[int, list[Prediction]], sizes: list[int], hop: int
) -> None:
    assert fold(model.stream(hop / RATE), noise[:50_001], sizes) == expected[hop]


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(1, 50_000), st.floats(0, 3), SIZES), min_size=1, max_size=4),
    hop_s=st.sampled_from([0.125, 0.5, 1.5]),
    rate=st.sampled_from([32_000, 44_100]),
)
def test_chunking_around_gaps_changes_nothing(
    model: Model, noise: np.ndarray, parts: list[tuple[int, float, list[int]]], hop_s: float, rate: int
) -> None:
    whole, cut = (model.stream(hop_s, sample_rate=rate) for _ in range(2))
    cut.push(noise[:12_345])
    cut.reset()
    for samples, gap_s, sizes in parts:
        one = whole.push(noise[:samples]) + whole.gap(gap_s)
        position, many = 0, []
        for size in sizes:
            many += cut.push(noise[position : min(position + size, samples)])
            position = min(position + size, samples)
        assert many + cut.push(noise[position:samples]) + cut.gap(gap_s) == one
    assert cut.flush() == whole.flush()


@pytest.mark.parametrize("size", [1, 7, 499, 8192])
def test_chunks_of_one_size(
    model: Model, noise: np.ndarray, expected: dict[int, list[Prediction]], size: int
) -> None:
    assert fold(model.stream(0.25), noise[:50_001], [size] * (50_001 // size)) == expected[8000]


def test_a_hop_off_the_frame_grid_warns_and_is_still_right(model: Model, noise: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="multiple"):
        predictions = model.windows(noise[:50_000], RATE, 0.21)
    assert len(predictions) == 4
    assert all(p == alone(model, noise, p) for p in predictions)


def test_reset_forgets(model: Model, noise: np.ndarray) -> None:
    stream = model.stream(0.25, sample_rate=44_100)
    first = stream.push(noise)
    stream.reset()
    assert stream.push(noise) == first


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_resampling_on_the_way_is_exact(model: Model, noise: np.ndarray, rate: int) -> None:
    waveform = noise[: int(rate * 1.6)]
    whole = soxr.resample(waveform, rate, RATE, quality="HQ")
    assert fold(model.stream(0.25, sample_rate=rate), waveform, [1, 4410, 7, 20_000]) == model.windows(
        whole, RATE, 0.25
    )


def test_int16_is_the_same_sound(model: Model, noise: np.ndarray) -> None:
    pcm = np.round(noise * 32767).astype(np.int16)
    assert model.classify(pcm, RATE) == model.classify(pcm.astype(np.float32) / 32768, RATE)
    with pytest.raises(TypeError):
        model.classify(pcm.astype(np.int32), RATE)


def test_channels(model: Model, noise: np.ndarray) -> None:
    stereo = np.stack([noise, -0.5 * noise], axis=1)
    assert model.classify(stereo, RATE) == model.classify((stereo[:, 0] + stereo[:, 1]) / 2, RATE)
    assert model.stream(1, channel=1).push(np.asfortranarray(stereo)) == model.stream(1).push(-0.5 * noise)
    with pytest.raises(ConfigError, match="no channel 2"):
        model.stream(1, channel=2).push(stereo)


def test_a_clip_is_the_mean_of_its_windows_with_a_signal(model: Model, noise: np.ndarray) -> None:
    clip = np.concatenate([noise[:64_000], np.zeros(32_000, np.float32)])
    windows = model.windows(clip, RATE)
    assert [w.state for w in windows] == ["ok", "ok", "no_signal"]
    mean = {label: (windows[0].scores[label] + windows[1].scores[label]) / 2 for label in model.labels}
    assert model.classify(clip, RATE).scores == mean
    assert clip_mean(windows).end_s == 3.0


def test_a_short_clip_is_padded_at_its_end(model: Model, noise: np.ndarray) -> None:
    short = noise[:20_000]
    answer = model.classify(short, RATE)
    assert answer.scores == model.classify(np.pad(short, (0, 12_000)), RATE).scores
    assert answer.end_s == 20_000 / RATE


@pytest.mark.filterwarnings("ignore::runtime.errors.AudioWarning")
@pytest.mark.parametrize("level", [0.0, 0.25, -1.0])
def test_a_constant_has_no_signal(model: Model, level: float) -> None:
    prediction = model.classify(np.full(RATE, level, np.float32), RATE)
    assert (prediction.label, prediction.probability, prediction.scores) == (None, None, {})
    assert prediction.state == "no_signal"


def test_very_quiet_has_no_signal_and_quiet_has(model: Model, noise: np.ndarray) -> None:
    tone = np.sin(np.arange(RATE) / 5).astype(np.float32)
    assert model.classify(tone * np.float32(4e-4), RATE).state == "no_signal"  # -71 dBFS
    assert model.classify(tone * np.float32(5e-4), RATE).state == "ok"  # -69 dBFS


def test_a_gap_is_flagged_and_time_goes_on(model: Model, noise: np.ndarray) -> None:
    stream = model.stream(0.25)
    before = stream.push(noise[:40_000])
    lost = stream.gap(10.0)
    after = stream.push(noise[40_000:])
    # 40,000 samples end inside window 2 (from 0.5 s); time goes on at 11.25 s
    assert [p.start_s for p in before] == [0.0, 0.25]
    assert [p.start_s for p in lost] == [0.5, 0.75, 1.0] and {p.state for p in lost} == {"gap"}
    assert after[0].start_s == 10.5 and after[-1].end_s == 14.0
    states = {p.start_s: p.state for p in after}
    assert states[11.0] == "gap" and states[11.25] == "ok"
    ok = [p for p in after if p.state == "ok"]
    assert ok[0].scores == model.classify(noise[40_000:72_000], RATE).scores
    assert ok[3].scores == model.classify(noise[64_000:96_000], RATE).scores


def test_many_streams_say_what_each_says_alone(model: Model, noise: np.ndarray) -> None:
    parts = [noise[shift : shift + 50_000 + shift] for shift in range(0, 32_000, 4000)]
    streams, together = model.streams(len(parts), hop_s=0.25), [[] for _ in parts]
    for cut in (0, 1), (1, 40_000), (40_000, None):
        for predictions, new in zip(
            together, streams.push([part[slice(*cut)] for part in parts]), strict=True
        ):
            predictions += new
    for index, (part, predictions) in enumerate(zip(parts, together, strict=True)):
        predictions += streams.gap(index, 0.5) + streams.finish(index)
        alone = model.stream(0.25)
        expected = alone.push(part) + alone.gap(0.5) + alone.flush()
        assert [(p.start_s, p.end_s, p.state) for p in predictions] == [
            (p.start_s, p.end_s, p.state) for p in expected
        ]
        for prediction, single in zip(predictions, expected, strict=True):
            assert prediction.scores == pytest.approx(single.scores, abs=1e-6)


def test_chunks_beside_a_refused_one_are_left_out(model: Model, noise: np.ndarray) -> None:
    """A resampler must not have taken in the chunk of its stream when that of a later one is refused."""
    several, expected = (model.streams(2, hop_s=0.5, sample_rate=44_100) for _ in range(2))
    bad = noise[:9000].copy()
    bad[5] = np.nan
    with pytest.raises(AudioError):
        several.push([noise[20_000:29_000], bad])
    chunks = [noise[:60_000], noise[5000:65_000]]
    assert several.push(chunks) == expected.push(chunks)
    with pytest.raises(AudioError):
        several.push([noise[20_000:29_000], bad])
    chunks = [noise[60_000:], noise[:40_000]]
    assert several.push(chunks) == expected.push(chunks)


def test_windows_that_fall_due_together_go_through_the_network_together(
    model: Model, noise: np.ndarray
) -> None:
    sizes: list[int] = []

    def logits(log_mel: np.ndarray) -> np.ndarray:
        sizes.append(len(log_mel))
        return model.session.logits(log_mel)

    streams = Streams(model.spec, logits, [Framer(model.spec, hop_s=0.5) for _ in range(4)])
    streams.push([noise[:32_000], noise[:48_000], np.zeros(48_000, np.float32), noise[:9]])
    assert sizes == [2, 1]  # the first windows, then the second of the stream that has one


def test_a_gap_of_unknown_length_flags_what_touches_it(model: Model, noise: np.ndarray) -> None:
    stream = model.stream(0.5)
    predictions = stream.push(noise[:40_000]) + stream.gap(0.0) + stream.push(noise[40_000:96_000])
    assert [p.state for p in predictions] == ["ok", "gap", "gap", "ok", "ok"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(model: Model, noise: np.ndarray, value: float) -> None:
    broken = noise[:40_000].copy()
    broken[123] = value
    with pytest.raises(AudioError, match="NaN"):
        model.classify(broken, RATE)


def test_no_samples_are_refused(model: Model) -> None:
    with pytest.raises(AudioError, match="no samples"):
        model.classify(np.empty(0, np.float32), RATE)


@pytest.mark.parametrize("rate", [0, -1, 999, 10**9])
def test_a_rate_that_is_none_is_refused(model: Model, rate: int) -> None:
    with pytest.raises(ConfigError, match="sample rate"):
        model.classify(np.ones(100, np.float32), rate)


@pytest.mark.parametrize("hop", [0.0, -1.0, float("nan"), 1e-9])
def test_a_hop_that_is_no_time_is_refused(model: Model, hop: float) -> None:
    with pytest.raises(ConfigError, match="hop"):
        model.stream(hop)


@pytest.mark.parametrize("shape", [(2, 40_000), (1, 40_000), (100, 65), (2, 2, 2), (9, 10)])
def test_other_layouts_are_refused(model: Model, shape: tuple[int, ...]) -> None:
    waveform = np.full(shape, 0.1, np.float32)
    for take in (lambda: model.classify(waveform, RATE), lambda: model.stream().push(waveform)):
        with pytest.raises(AudioError, match=r"\[samples, channels\]"):
            take()


def test_one_clip_after_the_other_has_the_bits_of_each_alone(model: Model, noise: np.ndarray) -> None:
    clips = [noise[:32_000], noise[:20_000], np.stack([noise[:70_000], noise[:70_000]], axis=1)]
    alone = [load_model(model.session.path).classify(clip, 44_100) for clip in clips]
    assert [model.classify(clip, 44_100) for clip in clips * 2] == alone * 2
    with pytest.raises(AudioError):  # half of it was pushed
        model.classify(np.append(noise, np.nan), 44_100)
    assert [model.classify(clip, 44_100) for clip in clips] == alone


def test_threads_share_a_model(model: Model, noise: np.ndarray) -> None:
    clips = [noise[start : start + 48_000] for start in range(0, 64_000, 4_000)]
    expected = [model.classify(clip, RATE) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda clip: model.classify(clip, RATE), clips * 3)) == expected * 3


def test_a_warning_where_the_channels_cancel(model: Model, noise: np.ndarray) -> None:
    stereo = np.stack([noise, -noise], axis=1)
    with pytest.warns(AudioWarning, match="channel=0") as warned:
        assert model.classify(stereo, RATE).state == "no_signal"
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.stream(1.0, channel=1).push(stereo)[0].state == "ok"
