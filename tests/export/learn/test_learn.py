"""``learn`` from a folder of sounds to a verified file."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from export.cli.main import main
from export.learn.learn import learn
from export.learn.options import Options
from export.learn.preparation import prepare
from export.learn.trainings import fit
from runtime import load_model
from runtime.errors import ConfigError, DataError, TinysceneError
from runtime.spec import FrontEndSpec
from tests.export.learn.sounds import write_sounds, write_tone
from train.checkpoints import model_pt
from train.cli.main import main as train_main

SHORT = ("--budget", "tiny", "--steps", "40", "--set", "trainer.accelerator=cpu")


@pytest.fixture(autouse=True)
def _no_microphones(monkeypatch):
    monkeypatch.delenv("MIC_IR_DIR", raising=False)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[list[str]], tuple[int, str, str]]]:
    """Run `main` and return its code, stdout and stderr."""

    def run_main(arguments: list[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        return code, out.getvalue(), err.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MIC_IR_DIR", raising=False)
        yield run_main


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Two classes of eight files, and sounds of no class."""
    root = write_sounds(tmp_path_factory.mktemp("learn") / "sounds", 8)
    write_sounds(root, 5, ("none",))
    (root / "none").rename(root / "not_a_class")
    return root


@pytest.fixture(scope="module")
def learned(sounds, run) -> tuple[Path, str, str]:
    """The file, what was printed on stdout, and on stderr."""
    output = sounds.parent / "my.onnx"
    code, out, err = run(
        ["learn", str(sounds), "-o", str(output), *SHORT, "--report", str(sounds.parent / "report")]
    )
    assert code == 0, err
    return output, out, err


def test_the_file_classifies_with_the_labels_of_the_folders(learned):
    model = load_model(learned[0])
    assert model.labels == ("bell", "dog")
    assert model.spec.quantization["scheme"] == "int8"
    assert "/" not in json.dumps(model.spec.provenance["data"])  # no path of this machine


def test_every_choice_is_printed_with_its_option(learned):
    err = learned[2]
    for option in (
        "--group",
        "--test",
        "--frontend",
        "--budget",
        "--negatives",
        "--steps",
        "--seed",
        "--set",
    ):
        assert option in err
    assert "MIC_IR_DIR" in err and "few" in err and "--teacher" in err  # six recordings train


def test_the_front_end_is_chosen_by_the_rate_of_the_files(learned):
    assert "front end     cp_mel_16k; nine files of ten have 16,000 Hz or more" in learned[2]
    assert load_model(learned[0]).spec.frontend == FrontEndSpec.preset("cp_mel_16k")
    assert "8 kHz device" in learned[1] and "16 kHz device" not in learned[1]


def test_a_front_end_above_the_rate_of_the_files_is_remarked_on(sounds, run, tmp_path):
    command = ["learn", str(sounds), "-o", str(tmp_path / "x.onnx"), "--frontend", "cp_mel", "--print-recipe"]
    code, out, err = run(command)
    assert code == 0 and "frontend: cp_mel\n" in out
    assert "leave its upper bands empty, and microphones do not; cp_mel_16k fits" in err


def test_the_page_says_how_good_it_is_and_what_to_do(learned):
    out = learned[1]
    for fact in (
        "of 4)",
        "bell",
        "dog",
        "level -20 dB",
        "clips that give one of their class",
        "parameters",
        "record more of",
        "tinyscene listen --model",
    ):
        assert fact in out
    for number in ("2 recordings, 6 to train on",):
        assert number in out


def test_the_report_is_markdown_with_pictures(learned):
    folder = learned[0].parent / "report"
    text = (folder / "report.md").read_text()
    assert text.startswith("# ") and "![conditions.png](conditions.png)" in text
    assert all((folder / name).stat().st_size > 1_000 for name in ("confusion.png", "conditions.png"))


