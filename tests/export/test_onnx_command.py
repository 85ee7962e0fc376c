"""``python -m export onnx``: the file that it writes, and what it refuses."""

from __future__ import annotations

import getpass
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.cli.main import main
from export.pipeline import export_model
from runtime import load_model
from runtime.errors import TinysceneError
from runtime.model.session import Session
from train.checkpoints.model_pt import Checkpoint, save
from train.students import CPMobile

Windows = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]


def test_bare_command_finds_the_model_beside_it(int8_onnx: Path) -> None:
    model = load_model(int8_onnx)
    assert model.labels == ("low", "middle", "high")
    assert model.spec.quantization["scheme"] == "int8"
    assert model.spec.temperature == 1.5 and model.spec.thresholds == {"low": 0.7}
    assert model.spec.provenance["recipe"] == "a test"
    assert model.spec.complexity["params"] > 0


def test_int8_file_classifies(int8_onnx: Path, windows: Windows) -> None:
    x, targets = windows(30, 2000)
    logits = Session(int8_onnx).logits(x.numpy())
    assert (logits.argmax(1) == targets.numpy()).mean() >= 0.9


def test_float_file_equals_torch(checkpoint: Checkpoint, float_onnx: Path, windows: Windows) -> None:
    x, _ = windows(5, 3000)
    with torch.no_grad():
        expected = checkpoint.build()(x).numpy()
    np.testing.assert_allclose(Session(float_onnx).logits(x.numpy()), expected, atol=1e-4)
    assert Session(float_onnx).spec.quantization == {"scheme": "float32"}


def test_any_batch_gives_the_same_logits(int8_onnx: Path, windows: Windows) -> None:
    x = windows(7, 4000)[0].numpy()
    session = Session(int8_onnx)
    alone = np.concatenate([session.logits(row[None]) for row in x])
    np.testing.assert_array_equal(session.logits(x), alone)


def test_file_names_nothing_of_this_machine(int8_onnx: Path) -> None:
    data = int8_onnx.read_bytes()
    for secret in (str(Path.cwd()), str(Path.home()), "site-packages", ".py", getpass.getuser() + "/"):
        assert secret.encode() not in data, secret


def test_file_is_one_and_old_enough(int8_onnx: Path) -> None:
    model = onnx.load(int8_onnx, load_external_data=False)
    assert model.ir_version <= 10
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 21)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [path.name for path in int8_onnx.parent.iterdir() if ".onnx" in path.name] == ["model.onnx"]


def test_full_size_student_stays_below_180_kb(tmp_path: Path, checkpoint: Checkpoint) -> None:
    torch.manual_seed(0)
    network = CPMobile(3)
    with torch.no_grad():  # so that the logits of an untrained network differ from each other
        network.train()(torch.randn(4, *checkpoint.input_shape[1:]))
    full = replace(checkpoint, arguments={"n_classes": 3}, state_dict=network.state_dict())
    assert export_model(full, tmp_path / "full.onnx", method="ptq", tolerance=1.0).file_bytes <= 180_000


def test_full_weight_range_is_recorded_and_never_holds_minus_128(model_pt: Path, tmp_path: Path) -> None:
    output = tmp_path / "full.onnx"
    assert main(["onnx", str(model_pt), "-o", str(output), "--weight-range", "full"]) == 0
    assert Session(output).spec.quantization["weight_range"] == [-127, 127]
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(output).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert min(weight.min() for weight in weights) == -127


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("boom",)


def _write_bomb(path: Path, checkpoint: Checkpoint) -> None:
    torch.save({"magic": _Bomb()}, path)


def _write_old_pickle(path: Path, checkpoint: Checkpoint) -> None:
    path.write_bytes(pickle.dumps(_Bomb()))


def _write_truncated(path: Path, checkpoint: Checkpoint) -> None:
    save(checkpoint, path)
    path.write_bytes(path.read_bytes()[:1000])


def _write_without_calibration(path: Path, checkpoint: Checkpoint) -> None:
    save(replace(checkpoint, calibration=torch.empty(0)), path)


def _write_nothing(path: Path, checkpoint: Checkpoint) -> None:
    pass


def _write_broken_weights(path: Path, checkpoint: Checkpoint) -> None:
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["in_c.0.0.weight"][:] = float("nan")
    save(replace(checkpoint, state_dict=state), path)


@pytest.mark.parametrize(
    "write",
    [
        _write_bomb,
        _write_old_pickle,
        _write_truncated,
        _write_without_calibration,
        _write_nothing,
        _write_broken_weights,
    ],
)
def test_bad_model_is_one_sentence_and_no_file(write, checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    write(path, checkpoint)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TinysceneError) as caught:
        main(["onnx", str(path), "--quantize", "ptq"])
    assert str(caught.value).count("\n") == 0
    assert sorted(tmp_path.iterdir()) == before


def test_command_line_prints_one_sentence_and_exits_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", "onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no file model.pt")
    assert done.stderr.count("\n") == 1


def test_the_model_is_not_replaced_by_its_export(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path, link = tmp_path / "model.pt", tmp_path / "link.onnx"
    save(checkpoint, path)
    link.symlink_to(path)
    before = path.read_bytes()
    for output in (path, link):
        with pytest.raises(TinysceneError, match="would replace"):
            main(["onnx", str(path), "--quantize", "none", "-o", str(output)])
    assert path.read_bytes() == before and link.is_symlink()
