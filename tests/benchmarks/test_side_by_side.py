"""Contestants take turns in processes of their own, after their answers were compared."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command_line
from benchmarks.result_files import write_result
from benchmarks.side_by_side import latency, parity, startup
from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.memory import installed_mb
from benchmarks.side_by_side.processes import start_all
from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS, load
from benchmarks.side_by_side.ways.front_end_file import write_front_end
from runtime.spec import FrontEndSpec
from tests.runtime.conftest import model_path, spec
from train.students import CPMobile

__all__ = ["model_path", "spec"]  # fixtures: the tiny model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Artefacts of a narrow network with random weights: torch and ONNX Runtime in float."""
    import torch

    from export.pipeline import export_model
    from train.checkpoints.model_pt import Checkpoint

    folder = tmp_path_factory.mktemp("artefacts")
    arguments = {"n_classes": 3, "base_channels": 8, "channels_multiplier": 1.5, "expansion_rate": 2.0}
    torch.manual_seed(0)
    network = CPMobile(**arguments).eval()
    frontend = FrontEndSpec.preset("cp_mel")
    torch.save({"arguments": arguments, "state_dict": network.state_dict()}, folder / "weights.pt")
    write_front_end(frontend, folder)
    noise = np.random.default_rng(0).normal(scale=0.1, size=(3, 32_000)).astype(np.float32)
    np.save(folder / "waveforms.npy", noise)
    checkpoint = Checkpoint("cp_mobile", arguments, frontend, ("a", "b", "c"), network.state_dict())
    export_model(checkpoint, folder / "fp32.onnx", method="none")
    return folder


def test_float_contestants_agree_and_are_timed_part_by_part(folder, tmp_path):
    names = ["torch_eager", "ort_fp32", "litert"]
    missing = {"fp32.tflite": "a converter that was not found"}
    processes, reasons = start_all(names, folder, missing, Environments(tmp_path))
    compared = parity.compare({name: process.logits for name, process in processes.items()})
    times = latency.in_turns(processes, 2)
    for process in processes.values():
        process.end()
    assert reasons == {"litert": "no conversion: a converter that was not found"}
    assert all(row["passed"] and row["windows"] == 3 for row in compared.values())
    assert compared["ort_fp32"]["logit_difference"] < 1e-3
    for parts in times.values():
        assert set(parts) == {"front_end", "network", "end_to_end"}
        assert all(part["wall"]["p95"] >= part["wall"]["median"] > 0 for part in parts.values())


def test_a_contestant_that_cannot_start_gives_its_reason(tmp_path):
    processes, reasons = start_all(["ort_fp32"], tmp_path, {}, Environments(tmp_path))
    assert not processes and "fp32.onnx" in reasons["ort_fp32"]


def test_another_network_fails_parity():
    logits = {
        "torch_eager": [[1.0, 0.0]],
        "ncnn": [[1.1, 0.0]],
        "native": [[1.1, 0.0]],
        "ort_int8": [[0.0, 1.0]],
    }
    passed = {name: row["passed"] for name, row in parity.compare(logits).items()}
    assert passed == {"torch_eager": True, "ncnn": False, "native": True, "ort_int8": False}


def test_ratios_are_taken_to_the_fastest_parts_of_the_others():
    def row(front_end: float, network: float, ours: bool) -> dict:
        parts = {"front_end": front_end, "network": network, "end_to_end": front_end + network}
        return {"ours": ours, **{part: {"processor": {"median": value}} for part, value in parts.items()}}

    rows = {"native": row(0.5, 0.5, True), "torch_eager": row(4, 6, False), "ncnn": row(8, 1, False)}
    assert latency.ratios(rows) == {
        "best_front_end_of_peers": "torch_eager", "best_network_of_peers": "ncnn",
        "native_to_reference": 0.1, "ort_int8_to_reference": None,
        "native_to_best_parts": 0.2, "native_network_to_best_network": 0.5,
    }  # fmt: skip


def test_a_results_file_remembers_the_ratios_of_the_runs_before_on_this_cpu(tmp_path):
    path = tmp_path / "latency.json"
    for number in range(12):
        earlier = latency.earlier_runs(path)
        write_result(path, {"rounds": 1, "ratios": {"native_to_reference": number}, "earlier": earlier})
    assert [run["ratios"]["native_to_reference"] for run in latency.earlier_runs(path)] == [*range(3, 12)]
    assert set(earlier[-1]) == {"measured", "commit", "rounds", "ratios", "load"}
    of_few = json.loads(path.read_text()) | {"only": ["ncnn"]}
    path.write_text(json.dumps(of_few))
    assert [run["ratios"]["native_to_reference"] for run in latency.earlier_runs(path)] == [*range(2, 11)]
    other = json.loads(path.read_text()) | {"only": None}
    other["machine"]["cpu"] = "another"
    path.write_text(json.dumps(other))
    assert latency.earlier_runs(path) == []
    for text in ("", "[]", "{}", '{"machine": 3}'):  # no results: they are overwritten, and nothing is lost
        path.write_text(text)
        assert latency.earlier_runs(path) == []


def test_probabilities_of_the_two_front_ends_agree(folder):
    waveform = np.load(folder / "waveforms.npy")[0]
    ours, theirs = load("ort_fp32", folder), load("torch_eager", folder)
    np.testing.assert_allclose(ours.probabilities(waveform), theirs.probabilities(waveform), atol=1e-4)


def test_a_start_is_measured_in_a_fresh_process(folder, tmp_path):
    start = startup.start("ort_fp32", folder, Environments(tmp_path), more=2)
    assert start.wall_s > 0 and start.processor_s > 0
    assert start.later_mb > 10 and start.first_mb > 10


def test_installed_size_counts_what_a_package_needs():
    python = Path(sys.executable)
    assert installed_mb(("scipy",), python) > installed_mb(("numpy",), python) > 1


def test_every_entry_names_a_class_that_exists():
    for entry in (*ENTRIES.values(), *PRODUCTS.values()):
        module, _, name = entry.place.partition(":")
        source = (Path(latency.__file__).with_name("ways") / f"{module}.py").read_text()
        assert f"class {name}" in source


def test_the_command_lists_every_benchmark(capsys):
    assert command_line.main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in command_line.COMMANDS)


def test_every_benchmark_has_a_main():
    from importlib.util import find_spec

    for command in command_line.COMMANDS.values():
        found = find_spec(command.module)
        assert found and found.origin and "\ndef main(arguments" in Path(found.origin).read_text()


def test_the_plain_loop_does_not_augment_as_fit_does_not(tmp_path, monkeypatch):
    from benchmarks import input_side
    from benchmarks.scaling import plain_loop

    made = []
    monkeypatch.setattr(plain_loop, "BATCH", 2)
    monkeypatch.setattr(
        plain_loop, "WavFiles", lambda *given: made.append(input_side.WavFiles(*given)) or made[0]
    )
    input_side.write_clips(tmp_path, 2)
    plain_loop.main(tmp_path, 0, tmp_path / "seconds.json")
    (dataset,) = made
    assert (dataset[0][0] == dataset[0][0]).all()


def test_growth_finds_the_exponent_and_measures_streams(model_path, tmp_path):
    from benchmarks.scaling import growth

    assert growth.exponent({1: 2, 10: 200, 100: 20_000}) == pytest.approx(2)
    output = tmp_path / "growth.json"
    assert growth.main(["--model", str(model_path), "--only", "streams", "-o", str(output)]) == 0
    streams = json.loads(output.read_text())["streams"]
    assert [row["size"] for row in streams["rows"]] == list(growth.STREAMS)
    assert 0 < streams["exponents"]["all"] < 2
