"""A results file as a table of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.accuracy.summary import FORMS, UNITS
from benchmarks.side_by_side.startup import REFERENCE
from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS

Values = dict[str, Any]
AIMS = {  # of ratios
    "native_to_reference": ("waveform to probabilities, compiled C over the reference systems' way", 0.1),
    "ort_int8_to_reference": ("the same, ONNX Runtime INT8 over the reference systems' way", 0.25),
    "native_to_best_parts": (
        "the same, compiled C over the others' fastest log-mel and fastest network, added", 0.3
    ),
    "native_network_to_best_network": ("network alone, compiled C over the fastest of the others", 0.45),
}  # fmt: skip


def latency(values: Values) -> str:
    """Every way in the order of its time, what was not timed, and the ratios."""
    timed = [row for row in values["contestants"].values() if "end_to_end" in row]
    timed.sort(key=lambda row: row["end_to_end"]["processor"]["median"])
    head = [
        "way",
        "numbers",
        "log-mel",
        "network",
        "all",
        "all, p95",
        "all, wall clock",
        "labels of torch, eager",
    ]
    rows = [
        [_bold(row), row["arithmetic"], *(_ms(row[part]) for part in ("front_end", "network", "end_to_end")),
         _ms(row["end_to_end"], "p95"), _ms(row["end_to_end"], clock="wall"),
         f"{100 * row['parity']['labels_equal']:.0f} %"]
        for row in timed
    ]  # fmt: skip
    parts = [f"Milliseconds of processor time, medians. {_conditions(values)}", table(head, rows)]
    products = values["products"].values()
    if products:
        parts.append("Doing another job on the same second: " + "; ".join(
            f"{row['title']}: {_ms(row['end_to_end'])} ms" for row in products
        ) + ".")  # fmt: skip
    if values["not_timed"]:
        parts.append(_not_timed(values))
    runs = [*(run["ratios"] for run in values.get("earlier", [])), values["ratios"]]
    ratios = []
    for name, (title, aim) in AIMS.items():
        of_runs = [ratio for run in runs if (ratio := run.get(name)) is not None]
        if values["ratios"].get(name) is not None:
            cells = (f"{of_runs[-1]:.3f}", f"{min(of_runs):.3f} to {max(of_runs):.3f}", f"at most {aim:g}")
            ratios.append([title, *cells])
    number = f"{len(runs)} runs" if len(runs) > 1 else "one run"
    parts.append(table(["ratio", "measured", f"least and greatest of {number}", "aim"], ratios))
    if best := values["ratios"].get("best_front_end_of_peers"):
        parts.append(
            f"Fastest log-mel of the others: {_title(best)}; fastest network: "
            f"{_title(values['ratios']['best_network_of_peers'])}."
        )
    return "\n\n".join(parts)


def roofline(values: Values) -> str:
    """Every way in the order of its share, and the peaks."""
    peaks = "; ".join(f"{row['title']}: {row['gmacs_a_second']:.0f}" for row in values["peaks"].values())
    timed = sorted(values["contestants"].values(), key=lambda row: -row.get("share_of_peak", 0))
    rows = [
        [_bold(row), row["arithmetic"], f"{row['ms']:.2f}", f"{row['gmacs_a_second']:.0f}",
         f"{100 * row['share_of_peak']:.0f} %" if "share_of_peak" in row else "no peak"]
        for row in timed
    ]  # fmt: skip
    head = ["way", "numbers", "ms", "GMAC/s", "share of the peak"]
    macs = f"{values['network']['macs']:,} MACs of the network alone."
    intro = f"{macs} Peaks of one core, GMAC/s: {peaks}. {_conditions(values)}"
    parts = [intro, table(head, rows)]
    if values["not_timed"]:
        parts.append(_not_timed(values))
    return "\n\n".join(parts)


def steps(values: Values) -> str:
    """The steps in their order, what is left, and parts of the log-mel, of both engines."""
    titles = {"onnx_runtime": "ONNX Runtime", "native": "compiled C"}
    ways = {titles[name]: way for name, way in values["ways"].items()}
    columns = []
    for way in ways.values():
        whole = way["all"]["median"]
        medians = {name: row["median"] for name, row in way["steps"].items()}
        medians |= {"rest": way["rest"], "all": whole}
        columns.append({n: [f"{ms:.3f}", f"{100 * ms / whole:.0f} %"] for n, ms in medians.items()})
    rows = [[name, *(cell for column in columns for cell in column[name])] for name in columns[0]]
    head = ["step", *(cell for title in ways for cell in (f"{title}, ms", "share"))]
    parts = []
    for title, way in ways.items():
        alone = ", ".join(f"{name} {row['median']:.3f}" for name, row in way["alone"].items())
        parts.append(f"{title}: {alone}")
    intro = f"Milliseconds of processor time, medians. {_conditions(values)}"
    return "\n\n".join([intro, table(head, rows), f"Of the log-mel, alone, {'; '.join(parts)}."])


def startup(values: Values) -> str:
    """Every way in the order of its time."""
    rows = sorted(values["contestants"].values(), key=lambda row: row["processor"]["median"])
    body = [
        [_bold(row), row["arithmetic"], *(f"{row[clock][of]:.0f}" for clock, of in _CLOCKS)] for row in rows
    ]
    head = ["way", "numbers", "processor time", "p95", "wall clock", "the fastest start"]
    parts = [f"Milliseconds, medians. {_conditions(values)}", table(head, body), _ratios(values)]
    return "\n\n".join(parts)


_CLOCKS = (("processor", "median"), ("processor", "p95"), ("wall", "median"), ("wall", "fastest"))


def memory(values: Values) -> str:
    """Every way in the order of its memory."""
    rows = sorted(values["contestants"].values(), key=lambda row: row["later_mb"])
    body = [
        [_bold(row), row["arithmetic"], f"{row['first_mb']:.0f}", f"{row['later_mb']:.0f}",
         f"{row['installed_mb']:,}"]
        for row in rows
    ]  # fmt: skip
    head = ["way", "numbers", "after the first prediction", f"after {values['predictions']}", "installed"]
    return "\n\n".join([f"Megabytes. {_conditions(values)}", table(head, body), _ratios(values)])


def streaming(values: Values) -> str:
    """A row for each way, a column for each hop."""
    hops = values["hops"]
    titles = {"native": "this runtime, compiled C", "ort_int8": "this runtime, ONNX Runtime INT8",
              "torch_eager": "the whole window anew: torch mel, eager"}  # fmt: skip
    rows = [[title, *(f"{of[name] / 10:.2f} %" for of in hops.values())] for name, title in titles.items()]
    head = ["way", *(f"hop {hop} s" for hop in hops)]
    return "\n\n".join([f"Share of a core, medians. {_conditions(values)}", table(head, rows)])


def training(values: Values) -> str:
    """Both ways."""
    titles = {"fit": "`tinyscene fit`", "plain": "plain loop: soundfile, soxr, torchaudio, Adam"}
    rows = [
        [titles[name], f"{row['steps_a_second']:.2f}", f"{row['seconds_an_epoch_of_1000_clips']:.1f}"]
        for name, row in values["ways"].items()
    ]
    head = ["way", f"steps of {values['batch']} windows a second", "seconds an epoch of 1,000 clips"]
    steps = {"network": "the network alone", "workers_0": "the recipe, `data.num_workers` 0",
             "workers_1": "the recipe, `data.num_workers` 1"}  # fmt: skip
    of_recipe = [
        [steps[name], f"{row['seconds_a_step']:.2f} s", f"{row['of_network']:.2f}"]
        for name, row in values["recipe"].items()
    ]
    return "\n\n".join([
        f"Processor time. {_conditions(values)}",
        table(head, rows),
        "A step of `train/recipes/esc10_cp_mobile_capture.yaml`, by the clock:",
        table(["step", "time", "over the network's"], of_recipe),
    ])  # fmt: skip


def growth(values: Values) -> str:
    """A row for each quantity."""
    titles = {"clip_length": "`classify`, seconds of audio", "streams": "streams, a second of each",
              "width": "a window, MACs of the network",
              "corpus_size": "clips of a corpus (without their audio)"}  # fmt: skip
    rows = []
    for name, title in titles.items():
        if name in values:
            first, last = values[name]["rows"][0], values[name]["rows"][-1]
            exponents = values[name]["exponents"]
            rows.append([
                title, f"{first['size']:,} to {last['size']:,}",
                f"{first['seconds']:.3g} to {last['seconds']:.3g} s",
                f"{last['added_mb']:.0f} MB", f"{exponents['all']:.2f}; {exponents['upper_half']:.2f}",
            ])  # fmt: skip
    head = [
        "work",
        "from, to",
        "processor time",
        "memory added by the largest",
        "exponent of time; upper half",
    ]
    return "\n\n".join([_conditions(values), table(head, rows)])


def ablation(values: Values) -> str:
    """What the packaged model has right without each part of its training."""
    head = [
        "without", "steps", "windows", "at -30 dB", "at +20 dB, clipped", "clips",
        "windows that it costs, points", "clips, points",
    ]  # fmt: skip
    rows = []
    for lacking, found in values["without"].items():
        shares = [*found["windows"].values(), found["clips"]]
        cells = [f"{100 * sum(folds) / len(folds):.1f} %" for folds in shares]
        more = ["", ""]
        if gains := found.get("gain"):
            more = ["{:+.1f} ({:+.1f} to {:+.1f})".format(*gains[kind]) for kind in ("windows", "clips")]
        rows.append([lacking, f"{found['steps']:,}", *cells, *more])
    return table(head, rows)


def accuracy(values: Values) -> str:
    """A row for each model, corpus and length of training; then what was not run."""
    head = ["corpus", "model", "INT8, kB", "steps", "cells", "interval over",
            *(f"{u}, {f}" for u in UNITS for f in FORMS)]  # fmt: skip
    found: dict[tuple[Any, ...], dict[tuple[str, str], Values]] = {}
    for row in values["rows"]:
        key = (row["corpus"], row["model"], row.get("int8_bytes"), row.get("steps"), row["cells"],
               row["interval_over"])  # fmt: skip
        found.setdefault(key, {})[row["unit"], row["numbers"]] = row
    body = [
        [corpus, model, f"{size / 1e3:.0f}" if size else "", f"{steps:,}" if steps else "see below", str(n),
         over or "", *(_percent(by.get((unit, form))) for unit in UNITS for form in FORMS)]
        for (corpus, model, size, steps, n, over), by in found.items()
    ]  # fmt: skip
    intro = (
        "Percent right, by the runtime alone, with the half width of the 95 % interval of the mean: over "
        "folds, each the mean of its seeds, where a corpus has several; over the seeds of the only split "
        "otherwise; none for fewer than three of them."
    )
    parts = [intro, table(head, body), f"Not run: {'; '.join(values['not_run']) or 'nothing'}."]
    if any("steps" in row for row in values["rows"]):  # there is a plot of them alone
        parts.append("![Clips that each student has right against its bytes](results/accuracy_students.png)")
    return "\n\n".join(parts)


def _percent(row: Values | None) -> str:
    if row is None:
        return ""
    half = row["half_width"]
    return f"{100 * row['mean']:.1f}" + (f" ± {100 * half:.1f}" if half is not None else "")


TABLES: dict[str, Callable[[Values], str]] = {
    "latency": latency, "roofline": roofline, "steps": steps, "streaming": streaming, "startup": startup,
    "memory": memory, "training": training, "growth": growth, "box_model_ablation": ablation,
    "box_model_without_teacher": ablation, "accuracy": accuracy,
}  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bold(row: Values) -> str:
    return f"**{row['title']}**" if row["ours"] else str(row["title"])


def _title(name: str) -> str:
    """Of a contestant or product, with its arithmetic: some have the same title."""
    entry = (ENTRIES | PRODUCTS)[name]
    return f"{entry.title}, {entry.arithmetic}"


def _ratios(values: Values) -> str:
    """Ways over the reference systems' way."""
    titled = [(_title(name.removesuffix("_to_reference")), ratio) for name, ratio in values["ratios"].items()]
    rows = "; ".join(f"{title}: {ratio:.3f}" for title, ratio in titled)
    return f'Ratios to "{_title(REFERENCE)}": {rows}.'


def _not_timed(values: Values) -> str:
    reasons = "; ".join(f"{_title(name)} ({reason})" for name, reason in values["not_timed"].items())
    return f"Not timed: {reasons}."


def _ms(times: Values, of: str = "median", clock: str = "processor") -> str:
    return f"{times[clock][of]:.2f}"


def _conditions(values: Values) -> str:
    """Where, when and from what."""
    machine = values["machine"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']:g} at the end, Python "
        f"{machine['python']}, commit {values['commit']}, {values['measured']}."
    )
