"""The command line: exit codes, JSON, and one sentence for every unusable input."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from complexity.cli import main
from runtime.errors import ConfigError, MissingExtraError, ModelFileError, TinysceneError
from runtime.spec import FrontEndSpec
from tests.complexity.onnx_builder import conv_net, residual_block

torch = pytest.importorskip("torch")

from train.checkpoints import model_pt  # noqa: E402
from train.students import CPMobile  # noqa: E402


def make_checkpoint(**arguments):
    arguments = {"n_classes": 10, **arguments}
    return model_pt.Checkpoint(
        student="cp_mobile",
        arguments=arguments,
        frontend=FrontEndSpec.preset("cp_mel"),
        labels=tuple(f"class {index}" for index in range(10)),
        state_dict=CPMobile(**arguments).state_dict(),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model.pt of the full size, one of 136 K parameters, a small one; Lightning files; damaged ones."""
    folder = tmp_path_factory.mktemp("models")
    full = make_checkpoint()
    model_pt.save(full, folder / "model.pt")
    model_pt.save(make_checkpoint(expansion_rate=3.2), folder / "over.pt")
    model_pt.save(make_checkpoint(base_channels=8, channels_multiplier=1.5), folder / "small.pt")
    lightning = {"pytorch-lightning_version": "2.6", "tinyscene": model_pt.to_values(full)}
    torch.save(lightning, folder / "ours.ckpt")
    torch.save({"pytorch-lightning_version": "2.6"}, folder / "foreign.ckpt")
    (folder / "truncated.pt").write_bytes((folder / "model.pt").read_bytes()[:10_000])
    whole = residual_block(folder / "block.onnx", "qdq").read_bytes()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "image.onnx").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "image.tflite").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    conv_net(["batch", 1, "mels", "frames"], folder / "open.onnx")
    return folder


@pytest.fixture
def run(folder, capsys, monkeypatch):
    """Run the command in the folder of the models; returns exit code and printed text."""
    monkeypatch.chdir(folder)

    def run(*arguments):
        code = main(list(arguments))
        return code, capsys.readouterr().out

    return run


def test_check_prints_the_verdict(run):
    code, printed = run("check", "model.pt")
    assert code == 0
    assert "126,952" in printed
    assert "28,893,268" in printed
    assert "Within dcase2024" in printed


def test_over_the_limits_exits_1_and_says_by_how_much(run):
    code, printed = run("check", "over.pt")
    assert code == 1
    assert "136,296 parameter bytes are 8,296 (6.5%) over the limit of 128,000" in printed
    assert "30,958,932 MACs are 958,932 (3.2%) over the limit of 30,000,000" in printed


def test_json_is_one_object_a_line_and_every_model_is_checked_by_itself(run):
    code, printed = run("check", "model.pt", "over.pt", "--rules", "dcase2025", "--json")
    first, second = map(json.loads, printed.splitlines())
    assert code == 1
    assert (first["model"], first["within"]) == ("model.pt", True)
    assert (second["model"], second["within"]) == ("over.pt", False)
    assert first["rules"]["name"] == "dcase2025"


def test_own_limits_exclude_the_rules(run):
    assert run("check", "model.pt", "--max-macs", "28893267", "--json")[0] == 1
    assert run("check", "model.pt", "--max-macs", "28893268", "--max-params", "126952", "--json")[0] == 0
    with pytest.raises(ConfigError, match=r"--rules.*--max-"):
        run("check", "model.pt", "--max-macs", "1", "--rules", "dcase2022")


def test_a_lightning_checkpoint_is_measured_as_its_model(run):
    ours, model = (json.loads(run("check", name, "--json")[1]) for name in ("ours.ckpt", "model.pt"))
    assert {**ours, "model": "", "file_bytes": 0} == {**model, "model": "", "file_bytes": 0}


def test_compare_shows_models_side_by_side(run):
    code, printed = run("compare", "model.pt", "block.onnx")
    assert code == 0
    assert "model.pt" in printed
    assert "block.onnx" in printed
    assert "28,893,268" in run("compare", "model.pt", "block.onnx", "--markdown")[1]


def test_input_shape_fills_an_open_graph(run):
    code, printed = run("check", "open.onnx", "--input-shape", "3,1,16,16", "--json")
    assert code == 0
    assert json.loads(printed)["macs_deployed"] == 4 * 9 * 14 * 14
    with pytest.raises(ConfigError, match=r"--input-shape.*model\.pt"):
        run("check", "model.pt", "--input-shape", "1,1,256,64")


def test_suggestions_fit_and_are_the_widest_that_do(run, folder):
    code, printed = run("check", "over.pt", "--suggest", "--json")
    assert code == 1
    suggestions = {s["argument"]: s for s in json.loads(printed)["suggestions"]}
    assert set(suggestions) == {"base_channels", "channels_multiplier", "expansion_rate"}
    limit = 128_000
    for name, suggestion in suggestions.items():
        step = 8 if name == "base_channels" else 0.1
        arguments = {"n_classes": 10, "expansion_rate": 3.2}
        sizes = [
            sum(p.numel() for p in CPMobile(**{**arguments, name: value}).parameters())
            for value in (suggestion["value"], suggestion["value"] + step)
        ]
        assert sizes[0] == suggestion["params"] <= limit
        assert sizes[1] > limit or suggestion["macs"] > 28_000_000


