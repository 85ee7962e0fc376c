"""The plots of benchmarks/README.md, from the results files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.result_files import read_result
from train.plots import pyplot, save_figure

OURS, OTHERS = "tab:blue", "tab:gray"
# Clips of ESC-10 over five folds, as published; bytes of INT8 are one a parameter
ANCHORS = {  # name: parameters, accuracy, source
    "Micro-ACDNet": (131_000, 0.9625, "Mohaimenuzzaman et al., Pattern Recognition 2023"),
    "ACDNet": (4_740_000, 0.9665, "the same"),
    "YAMNet-256, INT8": (130_000, 0.949, "STM32 model zoo"),
}
_LEVELS = (-40, -30, -20, -10, 0, 10, 20)
_MARKERS = {"native": "o", "ort_int8": "s", "ort_fp32": "^", "ort_torchaudio": "D", "torch_eager": "v"}
_SNRS = (5, 10, 15, 20, 30)


def draw_all(folder: Path) -> list[Path]:
    """Draw what there are results for; returns the files."""
    drawn = []
    for name, draw in PLOTS.items():
        figure = draw()
        if figure is not None:
            save_figure(figure, folder / f"{name}.png")
            drawn.append(folder / f"{name}.png")
    return drawn


def latency() -> Any:
    """Log-mel and network of every way, stacked; the mark is both, measured together."""
    values = read_result("latency")
    if values is None:
        return None
    rows = [row for row in values["contestants"].values() if "end_to_end" in row]
    rows.sort(key=lambda row: row["end_to_end"]["processor"]["median"])
    titles = [f"{row['title']}, {row['arithmetic']}" for row in rows]
    parts = {part: [row[part]["processor"]["median"] for row in rows] for part in ("front_end", "network")}
    figure, axes = pyplot().subplots(figsize=(8, 0.32 * len(rows) + 1.1), layout="constrained")
    colors = [OURS if row["ours"] else OTHERS for row in rows]
    axes.barh(titles, parts["front_end"], color=colors, alpha=0.45, label="log-mel")
    axes.barh(titles, parts["network"], left=parts["front_end"], color=colors, label="network")
    together = [row["end_to_end"]["processor"]["median"] for row in rows]
    axes.plot(together, titles, "k|", markersize=11, label="waveform to probabilities")
    axes.invert_yaxis()
    axes.set_xlabel("ms of processor time for a 1-s clip, one thread, median")
    axes.legend(loc="upper right")
    return figure


def roofline() -> Any:
    """Multiply-accumulates a second of every way, below the peaks of one core."""
    values = read_result("roofline")
    if values is None:
        return None
    rows = sorted(values["contestants"].values(), key=lambda row: row["gmacs_a_second"])
    titles = [f"{row['title']}, {row['arithmetic']}" for row in rows]
    figure, axes = pyplot().subplots(figsize=(9.5, 0.32 * len(rows) + 1.8), layout="constrained")
    colors = [OURS if row["ours"] else OTHERS for row in rows]
    bars = axes.barh(titles, [row["gmacs_a_second"] for row in rows], color=colors)
    shares = [f"{100 * row['share_of_peak']:.0f} %" if "share_of_peak" in row else "" for row in rows]
    axes.bar_label(bars, shares, padding=2)
    for number, peak in enumerate(values["peaks"].values()):
        x, label = peak["gmacs_a_second"], f"{peak['title']}: {peak['gmacs_a_second']:.0f}"
        axes.axvline(
            x, color=f"C{number + 1}", linestyle="--" if peak["arithmetic"] == "INT8" else "-", label=label
        )
    axes.set_xlabel("GMAC/s of the network, one thread; beside it the share of its arithmetic's peak")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def footprint() -> Any:
    """Start, memory and installed size of every way."""
    starts, sizes = read_result("startup"), read_result("memory")
    if starts is None or sizes is None:
        return None
    names = [name for name in starts["contestants"] if name in sizes["contestants"]]
    start, size = starts["contestants"], sizes["contestants"]
    titles = [f"{start[name]['title']}, {start[name]['arithmetic']}" for name in names]
    colors = [OURS if start[name]["ours"] else OTHERS for name in names]
    panels = {
        "start, ms of processor time": [start[name]["processor"]["median"] for name in names],
        "resident, MB": [size[name]["later_mb"] for name in names],
        "installed, MB": [size[name]["installed_mb"] for name in names],
    }
    figure, all_axes = pyplot().subplots(1, 3, figsize=(10, 2.6), layout="constrained", sharey=True)
    for axes, (label, values) in zip(all_axes, panels.items(), strict=True):
        axes.bar_label(axes.barh(titles, values, color=colors), fmt="%.0f", padding=2)
        axes.set_xlabel(label)
        axes.set_xlim(0, 1.2 * max(values))
    all_axes[0].invert_yaxis()
    return figure


def accuracy_size() -> Any:
    """Accuracy on ESC-10 against INT8 bytes, with published anchors, and against the time of a clip."""
    box, times = read_result("box_model"), read_result("latency")
    if box is None:
        return None
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(9.5, 3.6), layout="constrained", sharey=True)
    clips = {kind: box["clips"][kind] for kind in ("int8", "fp32")}
    number = ", ".join(str(fold["fold"]) for fold in box["folds"])
    label = f"packaged model (folds {number})"
    _point(left, box["folds"][0]["file_bytes"] / 1e3, clips["int8"], label, OURS)
    for name, (parameters, share, _) in ANCHORS.items():
        left.plot([parameters / 1e3], [100 * share], "s", color=OTHERS)
        left.annotate(name, (parameters / 1e3, 100 * share), xytext=(6, -12), textcoords="offset points")
    left.set(xscale="log", xlabel="INT8, kB (ours: the file; others: a byte a parameter)", xlim=(80, 20_000))
    left.set(ylabel="clips of ESC-10, %", ylim=(86, 100))
    left.legend(loc="lower right")
    rows = (times or {"contestants": {}})["contestants"]
    for name, marker in _MARKERS.items():
        if "end_to_end" in rows.get(name, {}):
            row = rows[name]
            x, title = row["end_to_end"]["processor"]["median"], f"{row['title']}, {row['arithmetic']}"
            color = OURS if row["ours"] else OTHERS
            _point(right, x, clips[row["arithmetic"].lower()], title, color, marker)
    right.set(xlabel="ms of processor time for a 1-s clip, one thread")
    right.set_xlim(left=0)
    right.legend(loc="lower right", fontsize=7)
    return figure


def _point(axes: Any, x: float, share: dict[str, Any], label: str, color: str, marker: str = "o") -> None:
    """A share with its 95 % interval."""
    y, (low, high) = 100 * share["value"], (100 * bound for bound in share["interval"])
    axes.errorbar([x], [y], [[y - low], [high - y]], marker=marker, capsize=3, color=color, label=label)


def accuracy_students() -> Any:
    """Clips that each student's INT8 has right against its bytes, a panel for each corpus."""
    values = read_result("accuracy")
    rows = [
        row for row in (values or {"rows": []})["rows"]
        if row.get("steps") and (row["numbers"], row["unit"]) == ("PTQ INT8", "clips")
    ]  # fmt: skip
    corpora = sorted({(row["corpus"], row["steps"]) for row in rows})
    if not corpora:
        return None
    size = (4 * len(corpora) + 1, 3.4)
    figure, panels = pyplot().subplots(1, len(corpora), figsize=size, layout="constrained", squeeze=False)
    for axes, (corpus, steps) in zip(panels[0], corpora, strict=True):
        for row in (row for row in rows if (row["corpus"], row["steps"]) == (corpus, steps)):
            x, y, half = row["int8_bytes"] / 1e3, 100 * row["mean"], 100 * (row["half_width"] or 0)
            ends = [[half], [min(half, 100 - y)]]  # no share is above 1
            axes.errorbar([x], [y], ends if half else None, marker="o", capsize=3, color=OURS)
            axes.annotate(row["model"], (x, y), xytext=(5, 5), textcoords="offset points", fontsize=7)
        axes.set(title=f"{corpus}, {steps:,} steps", xlabel="INT8, kB of the file", ylabel="clips, %")
        axes.margins(x=0.25, y=0.15)
    return figure


