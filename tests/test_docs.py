"""The API reference is built from the docstrings without a warning."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow  # it imports every module and writes five hundred pages
def test_the_reference_has_a_page_of_every_package_and_module(tmp_path):
    pytest.importorskip("pdoc")
    command = [sys.executable, ROOT / ".ci" / "docs.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    for package in ("runtime", "complexity", "train", "export", "benchmarks"):
        assert (tmp_path / f"{package}.html").is_file()
    assert 'id="FrontEndSpec.preset"' in (tmp_path / "runtime" / "spec.html").read_text()
    assert 'id="load_model"' in (tmp_path / "runtime.html").read_text()
    assert 'id="measure"' in (tmp_path / "complexity.html").read_text()


def test_the_citation_names_the_version_and_its_date():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'\nversion = "{citation["version"]}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f"## [{citation['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()


def test_make_names_the_interpreters_that_it_does_not_find():
    command = ["make", "--silent", "test-pythons", "PYTHONS=3.0 3.1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "python3.0" in done.stdout and "python3.1" in done.stdout