def test_a_model_far_under_the_limits_could_be_wider(run):
    code, printed = run("check", "small.pt", "--suggest")
    assert code == 0
    assert "Suggestion: base_channels=32 fits: " in printed  # four times as wide is as far as it looks
    report = json.loads(run("check", "small.pt", "--json")[1])
    assert all(left > 0.5 * report["rules"]["limits"][name] for name, left in report["headroom"].items())


def test_nothing_is_suggested_near_the_limits_or_for_a_graph(run):
    assert json.loads(run("check", "model.pt", "--suggest", "--json")[1])["suggestions"] == []
    with pytest.raises(ConfigError, match=r"--suggest.*block\.onnx"):
        run("check", "block.onnx", "--suggest")


def test_plot_is_written(run, folder):
    run("check", "block.onnx", "--plot", "where.svg")
    assert "<svg" in (folder / "where.svg").read_text()
    with pytest.raises(ConfigError, match="--plot"):
        run("check", "block.onnx", "block.onnx", "--plot", "where.svg")


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("missing.pt", "train fit"),
        ("truncated.pt", "truncated.pt"),
        ("foreign.ckpt", "model.pt"),
        ("missing.onnx", "export onnx"),
        ("missing.pt2", "missing.pt2"),
        ("truncated.onnx", "truncated.onnx"),
        ("image.onnx", "PNG"),
        ("image.tflite", "PNG"),
        ("open.onnx", "--input-shape 1,1,256,64"),
    ],
)
def test_unusable_input_is_named_in_one_sentence(run, name, fact):
    if name.endswith(".tflite"):
        pytest.importorskip("tflite")
    with pytest.raises(ModelFileError, match=fact) as caught:
        run("check", name)
    assert isinstance(caught.value, TinysceneError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["state.pt", "lightning.ckpt", "pickled.pt", "state.pth"])
def test_weights_of_a_foreign_network_are_sent_to_onnx(tmp_path, name):
    network = torch.nn.Linear(3, 4)
    values = {
        "state.pt": network.state_dict(),
        "lightning.ckpt": {"pytorch-lightning_version": "2.6", "state_dict": network.state_dict()},
        "pickled.pt": network,
        "state.pth": network.state_dict(),
    }
    torch.save(values[name], tmp_path / name)
    with pytest.raises(TinysceneError, match=r"torch\.onnx\.export") as caught:
        main(["check", str(tmp_path / name)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["run", "run.pt", "run.onnx", "run.tflite"])
def test_a_folder_is_named_as_one(tmp_path, name):
    (tmp_path / name).mkdir()
    if name.endswith(".tflite"):
        pytest.importorskip("tflite")
    with pytest.raises(ModelFileError, match=rf"{name} is a folder: give"):
        main(["check", str(tmp_path / name)])


def test_a_folder_with_a_model_names_it(folder):
    with pytest.raises(ModelFileError, match=r"is a folder.*such as .*block\.onnx"):
        main(["check", str(folder)])


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """TorchScript and torch.export programs, under the suffixes that people give them."""
    folder = tmp_path_factory.mktemp("programs")
    network = torch.nn.Linear(4, 3)
    torch.jit.script(network).save(folder / "script.pt")
    torch.export.save(torch.export.export(network, (torch.zeros(1, 4),)), folder / "program.pt2")
    for name in ("script.onnx", "script.ckpt", "script.pth"):
        shutil.copy(folder / "script.pt", folder / name)
    for name in ("program.pt", "program.onnx"):
        shutil.copy(folder / "program.pt2", folder / name)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("script.pt", "TorchScript"),
        ("script.onnx", "TorchScript"),
        ("script.ckpt", "TorchScript"),
        ("script.pth", "TorchScript"),
        ("program.pt2", r"torch\.export"),
        ("program.pt", r"torch\.export"),
        ("program.onnx", r"torch\.export"),
    ],
)
def test_a_program_of_torch_is_named_with_the_remedy(programs, name, kind):
    with pytest.raises(TinysceneError, match=rf"{kind}.*ONNX"):
        main(["check", str(programs / name)])


@pytest.mark.parametrize("arguments", [["image.onnx"], ["block.onnx", "--input-shape", "1,x"], []])
def test_unusable_input_is_exit_code_2_without_a_traceback(run_room, folder, arguments):
    process = run_room("complexity", "check", *arguments, cwd=folder)
    assert process.returncode == 2
    assert process.stdout == ""
    assert "error: " in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("torch", "model.pt", "train"),
        ("onnx", "block.onnx", "complexity"),
        ("tflite", "image.tflite", "tflite"),
    ],
)
def test_a_missing_package_names_the_extra_that_brings_it(run, monkeypatch, package, name, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"tinyscene\[{extra}\]"):
        run("check", name)