def robustness() -> Any:
    """Windows of unseen folds that are right, against level and against the ratio to noise."""
    box = read_result("box_model")
    if box is None:
        return None
    shares = box["conditions"]
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for kind, style in (("int8", "o-"), ("fp32", "x:")):
        points = [shares[f"level {level:+d} dB" if level else "clean"][kind] for level in _LEVELS]
        left.errorbar(_LEVELS, *_with_intervals(points), fmt=style, capsize=3, label=kind.upper())
    left.set(xlabel="level, dB (+20 is clipped)", ylabel="1-s windows of ESC-10, %", ylim=(60, 100))
    for noise in ("white", "pink", "hum"):
        points = [shares[f"{noise} noise {snr} dB"]["int8"] for snr in _SNRS]
        right.errorbar(_SNRS, *_with_intervals(points), fmt="o-", capsize=3, label=f"{noise}, INT8")
    right.set(xlabel="signal to noise, dB")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    return figure


def _with_intervals(shares: list[dict[str, Any]]) -> tuple[list[float], list[list[float]]]:
    values = [100 * share["value"] for share in shares]
    low = [y - 100 * share["interval"][0] for y, share in zip(values, shares, strict=True)]
    high = [100 * share["interval"][1] - y for y, share in zip(values, shares, strict=True)]
    return values, [low, high]


PLOTS: dict[str, Callable[[], Any]] = {
    "latency": latency, "roofline": roofline, "footprint": footprint, "accuracy_size": accuracy_size,
    "accuracy_students": accuracy_students, "robustness": robustness,
}  # fmt: skip
