"""FrontEndSpec and ModelSpec: written and read back strictly."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from runtime.errors import ConfigError, ModelFileError
from runtime.spec import PRESETS, FrontEndSpec, ModelSpec, SelfTestVector

SPEC = ModelSpec(
    ("a", "b"),
    PRESETS["cp_mel"],
    self_test_vectors=(SelfTestVector("ramp", 3, (1.0, -2.0)),),
    thresholds={"a": 0.5},
)


@pytest.mark.parametrize("name", PRESETS)
def test_specs_come_back_as_they_were(name: str) -> None:
    spec = FrontEndSpec.preset(name)
    assert FrontEndSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    model = dataclasses.replace(SPEC, frontend=spec)
    assert ModelSpec.from_json(model.to_json()) == model


@pytest.mark.parametrize(
    ("field", "value"),
    [("labels", []), ("labels", ["a", "a"]), ("labels", ["a", ""]), ("labels", [1, 2]), ("labels", "ab"),
     ("clip_s", 0), ("clip_s", 1e9), ("clip_s", "1"), ("clip_s", True), ("temperature", -1),
     ("temperature", 10**400), ("thresholds", {"a": 10**400}),
     ("task", "regression"), ("thresholds", {"c": 0.5}), ("thresholds", {"a": 1.5}),
     ("goldens", [{"formula": "ramp", "seed": 0, "logits": [1.0]}]),
     ("frontend", None), ("schema", 2), ("schema", "1"), ("more", 1)],
)  # fmt: skip
def test_a_model_spec_that_is_not_one(field: str, value: Any) -> None:
    values = json.loads(SPEC.to_json()) | {field: value}
    with pytest.raises(ModelFileError) as caught:
        ModelSpec.from_json(json.dumps(values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"n_fft": 0}, {"n_fft": 2**30}, {"n_mels": 2**30}, {"sample_rate": 10**9},
     {"sample_rate": 10**400}, {"top_db": 10**400},
     {"win_length": 5000}, {"f_max": 20_000.0}, {"power": 3.0}, {"preemphasis": 1.0},
     {"std": 0.0}, {"log_offset": float("nan")}, {"window": "kaiser"}, {"n_mels": 2.5}, {"center": 1},
     {"framing": "kaldi"}, {"framing": "htk"}, {"top_db": -1.0},
     {"fixed_frames": -1}, {"fixed_frames": 2**30}],
)  # fmt: skip
def test_a_front_end_that_makes_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(PRESETS["cp_mel"], **change)


def test_too_short_for_a_frame() -> None:
    assert PRESETS["cp_mel"].frames(32_000) == 64 and PRESETS["baseline_mel"].frames(32_000) == 65
    with pytest.raises(ConfigError, match="too short"):
        PRESETS["cp_mel"].frames(2048)


def test_the_keys_of_a_model_file_do_not_change() -> None:
    values = json.loads(SPEC.to_json())
    assert values["goldens"] == [{"formula": "ramp", "seed": 3, "logits": [1.0, -2.0]}]
    assert set(values) == {
        "clip_s", "complexity", "frontend", "goldens", "labels", "provenance", "quantization", "schema",
        "task", "temperature", "thresholds",
    }  # fmt: skip


def test_front_ends_of_earlier_releases_have_the_json_that_they_had() -> None:
    fields = [
        "sample_rate", "n_fft", "win_length", "hop_length", "window", "window_periodic", "center", "pad_mode",
        "preemphasis", "power", "n_mels", "f_min", "f_max", "mel_scale", "mel_norm", "log_offset", "mean",
        "std",
    ]  # fmt: skip
    for name in ("cp_mel", "cp_mel_512", "baseline_mel", "passt_mel"):
        assert list(PRESETS[name].to_dict()) == fields
        model = dataclasses.replace(SPEC, frontend=PRESETS[name])
        assert json.loads(model.to_json())["frontend"] == PRESETS[name].to_dict()


def test_fields_of_later_releases_are_read_where_they_are_there() -> None:
    values = PRESETS["ced_mel"].to_dict()
    assert (values["log_mode"], values["top_db"]) == ("floor", 120.0) and "clip_mean" not in values
    with pytest.raises(ModelFileError, match="mel_scale"):
        FrontEndSpec.from_dict({key: value for key, value in values.items() if key != "mel_scale"})
