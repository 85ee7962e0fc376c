"""Correctness is a gate, quality is judged by a tolerance: what `export onnx` and `verify` print and do."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

from export import audio_windows
from export.cli.main import main
from export.pipeline import export_model
from export.verification import verify
from runtime import load_model
from runtime.errors import TinysceneError
from runtime.model.session import Session
from tests.small_students import random_weights
from train.checkpoints.model_pt import Checkpoint, save
from train.students import CPMobile


def test_file_records_what_was_measured(float_onnx: Path, checkpoint: Checkpoint) -> None:
    quality = Session(float_onnx).spec.provenance["quality"]
    assert quality["windows"] == len(checkpoint.calibration) / 2 and quality["tolerance"] == 0.01
    assert quality["agreement"]["value"] == 1 and quality["loss"] == 0
    low, high = quality["accuracy"]["interval"]
    assert low <= quality["accuracy"]["value"] <= high
    assert "calibration" in quality["source"]  # the model.pt has no others, and the file says so


def test_verify_prints_the_same_and_fails_another_model(
    float_onnx: Path,
    model_pt: Path,
    checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", str(float_onnx)]) == 0
    assert "not measured" in capsys.readouterr().out
    assert main(["verify", str(float_onnx), "--against", str(model_pt)]) == 0
    output = capsys.readouterr().out
    assert "24 windows" in output and "95 % interval" in output
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["feed_forward.0.weight"] = state["feed_forward.0.weight"].flip(0)
    other = tmp_path / "other.pt"
    save(replace(checkpoint, state_dict=state), other)
    assert main(["verify", str(float_onnx), "--against", str(other), "--tolerance", "1"]) == 1
    output = capsys.readouterr().out
    assert "FAIL  origin" in output and "FAIL  as written against torch" in output


def test_wrong_graph_is_incorrect_at_any_tolerance(
    int8_onnx: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """A scale that the scheme does not allow; its self-test vectors are made anew, so the file loads."""
    from export.metadata import attach_metadata
    from export.self_test_vectors import choose_self_test_vectors

    model, spec = onnx.load(int8_onnx), Session(int8_onnx).spec
    del model.metadata_props[:]
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    producer = next(node for node in model.graph.node if node.output[0] == convolution.input[2])
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == producer.input[1])
    scale.CopyFrom(onnx.numpy_helper.from_array(1.5 * onnx.numpy_helper.to_array(scale), scale.name))
    vectors = choose_self_test_vectors(model.SerializeToString(), spec.input_shape)
    path = tmp_path / "wrong.onnx"
    path.write_bytes(attach_metadata(model, replace(spec, self_test_vectors=vectors)))
    verification = verify(path, checkpoint, tolerance=1)
    assert not verification.correct and not verification.passed
    assert "product of the scales" in verification.summary()


@pytest.mark.parametrize("tolerance", ["-0.1", "1.5", "much"])
def test_tolerance_is_a_share(tolerance: str, model_pt: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["onnx", str(model_pt), "--tolerance", tolerance])
    assert caught.value.code == 2


def write_audio(root: Path, labels: tuple[str, ...], clips: int) -> Path:
    """Class folders of noise."""
    rng = np.random.default_rng(len(labels))
    for label in labels:
        (root / label).mkdir(parents=True)
        for index in range(clips):
            soundfile.write(root / label / f"{index}.wav", 0.1 * rng.standard_normal(16_000), 8_000)
    return root


def test_quality_is_measured_on_audio(
    float_onnx: Path, model_pt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Class folders give accuracy; other folders, and a table, the windows that they hold."""
    against = ["verify", str(float_onnx), "--against", str(model_pt), "--verification"]
    labelled = write_audio(tmp_path / "labelled", ("low", "middle", "high"), 2)
    assert main([*against, str(labelled)]) == 0
    output = capsys.readouterr().out
    assert "12 windows (folder labelled)" in output and "accuracy of this file" in output
    assert main([*against, str(write_audio(tmp_path / "any", ("street", "forest"), 1))]) == 0
    output = capsys.readouterr().out
    assert "4 windows (folder any)" in output and "accuracy" not in output
    rows = ["path,label,split", "low/0.wav,low,train", "low/1.wav,low,val", "high/1.wav,high,test"]
    (labelled / "list.csv").write_text("\n".join(rows) + "\n")
    assert main([*against, str(labelled / "list.csv")]) == 0
    assert "4 windows (table list.csv)" in capsys.readouterr().out


