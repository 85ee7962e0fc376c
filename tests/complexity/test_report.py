"""The report and what is made from it: JSON against stored reports, documented keys, text, picture."""

from __future__ import annotations

import inspect
import json
import re

import pytest

onnx = pytest.importorskip("onnx")

from complexity import Budget  # noqa: E402
from complexity.measurement import measure, measure_onnx  # noqa: E402
from complexity.report.markdown import comparison_to_markdown, to_markdown  # noqa: E402
from complexity.report.plot import plot  # noqa: E402
from complexity.report.report import Report  # noqa: E402
from complexity.report.summary import divide  # noqa: E402
from complexity.report.terminal import print_comparison, print_report  # noqa: E402
from runtime.errors import ConfigError  # noqa: E402
from runtime.spec import FrontEndSpec  # noqa: E402
from tests.complexity.invariants import check_invariants  # noqa: E402
from tests.complexity.onnx_builder import residual_block  # noqa: E402


@pytest.fixture
def block(tmp_path):
    return measure_onnx(residual_block(tmp_path / "block.onnx", "qdq"))


@pytest.fixture(scope="module")
def student():
    pytest.importorskip("torch")
    from train.students import CPMobile

    network = CPMobile(n_classes=3, base_channels=16, n_blocks=(1, 1), strides={"b2": (2, 1)})
    return measure(network, (1, 1, 64, 32), frontend=FrontEndSpec.preset("cp_mel"))


@pytest.mark.parametrize("form", ["float", "qdq", "qoperator"])
def test_json_of_a_graph_is_the_stored_one(tmp_path, compare_with_golden, form):
    path = residual_block(tmp_path / "block.onnx", form)
    # the size of the file depends on the release of onnx
    values = measure_onnx(path).to_dict() | {"file_bytes": None}
    compare_with_golden(f"block_{form}", values)


def test_json_of_a_network_is_the_stored_one(student, compare_with_golden):
    compare_with_golden("student", student.to_dict())


def test_every_key_of_the_json_is_documented(block):
    documented = re.findall(r"^ {4}(\w+):", inspect.getdoc(Report.to_dict), flags=re.MULTILINE)
    assert documented == list(block.to_dict())


def test_layers_sum_to_totals(block, student):
    check_invariants(block)
    check_invariants(student)


def test_the_table_shows_every_total_and_ends_with_the_verdict(student, capsys):
    print_report(student)
    printed = capsys.readouterr().out
    for total in (student.params, student.macs, student.peak_activation_bytes, student.front_end_macs):
        assert f"{total:,}" in printed
    assert "Not counted by the rule: GRN" in printed
    assert printed.splitlines()[-1].startswith("Within dcase2024, with")


def test_comparison_has_a_column_for_each(block, student, capsys):
    print_comparison([block, student])
    printed = capsys.readouterr().out
    assert "block.onnx" in printed
    assert f"{student.macs_deployed:,}" in printed
    assert comparison_to_markdown([block, student]).splitlines()[0] == "|  | block.onnx | CPMobile |"


def test_markdown_is_made_of_whole_tables(student):
    tables = [line for line in to_markdown(student).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {6, 3, 10}
    assert sum(line.startswith("| stages.s1.b1.block.0.0 |") for line in tables) == 1


def test_the_picture_is_written_whole(student, tmp_path):
    plot(student, tmp_path / "where.png")
    assert (tmp_path / "where.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="png"):
        plot(student, tmp_path / "where.txt")


@pytest.mark.parametrize("most", [2, 5, 18, 1000])
def test_parts_hold_the_whole_network(block, student, most):
    for report in (block, student):
        parts = divide(report, most)
        assert len(parts) <= max(most, 1)
        assert sum(part.macs for part in parts) == report.macs_deployed
        assert sum(part.param_bytes for part in parts) == report.param_bytes_deployed


def test_a_limit_of_zero_and_no_limit_at_all(block):
    import dataclasses

    none = dataclasses.replace(block, budget=Budget.custom())
    assert none.within
    assert "no limits" in none.verdict()
    zero = dataclasses.replace(block, budget=Budget.custom(max_macs=0))
    assert not zero.within
    assert json.loads(json.dumps(zero.to_dict()))["headroom"] == {"macs": -block.macs}
    with pytest.raises(ConfigError):
        Budget.custom(max_macs=-1)
    with pytest.raises(ConfigError, match="dcase2024"):
        Budget.named("dcase2021")
