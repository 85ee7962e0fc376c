"""The table of reference systems in train/README.md names what exists, and the tests that hold each row."""

from __future__ import annotations

import ast
import re

import pytest

from runtime.spec import PRESETS
from tests.conftest import ROOT
from train.students import STUDENTS
from train.teachers import TEACHERS

TEXT = (ROOT / "train" / "README.md").read_text()
SECTION = TEXT.partition("## The reference systems\n")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith("| system")
]
COLUMNS = ["system", "student", "teacher", "front end", "recipe", "`import` reads", "what was run", "test"]


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _tests_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_table_has_every_system():
    header = next(line for line in SECTION.splitlines() if line.startswith("| system"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == COLUMNS
    assert len(ROWS) == 6
    taught = {name for row in ROWS for name in _code(row[2])}
    assert taught == set(TEACHERS) - {"narrow_resnet"}  # which nobody published


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_networks_front_ends_and_recipes_that_exist(row):
    _, students, teachers, front_ends, recipes, files, run, _ = row
    assert _code(students) and set(_code(students)) <= {*STUDENTS, *TEACHERS}
    assert _code(front_ends) and set(_code(front_ends)) <= set(PRESETS)
    assert files and run and set(_code(teachers)) <= set(TEACHERS)
    written = [(ROOT / "train" / "recipes" / f"{name}.yaml").read_text() for name in _code(recipes)]
    trained = "\n".join(written)
    assert any(f"student: {name}\n" in trained for name in _code(students))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_tests_that_exist(row):
    named = [name.split("::") for name in _code(row[-1])]
    assert named
    for path, test in named:
        assert test in _tests_of(path), f"{path} has no {test}"


def test_every_test_that_the_section_names_exists():
    for path, test in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", SECTION):
        assert test in _tests_of(path), f"{path} has no {test}"