def test_the_same_command_again_prints_the_page_and_trains_nothing(learned, sounds, run, monkeypatch):
    monkeypatch.setattr("export.learn.learn.fit", None)
    code, out, _ = run(["learn", str(sounds), "-o", str(learned[0]), *SHORT])
    assert (code, out.strip()) == (0, learned[1].strip())


def test_a_stricter_tolerance_is_verified_again(learned, sounds, run, monkeypatch):
    """The same command with a looser one prints the page."""
    command = ["learn", str(sounds), "-o", str(learned[0]), *SHORT, "--tolerance"]
    allowed = []

    def export(*_, tolerance, **__):
        allowed.append(tolerance)
        raise TinysceneError("as where it loses more")

    monkeypatch.setattr("export.learn.learn.export_model", export)
    with pytest.raises(TinysceneError, match="loses more"):
        run([*command, "0.001"])
    assert allowed == [0.001]
    code, out, _ = run([*command, "0.5"])
    assert (code, out.strip()) == (0, learned[1].strip())


def test_the_folder_of_a_run_is_that_of_one_output(learned, sounds, run, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_text("of another project")
    folder = learned[0].with_name("my_run")
    with pytest.raises(ConfigError, match=r"other\.onnx exists and was made .* --from"):
        run(["learn", str(sounds), "-o", str(other), "--run", str(folder), *SHORT])
    assert other.read_text() == "of another project"


def test_a_file_that_is_not_as_written_is_not_called_verified(learned, sounds, run):
    written = learned[0].read_bytes()
    try:
        learned[0].write_bytes(b"garbage")
        with pytest.raises(ConfigError, match=r"is not the file that `learn` wrote there: move it away"):
            run(["learn", str(sounds), "-o", str(learned[0]), *SHORT])
        assert learned[0].read_bytes() == b"garbage"
    finally:
        learned[0].write_bytes(written)


def test_other_choices_do_not_replace_the_file(learned, sounds):
    options = Options(sounds, learned[0], budget="tiny", steps=41)
    with pytest.raises(ConfigError, match="--from"):
        learn(options, print)


@pytest.mark.parametrize("changed", ["a sound of no class", "a microphone"])
def test_what_was_learned_without_a_new_file_is_not_printed_again(learned, sounds, run, monkeypatch, changed):
    new = sounds / "not_a_class" / "new.wav"
    if changed == "a microphone":
        new = sounds.parent / "responses" / "response.wav"
        monkeypatch.setenv("MIC_IR_DIR", str(new.parent))
    write_tone(new, 500, seed=1)
    try:
        with pytest.raises(ConfigError, match=r"made from other sounds .* --from"):
            run(["learn", str(sounds), "-o", str(learned[0]), *SHORT])
    finally:
        new.unlink()


def test_microphones_are_measured_where_they_are_trained_on(sounds, tmp_path, monkeypatch):
    """A folder without impulse responses ended a run after its training, and every rerun."""
    folder = tmp_path / "responses"
    folder.mkdir()
    monkeypatch.setenv("MIC_IR_DIR", str(folder))
    for count in range(3):
        prepared = prepare(Options(sounds, tmp_path / "x.onnx"), lambda line: None)
        assert prepared.responses == (str(folder) if count == 2 else None)
        assert prepared.material.responses == (count == 2) == bool(prepared.learned_responses)
        write_tone(folder / f"{count}.wav", 500, seed=count)


def test_the_recipe_is_one_of_fit(learned, sounds, run, tmp_path, monkeypatch, capsys):
    code, out, _ = run(["learn", str(sounds), "-o", str(tmp_path / "x.onnx"), *SHORT, "--print-recipe"])
    recipe = yaml.safe_load(out)
    assert code == 0 and recipe["trainer"]["max_steps"] == 40
    assert recipe["data"]["corpus"]["init_args"]["folders"] == [str((sounds / "not_a_class").resolve())]
    (tmp_path / "recipe.yaml").write_text(out)
    monkeypatch.setattr("sys.argv", ["train"])
    with pytest.raises(SystemExit) as stopped:
        train_main(["fit", "--config", str(tmp_path / "recipe.yaml"), "--print_config"])
    assert not stopped.value.code and "chosen_epoch: last" in capsys.readouterr().out
    assert not (tmp_path / "x.onnx").exists()


def test_a_training_that_was_interrupted_is_resumed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("export.learn.trainings.main", calls.append)
    recipe = {"trainer": {"default_root_dir": str(tmp_path / "student")}}
    fit(recipe, tmp_path / "recipe.yaml", "", "--init=x.pt")
    (tmp_path / "student" / "checkpoints").mkdir(parents=True)
    last = tmp_path / "student" / "checkpoints" / "last.ckpt"
    last.touch()
    fit(recipe, tmp_path / "recipe.yaml", "", "--init=x.pt")
    (tmp_path / "student" / "model.pt").touch()
    fit(recipe, tmp_path / "recipe.yaml", "", "--init=x.pt")
    assert [call[-1] for call in calls] == ["--init=x.pt", "--ckpt_path=last"]


def test_the_model_carries_windows_and_thresholds_of_held_out_recordings(learned):
    (folder,) = (path for path in (learned[0].parent / "my_run").iterdir() if path.is_dir())
    checkpoint = model_pt.load(folder / "model.pt")
    table = (folder / "sounds.csv").read_text()
    clips = {name.partition("@")[0] for name in checkpoint.verification_ids}
    assert clips and all(f"{clip},{clip.partition('/')[0]},{clip},val" in table for clip in clips)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": Path("model.bin")}, ".onnx"),
        ({"output": Path("absent/my.onnx")}, "absent"),
        ({"also": (Path("x"),)}, "--teacher"),
        ({"budget": "tinny"}, "tiny"),
        ({"frontend": "cp_mell"}, "cp_mel"),
        ({"start": Path("absent.onnx")}, "absent.onnx"),
        ({"teacher": Path("absent.pt")}, "absent.pt"),
        ({"negatives": (Path("absent"),)}, "absent"),
        ({"sounds": Path("absent")}, "absent"),
    ],
)
def test_a_mistake_is_one_sentence(change, message, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = dataclasses.replace(Options(sounds, Path("my.onnx")), **change)
    with pytest.raises((ConfigError, DataError)) as refused:
        learn(options, lambda line: None)
    assert message in str(refused.value) and str(refused.value).count(". ") == 0


@pytest.mark.parametrize("package", ["train", "export"])
def test_it_is_a_command_of_both_packages(package, capsys):
    with pytest.raises(SystemExit) as stopped:
        {"train": train_main, "export": main}[package](["learn", "--help"])
    assert not stopped.value.code and "SOUNDS" in capsys.readouterr().out


@pytest.mark.slow
def test_a_grown_folder_goes_on_from_the_last_model(learned, sounds, run):
    write_sounds(sounds, 6, start=8)
    code, out, err = run(
        ["learn", str(sounds), "-o", str(learned[0]), "--from", str(learned[0]), "--steps", "20"]
    )
    assert code in (0, 1), err
    assert "compared with the earlier model" in out and "held-out clips" in out


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(sounds, tmp_path):
    command = [sys.executable, "-m", "export", "learn", str(sounds), "-o", str(tmp_path / "my.onnx"), *SHORT]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = "my_run/*/student/checkpoints/last.ckpt"
    while not list(tmp_path.glob(checkpoint)) and killed.poll() is None:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert list(tmp_path.glob(checkpoint)) and not (tmp_path / "my.onnx").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "my.onnx").labels == ("bell", "dog")
    versions = list(tmp_path.glob("my_run/*/student/csv/version_*"))
    assert len(versions) == 2  # the second continues the first


def test_the_command_for_more_recordings_repeats_the_options_of_the_data():
    options = Options(
        Path("sounds"),
        Path("my.onnx"),
        group="file",
        negatives=(Path("a b"), Path("c")),
        budget="tiny",
        steps=5,
    )
    assert options.of_the_data() == ["--group", "file", "--negatives", "a b", "--negatives", "c"]