def test_audio_that_does_not_fit_is_named(model_pt: Path, tmp_path: Path) -> None:
    audio = write_audio(tmp_path / "audio", ("low", "strange"), 1)
    export = ["onnx", str(model_pt), "-o", str(tmp_path / "x.onnx")]
    for options, words in (
        (["--verification", str(audio)], "strange"),
        (["--verification", str(tmp_path / "nothing")], "nothing"),
        (["--quantize", "none", "--calibration", str(audio / "low")], "--quantize ptq"),
        (
            ["--quantize", "ptq", "--calibration", str(audio / "low"), "--verification", str(audio / "low")],
            "wav",
        ),
    ):
        with pytest.raises(TinysceneError, match=words) as caught:
            main([*export, *options])
        assert str(caught.value).count("\n") == 0
    silent = tmp_path / "silent"
    silent.mkdir()
    soundfile.write(silent / "0.wav", np.zeros(16_000), 8_000)
    with pytest.raises(TinysceneError, match="silent"):
        main([*export, "--verification", str(silent)])
    assert not (tmp_path / "x.onnx").exists()


def test_fp16_stores_half_and_computes_as_torch(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path, reference = tmp_path / "half.onnx", tmp_path / "float.onnx"
    exported = export_model(checkpoint, path, method="fp16")
    assert exported.verification.passed, exported.verification
    export_model(checkpoint, reference, method="none")
    session = Session(path)
    assert session.spec.quantization == {"scheme": "fp16"} and len(session.spec.self_test_vectors) == 3
    assert session.optimization == "ALL"
    with torch.no_grad():
        expected = checkpoint.build()(checkpoint.calibration.float()).numpy()
    logits = session.logits(checkpoint.calibration.float().numpy())
    np.testing.assert_allclose(logits, expected, atol=0.05)
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.98
    assert path.stat().st_size < 0.75 * reference.stat().st_size
    weights = [onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer if len(t.dims) == 4]
    assert {weight.dtype for weight in weights} == {np.dtype(np.float16)}


def test_baseline_in_fp16_is_within_the_rules_of_2024(tmp_path: Path) -> None:
    """61,148 parameters of two bytes: 122,296 of 128,000 bytes."""
    from complexity.measurement import measure_onnx
    from runtime.spec import FrontEndSpec
    from train.students import STUDENTS

    arguments = {"n_classes": 10}
    torch.manual_seed(0)
    baseline = Checkpoint(
        student="baseline_2024",
        arguments=arguments,
        frontend=FrontEndSpec.preset("baseline_mel"),
        labels=tuple(f"scene {index}" for index in range(10)),
        state_dict=STUDENTS["baseline_2024"](**arguments).state_dict(),
    )
    assert export_model(baseline, tmp_path / "baseline.onnx", method="fp16").verification.passed
    report = measure_onnx(tmp_path / "baseline.onnx")
    assert (report.params, report.param_bytes, report.macs) == (61_148, 122_296, 29_419_156)
    assert report.within
    stated = load_model(tmp_path / "baseline.onnx").spec.complexity
    assert stated["param_bytes"] == 122_296


def test_weights_beyond_float16_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["feed_forward.0.weight"][0, 0] = 1e8
    with pytest.raises(TinysceneError, match="65504"):
        export_model(replace(checkpoint, state_dict=state), tmp_path / "x.onnx", method="fp16")
    assert not list(tmp_path.iterdir())


def test_random_weights_export_at_the_printed_tolerance(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the tolerance that accepts the file, and it does; the file records the loss."""
    path, output = tmp_path / "random.pt", tmp_path / "random.onnx"
    save(random_weights(checkpoint), path)
    export = ["onnx", str(path), "-o", str(output), "--quantize", "ptq"]
    assert main([*export, "--tolerance", "0"]) == 1
    printed = capsys.readouterr().out
    assert "accuracy lost" in printed and "95 % interval" in printed and not output.exists()
    (least,) = re.findall(r"--tolerance ([0-9.]+)", printed)
    assert float(least) > 0
    assert main([*export, "--tolerance", least]) == 0
    quality = load_model(output).spec.provenance["quality"]
    assert quality["tolerance"] == float(least) >= quality["loss"] > float(least) - 2e-4


def test_one_step_of_training_exports_at_any_loss(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calibrated and measured on audio, as a model.pt without windows needs it."""
    torch.manual_seed(0)
    network = CPMobile(**checkpoint.arguments)
    loss = torch.nn.functional.cross_entropy(
        network(checkpoint.calibration.float()), checkpoint.calibration_targets
    )
    loss.backward()
    torch.optim.Adam(network.parameters(), 1e-3).step()
    bare = replace(
        checkpoint, state_dict=network.state_dict(), calibration=torch.empty(0), calibration_ids=(),
        calibration_targets=torch.empty(0, dtype=torch.int64),
    )  # fmt: skip
    save(bare, tmp_path / "model.pt")
    audio = [str(write_audio(tmp_path / name, checkpoint.labels, 2)) for name in ("a", "b")]
    options = ["--calibration", audio[0], "--verification", audio[1], "--tolerance", "1"]
    assert main(["onnx", str(tmp_path / "model.pt"), *options]) == 0
    assert "8 windows (folder b, apart from those that chose" in capsys.readouterr().out  # 4 of 6 clips
    spec = load_model(tmp_path / "model.onnx").spec
    assert spec.quantization["method"] == "ptq" and spec.quantization["windows"] == 12
    clips = [f"{label}/{clip}.wav" for label in ("high", "low", "middle") for clip in (0, 1)]
    ids = [f"{clip}@{start}" for clip in clips for start in (0, 8000)]
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    assert spec.provenance["calibration"] == {"windows": 12, "ids_sha256": digest}
    assert spec.provenance["quality"]["source"].startswith("folder b, apart")
    against = ["--against", str(tmp_path / "model.pt"), "--verification"]
    for folder, count in ((audio[1], "8 windows (folder b, apart"), (audio[0], "12 windows (folder a)")):
        assert main(["verify", str(tmp_path / "model.onnx"), *against, folder]) == 0
        assert count in capsys.readouterr().out
    assert (
        "quantization noise" not in capsys.readouterr().out
    )  # the model.pt lacks the windows that equalized its channels


def test_windows_are_spread_over_all_clips(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class by class, so that the last classes are there too; a clip that gives no window is not decoded."""
    root = write_audio(tmp_path / "audio", checkpoint.labels, 4)  # of two windows each
    found = audio_windows.find_clips(root, checkpoint, training=True)
    decoded: list[str] = []
    read = found.corpus.read
    monkeypatch.setattr(
        found.corpus, "read", lambda clip, rate: (decoded.append(clip.id), read(clip, rate))[1]
    )

    def clips(limit: int) -> list[str]:
        monkeypatch.setattr(audio_windows, "CALIBRATION_WINDOWS", limit)
        decoded.clear()
        ids = audio_windows.with_calibration(checkpoint, found).calibration_ids
        assert list(dict.fromkeys(name.partition("@")[0] for name in ids)) == decoded
        return [Path(name).parts[0] for name in ids]

    assert Counter(clips(15)) == dict.fromkeys(checkpoint.labels, 5)
    assert Counter(clips(3)) == dict.fromkeys(checkpoint.labels, 1)
    assert len(clips(24)) == len(clips(100)) == 24  # all that there are
    soundfile.write(root / "low" / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(160_000), 8_000)
    found = replace(found, clips=found.corpus.all_clips(), targets=None)
    assert Counter(clips(30)) == {"high": 8, "low": 8 + 6, "middle": 8}  # shorter ones give what they have
