"""The numbers of the READMEs are those of the results files, and the tables are made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import esc10, esc10_distillation, label_free
from benchmarks.box_model import trainings
from benchmarks.report import command, markers, tables
from benchmarks.result_files import provenance, read_result, write_result
from benchmarks.side_by_side.artefacts import _CONVERSIONS
from benchmarks.side_by_side.ways.contestant import ENTRIES
from runtime.errors import TinysceneError
from tests.conftest import ROOT

READMES = ["README.md", "benchmarks/README.md", "train/README.md"]
RESULTS = {"speed": {"ratio": 0.1234, "rows": [{"name": "a", "share": 0.875}]}}


@pytest.mark.parametrize("readme", READMES)
def test_marked_numbers_are_those_of_the_results_files(readme):
    text = (ROOT / readme).read_text()
    assert markers.fill_numbers(text, read_result) == text, "run `python -m benchmarks report --no-run`"


@pytest.mark.parametrize("readme", READMES)
def test_what_was_measured_has_a_marker(readme):
    assert markers.unmarked_numbers((ROOT / readme).read_text()) == []


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_tables_of_the_readme_are_those_of_the_results_files(name):
    values = read_result(name)
    if values is None:
        pytest.skip(f"{name} was not measured")
    text = (ROOT / "benchmarks" / "README.md").read_text()
    filled = markers.fill_section(text, name, tables.TABLES[name](values))
    assert filled == text, "run `python -m benchmarks report --no-run`"


@pytest.mark.parametrize("name", ["latency", "roofline", "startup", "memory"])
def test_tables_print_the_titles_of_contestants_and_no_names_of_the_code(name):
    values = read_result(name)
    values["not_timed"] = {"torch_eager": "parity failed"}
    text = tables.TABLES[name](values)
    assert [word for word in (*ENTRIES, *values.get("ratios", {})) if f"`{word}`" in text] == []


def test_a_marked_number_is_replaced_in_its_format():
    text = "a <!-- = speed ratio .2f -->9<!-- / --> and <!-- = speed rows/0/share .1% --><!-- / --> %"
    filled = markers.fill_numbers(text, RESULTS.get)
    assert "-->0.12<!--" in filled and "-->87.5<!--" in filled
    assert markers.fill_numbers(filled, RESULTS.get) == filled


@pytest.mark.parametrize("key", ["speed missing", "speed rows/3/share", "other ratio"])
def test_a_number_without_a_result_is_an_error_that_names_it(key):
    with pytest.raises(TinysceneError, match="README names"):
        markers.fill_numbers(f"<!-- = {key} .2f -->1<!-- / -->", RESULTS.get)


def test_a_number_of_a_measured_table_without_a_marker_is_found():
    row = "| INT8 speed | <!-- = speed ratio .2f -->0.12<!-- / --> of INT8, {} | `x 3` |"
    text = "<!-- begin measured -->\n| what | measured | command |\n|---|---|---|\n{}\n<!-- end measured -->"
    assert markers.unmarked_numbers(text.format(row.format("none"))) == []
    assert markers.unmarked_numbers(text.format(row.format("0.3 s"))) == ["0.3"]


def test_a_section_is_replaced_and_a_missing_one_named():
    text = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb"
    assert markers.fill_section(text, "x", "new") == "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb"
    with pytest.raises(TinysceneError, match="begin y"):
        markers.fill_section(text, "y", "new")


def test_a_results_file_names_command_machine_versions_commit_and_seeds(tmp_path: Path):
    write_result(tmp_path / "x.json", {"value": 1}, {"weights": 3})
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["value"] == 1 and result["seeds"] == {"weights": 3}
    assert {"cpu", "load", "python"} <= set(result["machine"])
    assert set(provenance()) <= set(result)


@pytest.mark.parametrize(
    ("script", "module"),
    [
        ("__main__.py", "benchmarks"),
        ("esc10.py", "benchmarks.esc10"),
        ("box_model/__main__.py", "benchmarks.box_model"),
    ],
)
def test_the_command_of_a_results_file_is_the_one_that_was_given(monkeypatch, script, module):
    folder = ROOT / "benchmarks"
    monkeypatch.setattr("sys.argv", [str(folder / script), "--seed", "1", "/data/model.pt"])
    assert provenance()["command"].endswith(f" -m {module} --seed 1 model.pt")


def test_results_that_share_a_file_have_provenance_of_their_own(tmp_path, monkeypatch):
    accuracies = {"all labels": 0.9, "a tenth of the labels": 0.5, "a tenth and a teacher": 0.7}
    monkeypatch.setattr(label_free, "_students", lambda *_: accuracies)
    monkeypatch.setattr(label_free, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(label_free, "read_result", lambda _: {"esc10": {"seeds": {"trainings": 0}}})
    assert label_free.main(["synthetic", "--seed", "7"]) == 0
    result = json.loads((tmp_path / "label_free.json").read_text())
    assert result["esc10"] == {"seeds": {"trainings": 0}}
    assert set(provenance()) <= set(result["synthetic"])
    assert result["synthetic"]["seeds"] == {"trainings": 7}


def test_recipes_are_found_from_any_folder():
    recipes = [esc10.RECIPE, esc10_distillation.TAUGHT, trainings.TEACHER, *trainings.STUDENT]
    recipes += [trial.recipe for trial in label_free.TRIALS.values()]
    assert all(recipe.is_absolute() and recipe.is_file() for recipe in recipes)


def test_the_quick_report_has_the_engines_of_the_issue_and_makes_no_environment_but_theirs():
    assert {"native", "ort_int8", "ort_fp32", "torch_eager", "openvino_fp32", "ncnn", "litert"} <= set(
        command.QUICK_ENGINES
    )
    entries = [ENTRIES[name] for name in command.QUICK_ENGINES]
    conversions = [_CONVERSIONS[entry.file] for entry in entries if entry.file in _CONVERSIONS]
    needed = {entry.environment for entry in entries} | {c.environment for c in conversions}
    assert needed == {"project", "peers", "onnx2tf"}


def test_the_whole_report_runs_every_benchmark_that_has_a_table_of_its_own():
    trained = {"box_model_ablation", "box_model_without_teacher", "accuracy"}
    assert set(command._QUICK) < set(command._FULL) == set(tables.TABLES) - trained
