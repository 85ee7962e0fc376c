"""A file is turned away, in one sentence, before it can do harm or say the wrong thing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.classifier import load_model
from runtime.errors import ConfigError, ModelFileError
from runtime.model.model_file import MAX_BYTES, append_checksum, read_model
from runtime.model.session import Session
from runtime.spec import ModelSpec, SelfTestVector
from tests.runtime.conftest import build_onnx

onnx = pytest.importorskip("onnx")


def refused(path: Path, data: bytes, match: str) -> None:
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=match) as caught:
        Session(path)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_logits_and_spec(model_path: Path, spec: ModelSpec) -> None:
    session = Session(model_path)
    assert session.spec == spec and session.optimization == "ALL"
    assert session.logits(np.zeros((3, 1, 256, 64), np.float32)).shape == (3, 4)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="There is no model"):
        Session(tmp_path / "no.onnx")


def test_a_folder_and_a_model_pt_have_remedies_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is a folder: name the \.onnx file in it"):
        Session(tmp_path)
    refused(tmp_path / "my model.pt", b"PK\x03\x04" + bytes(100), r"export onnx '.*/my model\.pt'")


@pytest.mark.parametrize("data", [b"", b"not a model", bytes(1000), b"\xff" * 1000, b"\x3a\x7f"])
def test_garbage(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path / "m.onnx", data, "not an ONNX model")


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelFileError, match="larger than"):
        Session(path)


def test_without_our_metadata(tmp_path: Path, spec: ModelSpec) -> None:
    model = onnx.load_from_string(build_onnx(spec))
    del model.metadata_props[:]
    refused(tmp_path / "m.onnx", model.SerializeToString(), "was not written by this toolkit")


def test_external_data(tmp_path: Path, spec: ModelSpec) -> None:
    model = onnx.load_from_string(build_onnx(spec))
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    refused(tmp_path / "m.onnx", model.SerializeToString(), "weights in another file")


def test_external_data_deep_inside(tmp_path: Path, spec: ModelSpec) -> None:
    model = onnx.load_from_string(build_onnx(spec))
    hidden = onnx.TensorProto(name="hidden", data_type=1, dims=[1])
    hidden.external_data.add(key="location", value="../x")
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Constant", [], ["c"], value=hidden)], "inner", [], []
    )
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", inner))
    refused(tmp_path / "m.onnx", model.SerializeToString(), "weights in another file")


def test_external_data_behind_a_tag_that_overflows(tmp_path: Path, spec: ModelSpec) -> None:
    tag = 7 << 3 | 2 | 1 << 32  # field 7, the graph, to a reader that keeps 32 bits
    varint = bytes(
        [tag & 127 | 128, tag >> 7 & 127 | 128, tag >> 14 & 127 | 128, tag >> 21 & 127 | 128, tag >> 28]
    )
    refused(tmp_path / "m.onnx", build_onnx(spec) + varint + b"\x00", "not an ONNX model")


def test_foreign_operators(tmp_path: Path, spec: ModelSpec) -> None:
    refused(tmp_path / "m.onnx", build_onnx(spec, domain="com.example"), "com.example")


def test_labels_of_the_wrong_length(tmp_path: Path, spec: ModelSpec) -> None:
    refused(tmp_path / "m.onnx", build_onnx(spec, classes=3), "label list has the wrong length")


def test_a_front_end_that_does_not_fit(tmp_path: Path, spec: ModelSpec) -> None:
    model = onnx.load_from_string(build_onnx(spec))
    other = dataclasses.replace(spec, frontend=dataclasses.replace(spec.frontend, n_mels=128))
    onnx.helper.set_model_props(model, {"model_spec": other.to_json()})
    refused(tmp_path / "m.onnx", model.SerializeToString(), "front end makes")


def test_windows_that_are_too_short_for_the_front_end(tmp_path: Path, spec: ModelSpec) -> None:
    model = onnx.load_from_string(build_onnx(spec))
    short = dataclasses.replace(spec, clip_s=0.01)
    onnx.helper.set_model_props(model, {"model_spec": short.to_json()})
    refused(tmp_path / "m.onnx", model.SerializeToString(), r"m\.onnx does not fit its windows: 320 samples")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 2}', "[" * 100_000])
def test_a_description_that_is_none(tmp_path: Path, spec: ModelSpec, text: str) -> None:
    model = onnx.load_from_string(build_onnx(spec))
    onnx.helper.set_model_props(model, {"model_spec": text})
    refused(tmp_path / "m.onnx", model.SerializeToString(), "cannot be used")


def test_a_wrong_self_test_steps_down_warns_once_and_refuses(tmp_path: Path, spec: ModelSpec) -> None:
    wrong = dataclasses.replace(
        spec, self_test_vectors=(*spec.self_test_vectors, SelfTestVector("patches", 9, (9.0, 9.0, 9.0, 9.0)))
    )
    with pytest.warns(UserWarning, match="fewer graph optimizations") as warned:
        refused(tmp_path / "m.onnx", build_onnx(wrong), "gives wrong answers with this CPU")
    assert len(warned) == 1


def test_stepping_down_can_help(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Session.logits

    def optimized_wrong(self: Session, log_mel: np.ndarray) -> np.ndarray:
        return exact(self, log_mel) + (1.0 if self.optimization in ("ALL", "EXTENDED") else 0.0)

    monkeypatch.setattr(Session, "logits", optimized_wrong)
    with pytest.warns(UserWarning, match="fewer graph optimizations"):
        assert Session(model_path).optimization == "BASIC"


def test_int8_without_a_self_test_is_refused_and_float32_is_not(tmp_path: Path, spec: ModelSpec) -> None:
    bare = dataclasses.replace(spec, self_test_vectors=())
    (tmp_path / "f.onnx").write_bytes(build_onnx(bare))
    assert Session(tmp_path / "f.onnx").spec.self_test_vectors == ()
    int8 = dataclasses.replace(bare, quantization={"scheme": "int8", "output_scale": 0.1})
    refused(tmp_path / "m.onnx", build_onnx(int8), "without self-test vectors")


@pytest.mark.parametrize(
    ("more", "allowed"), [({}, 2), ({"keep_float": ["norm"]}, 8), ({"float_statistics": True}, 8)]
)
def test_int8_may_differ_by_two_output_steps_and_by_eight_with_float_arithmetic(
    tmp_path: Path, spec: ModelSpec, more: dict[str, Any], allowed: int
) -> None:
    first = spec.self_test_vectors[0]
    for steps, fits in ((allowed, True), (allowed + 1, False)):
        vector = dataclasses.replace(first, logits=tuple(x + steps * 0.25 for x in first.logits))
        int8 = {"scheme": "int8", "output_scale": 0.25, **more}
        data = build_onnx(dataclasses.replace(spec, self_test_vectors=(vector,), quantization=int8))
        if fits:
            (tmp_path / "m.onnx").write_bytes(data)
            assert Session(tmp_path / "m.onnx").optimization == "ALL"
        else:
            with pytest.warns(UserWarning):
                refused(tmp_path / "m.onnx", data, "gives wrong answers")


def test_a_file_that_changed_after_its_checksum_is_refused(tmp_path: Path, model_path: Path) -> None:
    data = bytearray(model_path.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(data))
    with pytest.raises(ModelFileError):
        read_model(path)


def test_the_checksum_leaves_an_onnx_model(model_path: Path, spec: ModelSpec) -> None:
    model = onnx.load(model_path)
    onnx.checker.check_model(model)
    assert model.SerializeToString() == model_path.read_bytes()
    assert append_checksum(build_onnx(spec)) == model_path.read_bytes()


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 1, 256, 63), "f4"), ((1, 256, 64), "f4"), ((1, 1, 256, 64), "f8")]
)
def test_another_input_is_the_callers_mistake(model_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match=r"float32 \[batch, 1, 256, 64\]"):
        Session(model_path).logits(np.zeros(shape, dtype))


def test_threads_and_providers(model_path: Path) -> None:
    log_mel = np.ones((1, 1, 256, 64), np.float32)
    plain = Session(model_path).logits(log_mel)
    for options in ({"threads": 2}, {"providers": ["CPUExecutionProvider"]},
                    {"providers": [("CPUExecutionProvider", {})]}):  # fmt: skip
        assert np.allclose(Session(model_path, **options).logits(log_mel), plain, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [({"threads": 0}, "threads"), ({"providers": []}, "providers"),
     ({"providers": ["NoSuchExecutionProvider"]}, "NoSuchExecutionProvider")],
)  # fmt: skip
def test_options_that_cannot_be_met(model_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_model(model_path, **options)
