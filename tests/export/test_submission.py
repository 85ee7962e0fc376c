"""The DCASE 2025 package, called as the organisers' scripts call it."""

from __future__ import annotations

import ast
import copy
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchinfo

from complexity import Budget, budget
from complexity.measurement import measure_onnx
from export.cli.main import main
from export.cli.submission import installable
from export.pipeline import export_model
from export.submission import build
from export.submission.counted_network import load_counted
from export.submission.development_split import find_development_split
from export.submission.package_files import DEVICES
from runtime import load_model
from runtime.errors import TinysceneError
from runtime.model.session import Session
from runtime.spec import FrontEndSpec
from tests.conftest import ROOT
from tests.small_students import random_weights
from train.checkpoints.model_pt import Checkpoint, save
from train.data.datasets.tau2022 import SCENES
from train.quantization.quantizer import Scheme
from train.students import CPMobile

NAME = "Doe_Lab_task1"
SUBMISSION = f"{NAME}_1"
DUMMY = f"{NAME}/resources/dummy.wav"


@pytest.fixture(scope="session")
def models(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A general model, and one in float for s1 that mistakes the first class for the last."""
    folder = tmp_path_factory.mktemp("models")
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    last = [name for name in state if state[name].shape[:1] == (3,)]
    for name in last:
        state[name] = state[name].flip(0)
    other = replace(checkpoint, state_dict=state, temperature=1.0, calibration=torch.empty(0))
    paths = {"general": folder / "general.pt", "s1": folder / "s1.pt"}
    save(checkpoint, paths["general"])
    save(other, paths["s1"])
    return paths


@pytest.fixture(scope="session")
def package(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "submission"
    arguments = ["submission", str(models["general"]), f"s1={models['s1']}", "-o", str(folder)]
    assert main([*arguments, "--name", NAME, "--any-labels"]) == 0
    return folder


@pytest.fixture(scope="session")
def api(package: Path):
    """The submission's module, imported from where it lies."""
    sys.path.insert(0, str(package))
    yield __import__(f"{NAME}.{SUBMISSION}", fromlist=["predict"])
    sys.path.remove(str(package))


@pytest.fixture(scope="session")
def evaluation_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips as the challenge has them, and a stereo one, a long one and a silent one besides."""
    root = tmp_path_factory.mktemp("evaluation")
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((44_100, 2))
    clips = {
        "0.wav": (noise[:, 0], 44_100, "a"),
        "1.wav": (np.sin(np.arange(44_100) / 9), 44_100, "s1"),
        "2.wav": (noise, 44_100, "s9"),
        "3.wav": (0.1 * rng.standard_normal(20_000), 8_000, "s1"),
        "4.wav": (np.zeros(44_100), 44_100, "b"),
        "5.wav": (noise[:9_000, 0], 44_100, "unknown"),
    }
    rows = ["filename\tdevice_id"]
    for name, (samples, rate, device) in clips.items():
        soundfile.write(root / "audio" / name, samples, rate)
        rows.append(f"audio/{name}\t{device}")
    (root / "evaluation_setup").mkdir()
    (root / "evaluation_setup" / "fold1_test.csv").write_text("\n".join(rows) + "\n")
    return root


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def clips_of(evaluation_set: Path) -> tuple[list[str], list[str]]:
    rows = read_table(evaluation_set / "evaluation_setup" / "fold1_test.csv")
    return [str(evaluation_set / row["filename"]) for row in rows], [row["device_id"] for row in rows]


def check_predictions(predictions: list[list[float]], package: Path, evaluation_set: Path) -> None:
    """Hold probabilities against the runtime's on the same clips; a silent clip only has to have some."""
    folder = package / NAME / "ckpts" / SUBMISSION
    models = {path.stem: load_model(path) for path in folder.glob("*.onnx")}
    for row, path, device in zip(predictions, *clips_of(evaluation_set), strict=True):
        assert sum(row) == pytest.approx(1)
        expected = models.get(device, models["general"]).classify(*soundfile.read(path))
        if expected.scores:
            assert row == pytest.approx(list(expected.scores.values()), abs=1e-6), path
        else:
            assert Path(path).name == "4.wav"


def test_predictions_are_those_of_the_runtime(api, package: Path, evaluation_set: Path) -> None:
    files, devices = clips_of(evaluation_set)
    logits, classes = api.predict(file_paths=files, device_ids=devices, model_file_path=None, use_cuda=False)
    assert classes == ["low", "middle", "high"]
    probabilities = torch.stack(logits).softmax(1)  # as evaluate_submission.py does
    check_predictions(probabilities.tolist(), package, evaluation_set)
    general, _ = api.predict(file_paths=files, device_ids=["a"] * len(files))
    same = [torch.equal(one, other) for one, other in zip(logits, general, strict=True)]
    assert same == [device != "s1" for device in devices]


def count(api, package: Path) -> dict[str, dict[str, int]]:
    """What test_complexity.py of the organisers counts."""
    model = api.load_model()
    inputs = api.load_inputs([str(package / DUMMY)] * len(DEVICES), list(DEVICES), model)
    counted = {}
    for device, x in zip(DEVICES, inputs, strict=True):
        network = api.get_model_for_device(model, device)
        summary = torchinfo.summary(copy.deepcopy(network).float(), input_size=tuple(x.shape), verbose=0)
        size = sum(p.numel() * {torch.float32: 4, torch.int8: 1}[p.dtype] for p in network.parameters())
        counted[device] = {"MACs": summary.total_mult_adds, "Params": size}
    return counted


def test_organisers_count_what_the_package_reports(api, package: Path) -> None:
    counted = count(api, package)
    report = json.loads((package / "predictions" / SUBMISSION / "complexity.json").read_text())
    assert report["per_device"] == counted
    assert counted["s1"]["Params"] == 4 * counted["s2"]["Params"]  # float, and the general model's INT8
    assert report["max_MACs"] == max(row["MACs"] for row in counted.values()) > 100_000
    assert report["max_Params"] == max(row["Params"] for row in counted.values()) > 1_000


def test_counted_network_has_the_labels_of_the_file(api, windows: Callable) -> None:
    model = api.load_model()
    x, _ = windows(60, 7000)
    for device, agreement in (("a", 1.0), ("s1", 0.9)):
        with torch.no_grad():
            counted = api.get_model_for_device(model, device)(x).argmax(1)
        predicted = model(x, [device] * len(x)).argmax(1)
        assert (counted == predicted).float().mean() >= agreement - 0.05
    assert model.model.state_dict()  # which evaluate_submission.py saves


@pytest.mark.slow
def test_layer_kept_in_float_counts_four_bytes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    layer = next(
        name for name, module in checkpoint.build().named_modules() if isinstance(module, torch.nn.Conv2d)
    )
    path = tmp_path / "mixed.onnx"
    scheme = Scheme(keep_float=(layer,))
    assert export_model(checkpoint, path, method="ptq", scheme=scheme).verification.passed
    counted = build.count_as(checkpoint, Session(path).spec)
    size = sum(parameter.numel() * parameter.element_size() for parameter in counted.parameters())
    assert size == measure_onnx(path, budget=Budget.named("dcase2025")).param_bytes
    assert {parameter.dtype for parameter in counted.parameters()} == {torch.int8, torch.float32}


def test_second_submission_joins_the_first(package: Path, models: dict[str, Path], tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(package, both)
    more = ["submission", str(models["s1"]), "-o", str(both), "--name", NAME, "--index", "2"]
    assert main([*more, "--any-labels"]) == 0
    both_names = SUBMISSION, f"{NAME}_2"
    assert sorted(path.name for path in (both / NAME / "ckpts").iterdir()) == list(both_names)
    assert all((both / NAME / f"{name}.py").is_file() for name in both_names)
    assert all((both / "predictions" / name / "complexity.json").is_file() for name in both_names)
    assert [path.name for path in tmp_path.iterdir()] == ["both"]


def test_an_interruption_leaves_the_package_of_before(
    package: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the old folder has moved out of the way, and before the new one is there."""
    team = tmp_path / "team"
    shutil.copytree(package, team)
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    more = ["submission", str(models["s1"]), "-o", str(team), "--name", NAME, "--index", "2"]
    with pytest.raises(KeyboardInterrupt):
        main([*more, "--any-labels"])
    assert [path.name for path in tmp_path.iterdir()] == ["team"]
    assert sorted(p.name for p in team.rglob("*")) == sorted(p.name for p in package.rglob("*"))


def test_package_stands_alone(package: Path) -> None:
    """No copy imports a package of this project, nor anything that the package does not require."""
    text = (package / "pyproject.toml").read_text()
    required = {
        re.match(r"[\w.-]*\w", name)[0] for name in json.loads(re.search(r"dependencies = (.*)", text)[1])
    }
    imported = set()
    for path in (package / NAME).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    ours = {"runtime", "complexity", "train", "export", "benchmarks", "tests"}
    assert not imported & ours
    assert imported - set(sys.stdlib_module_names) - required == {NAME}
    assert required - imported == {"torchinfo", "pandas", "scikit-learn"}  # the organisers' scripts
    project = (ROOT / "pyproject.toml").read_text()
    for name in ("onnxruntime", "soxr"):
        bounds = [re.search(rf'"{name}([<>=!][^"]+)"', each)[1].split(",") for each in (text, project)]
        assert sorted(bounds[0]) == sorted(bounds[1])


def test_package_names_nothing_of_this_machine(package: Path) -> None:
    for path in filter(Path.is_file, package.rglob("*")):
        if "__pycache__" in path.parts:  # of other tests, which import the package where it lies
            continue
        data = path.read_bytes()
        for secret in (str(ROOT), str(Path.home()), str(package.parent)):
            assert secret.encode() not in data, path


def test_odd_calls_are_one_sentence(api, package: Path, evaluation_set: Path, tmp_path: Path) -> None:
    dummy = str(package / DUMMY)
    assert api.predict([], []) == ([], ["low", "middle", "high"])
    (tmp_path / "empty.wav").touch()
    errors = {
        "devices": lambda: api.predict([dummy], []),
        "missing.wav": lambda: api.predict([str(tmp_path / "missing.wav")], ["a"]),
        "empty.wav": lambda: api.load_inputs([str(tmp_path / "empty.wav")], ["a"], api.load_model()),
        "folder of models": lambda: api.load_model(str(tmp_path)),
    }
    for words, call in errors.items():
        with pytest.raises(Exception, match=words) as caught:
            call()
        assert str(caught.value).count("\n") == 0
        assert type(caught.value).__mro__[-4].__name__ == "TinysceneError"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "submission 1"], "submission label"),
        (["--name", "Doe_Lab_task1_1"], "submission label"),
        (["--index", "5"], "--index 1 to 4"),
        (["s11={model}"], "no device 's11'"),
        (["{model}"], "Two models are given for general"),
        (["s1=nothing.pt"], "no file nothing.pt"),
        (["s1={other}"], "same labels"),
    ],
)
def test_bad_arguments_are_one_sentence_and_no_folder(
    arguments: list[str], words: str, checkpoint: Checkpoint, models: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.pt"
    save(replace(checkpoint, labels=("middle", "low", "high")), other)
    filled = [argument.format(model=models["general"], other=other) for argument in arguments]
    with pytest.raises(TinysceneError, match=words) as caught:
        main(["submission", str(models["general"]), *filled, "-o", str(tmp_path / "out"), "--any-labels"])
    assert str(caught.value).count("\n") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["other.pt"]


def test_folder_of_something_else_is_left_alone(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(TinysceneError, match="name another folder"):
        main(["submission", str(models["general"]), "-o", str(tmp_path), "--name", NAME, "--any-labels"])
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_model_that_loses_too_much_needs_a_tolerance(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "random.pt", tmp_path / "out"
    save(random_weights(checkpoint), model)
    submission = ["submission", str(model), "-o", str(out), "--name", NAME, "--any-labels"]
    assert main([*submission, "--quantize", "ptq", "--tolerance", "0"]) == 1
    assert "--tolerance" in capsys.readouterr().out and not out.exists()
    assert main([*submission, "--quantize", "ptq", "--tolerance", "1"]) == 0
    assert (out / NAME / f"{SUBMISSION}.py").is_file()


def test_model_over_the_limits_is_refused(
    models: dict[str, Path], tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tight = replace(budget.BUDGETS["dcase2025"], max_macs=1_000)
    monkeypatch.setitem(budget.BUDGETS, "dcase2025", tight)
    arguments = ["submission", str(models["s1"]), "-o", str(tmp_path / "out"), "--name", NAME, "--any-labels"]
    assert main(arguments) == 1
    assert "over the limit of 1,000" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert main([*arguments, "--allow-over-budget"]) == 0
    assert (tmp_path / "out" / NAME / f"{SUBMISSION}.py").is_file()


@pytest.fixture(scope="session")
def scenes(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of the ten scenes of TAU, untrained."""
    arguments = {**checkpoint.arguments, "n_classes": len(SCENES)}
    torch.manual_seed(0)
    state = CPMobile(**arguments).state_dict()
    path = tmp_path_factory.mktemp("scenes") / "model.pt"
    save(replace(checkpoint, arguments=arguments, state_dict=state, labels=SCENES, thresholds={}), path)
    return path


@pytest.fixture(scope="session")
def development_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips named as TAU names them, their meta.csv and the list of its test split."""
    root = tmp_path_factory.mktemp("development")
    for folder in ("audio", "evaluation_setup"):
        (root / folder).mkdir()
    rng, meta = np.random.default_rng(0), ["filename\tscene_label\tidentifier\tsource_label"]
    for number, scene in enumerate(SCENES):
        device = DEVICES[number % 6]
        name = f"audio/{scene}-lisbon-1000-40000-{number}-{device}.wav"
        soundfile.write(root / name, 0.1 * rng.standard_normal(44_100), 44_100)
        meta.append(f"{name}\t{scene}\tlisbon-1000\t{device}")
    (root / "meta.csv").write_text("\n".join(meta) + "\n")
    test = ["filename\tscene_label", *(f"{row.split()[0]}\t{row.split()[1]}" for row in meta[3:])]
    (root / "evaluation_setup" / "fold1_evaluate.csv").write_text("\n".join(test) + "\n")
    return root


def build_scenes(scenes: Path, folder: Path, *options: str) -> int:
    return main(
        ["submission", str(scenes), "-o", str(folder), "--name", NAME, "--quantize", "fp16", *options]
    )


def test_labels_that_are_not_the_scenes_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TinysceneError, match=r"'low'.*--any-labels"):
        main(["submission", str(models["general"]), "-o", str(tmp_path / "out"), "--name", NAME])
    assert not list(tmp_path.iterdir())


def test_package_lists_the_test_split(
    scenes: Path, development_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the option, from TAU2022_DIR, or, with a note, the clips that the model carries."""
    official = development_set / "evaluation_setup" / "fold1_evaluate.csv"
    listed = [row["filename"] for row in read_table(official)]
    monkeypatch.delenv("TAU2022_DIR", raising=False)
    assert build_scenes(scenes, tmp_path / "1", "--test-split", str(official)) == 0
    monkeypatch.setenv("TAU2022_DIR", str(development_set))
    assert build_scenes(scenes, tmp_path / "2") == 0
    for folder in ("1", "2"):
        rows = read_table(tmp_path / folder / NAME / "resources" / "test.csv")
        assert [row["filename"] for row in rows] == listed
    with pytest.raises(TinysceneError, match=r"meta\.json"):
        build_scenes(scenes, tmp_path / "3", "--test-split", "meta.json")
    with pytest.raises(TinysceneError, match=r"meta\.csv has the column 'identifier'.* fold1_evaluate\.csv"):
        build_scenes(scenes, tmp_path / "3", "--test-split", str(development_set / "meta.csv"))


def test_a_list_of_clips_that_a_model_was_trained_on_is_no_test_split(tmp_path: Path) -> None:
    listed = tmp_path / "fold1_train.csv"
    listed.write_text("filename\tscene_label\naudio/bus-a.wav\tbus\naudio/tram-a.wav\ttram\n")
    network = torch.nn.Linear(1, 1)
    checkpoint = Checkpoint(
        "linear", {}, FrontEndSpec.preset("cp_mel"), ("bus",), network.state_dict(),
        calibration_ids=("audio/tram-a.wav@32000",),
    )  # fmt: skip
    with pytest.raises(TinysceneError, match=r"audio/tram-a\.wav, which a model was trained on"):
        find_development_split(listed, [checkpoint])
    assert find_development_split(listed, []).official


def test_printed_command_installs_a_folder(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare name would be looked up on a package index."""
    monkeypatch.delenv("TAU2022_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert build_scenes(scenes, Path("sub1")) == 0
    output = capsys.readouterr().out
    assert "`pip install ./sub1`" in output and "--test-split" in output
    assert read_table(Path("sub1") / NAME / "resources" / "test.csv")[0]["filename"] == "window 0"
    assert installable(Path("/a b")) == "'/a b'" and installable(Path("../x")) == "../x"


def test_fp16_package_counts_two_bytes(scenes: Path, tmp_path: Path) -> None:
    assert build_scenes(scenes, tmp_path / "fp16") == 0
    report = json.loads((tmp_path / "fp16" / "predictions" / SUBMISSION / "complexity.json").read_text())
    folder = tmp_path / "fp16" / NAME / "ckpts" / SUBMISSION
    counted = load_counted(folder / "general.pt")
    assert {parameter.dtype for parameter in counted.parameters()} == {torch.float16}
    size = sum(parameter.numel() * 2 for parameter in counted.parameters())
    assert report["max_Params"] == size == measure_onnx(folder / "general.onnx").param_bytes
    x = torch.randn(8, 1, 32, 32)
    logits = load_model(folder / "general.onnx").session.logits(x.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(counted(x).numpy(), logits, atol=1e-2)


def evaluate(
    python: Path | str, development_set: Path, evaluation_set: Path, cwd: Path, **environment: str
) -> dict[str, Any]:
    """Run the organisers' evaluation; returns its accuracy file."""
    script = Path(__file__).with_name("organisers_evaluation.py")
    done = subprocess.run(
        [python, script, NAME, "1", development_set, evaluation_set], cwd=cwd, capture_output=True,
        env=environment, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((cwd / "predictions" / SUBMISSION / "test_accuracy.json").read_text())


def test_organisers_evaluation_runs_on_the_package(
    scenes: Path, development_set: Path, evaluation_set: Path, tmp_path: Path
) -> None:
    """In the packages of this environment; the package's own folder is all that is on the path."""
    folder, cwd = tmp_path / "sub1", tmp_path / "elsewhere"
    cwd.mkdir()
    official = development_set / "evaluation_setup" / "fold1_evaluate.csv"
    assert build_scenes(scenes, folder, "--test-split", str(official)) == 0
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    info = evaluate(sys.executable, development_set, evaluation_set, cwd, **environment)
    assert info["clips"] == 8 and 0 <= info["accuracy"] <= 100 and info["input_shape"] == [1, 1, 32, 32]
    report = json.loads((folder / "predictions" / SUBMISSION / "complexity.json").read_text())
    assert info["param_bytes"] == report["per_device"]["a"]["Params"]
    rows = read_table(cwd / "predictions" / SUBMISSION / "output.csv")
    assert [row["filename"] for row in rows] == [f"audio/{index}.wav" for index in range(6)]
    assert set(rows[0]) == {"filename", "scene_label", *SCENES}


@pytest.mark.slow
def test_installed_package_passes_the_organisers_evaluation(
    scenes: Path, development_set: Path, evaluation_set: Path, tmp_path: Path
) -> None:
    """An environment of its own, with what pip brings and nothing of this checkout."""
    official = development_set / "evaluation_setup" / "fold1_evaluate.csv"
    package = tmp_path / "sub1"
    assert build_scenes(scenes, package, "--test-split", str(official)) == 0
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = tmp_path / "venv" / "bin" / "python"

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=1500, check=False,
        )  # fmt: skip

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    installed = run("-m", "pip", "install", "--quiet", "./sub1")
    if "connection" in installed.stderr.lower() and installed.returncode:
        pytest.skip("pip reaches no package index")
    assert installed.returncode == 0, installed.stderr
    assert run("-c", "import runtime").returncode, "the environment sees this checkout"
    done = run("-m", f"{NAME}.{SUBMISSION}", evaluation_set)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "predictions" / SUBMISSION / "output.csv")
    assert list(rows[0]) == ["filename", "scene_label", *SCENES]
    assert [row["filename"] for row in rows] == [f"audio/{index}.wav" for index in range(6)]
    probabilities = [[float(row[label]) for label in SCENES] for row in rows]
    check_predictions(probabilities, package, evaluation_set)
    assert [row["scene_label"] for row in rows] == [SCENES[int(np.argmax(row))] for row in probabilities]
    assert evaluate(python, development_set, evaluation_set, tmp_path, **environment)["clips"] == 8
    again = read_table(tmp_path / "predictions" / SUBMISSION / "output.csv")
    assert [row["scene_label"] for row in again] == [row["scene_label"] for row in rows]
    bad = run("-m", f"{NAME}.{SUBMISSION}", tmp_path / "nowhere")
    assert bad.returncode == 2
    assert bad.stderr.startswith("error: There is no ") and bad.stderr.count("\n") == 1
