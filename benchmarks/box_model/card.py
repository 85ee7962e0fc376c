"""MODEL_CARD.md, written from the results of the cross-validation and the file that is shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from runtime import load_model
from runtime.spec import ModelSpec

_TEMPLATE = Path(__file__).with_name("card_template.md")


def results_text(result: Mapping[str, Any]) -> str:
    """All tables of the results, as Markdown."""
    return "\n\n".join(
        [_folds(result), _classes(result), _conditions(result), _negatives(result), _calibration(result)]
    )


def model_card(result: Mapping[str, Any], path: Path) -> str:
    """The card of the shipped file.

    Args:
        result: of ``crossvalidate``.
        path: the .onnx file.
    """
    spec = load_model(path).spec
    credits = path.with_suffix(".CREDITS.txt")
    return Template(_TEMPLATE.read_text()).substitute(
        path=path.as_posix(),
        credits=credits.as_posix(),
        count=len(spec.labels),
        labels=", ".join(map(_words, spec.labels)),
        complexity=_complexity(spec),
        bytes=f"{path.stat().st_size:,}",
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        clips=_share(result["clips"]["int8"]),
        windows=_share(result["conditions"]["clean"]["int8"]),
        data=result["data"],
        allowed=result["negatives"]["speech"]["allowed_per_hour"],
        allowed_of_other_sounds=f"{result['negatives']['other sounds']['allowed_per_hour']:g}",
        steps=f"{result['steps']:,}",
        results=results_text(result),
        mistakes=_mistakes(result),
    )


def _complexity(spec: ModelSpec) -> str:
    """Parameters and MACs, as the exporter counted them."""
    return f"{spec.complexity['params']:,} parameters, {spec.complexity['macs']:,} MACs a window"


def _mistakes(result: Mapping[str, Any]) -> str:
    """The three classes with the most errors, and what they are taken for."""
    weakest = sorted(result["per_class"].items(), key=lambda item: float(item[1]["windows"]["value"]))[:3]
    parts = []
    for label, found in weakest:
        others = ", ".join(f"{_words(other)} {count} times" for other, count in found["taken_for"].items())
        parts.append(
            f"{_words(label)} ({found['windows']['value']:.0%} of windows right, taken for {others})"
        )
    return "; ".join(parts)


def _folds(result: Mapping[str, Any]) -> str:
    lines = [
        "| tested on | clips INT8 | windows INT8 | clips FP32 | windows FP32 | same label |",
        "|---|---|---|---|---|---|",
    ]
    names = ("int8_clips", "int8_windows", "fp32_clips", "fp32_windows", "agreement")
    for fold in result["folds"]:
        cells = " | ".join(f"{fold[name]:.1%}" for name in names)
        lines.append(f"| fold {fold['fold']} | {cells} |")
    clean = result["conditions"]["clean"]
    parts = (
        result["clips"]["int8"],
        clean["int8"],
        result["clips"]["fp32"],
        clean["fp32"],
        clean["agreement"],
    )
    lines.append(f"| all | {' | '.join(_share(part) for part in parts)} |")
    return "\n".join(lines)


def _classes(result: Mapping[str, Any]) -> str:
    lines = ["| class | windows right | most often taken for |", "|---|---|---|"]
    for label, found in result["per_class"].items():
        others = ", ".join(f"{_words(other)} ({count})" for other, count in found["taken_for"].items())
        lines.append(f"| {_words(label)} | {_share(found['windows'])} | {others or 'none'} |")
    return "\n".join(lines)


def _conditions(result: Mapping[str, Any]) -> str:
    lines = ["| condition | windows | INT8 | FP32 | same label |", "|---|---|---|---|---|"]
    for name, found in result["conditions"].items():
        shares = " | ".join(f"{found[kind]['value']:.1%}" for kind in ("int8", "fp32", "agreement"))
        lines.append(f"| {name} | {found['int8']['count']} | {shares} |")
    return "\n".join(lines)


def _negatives(result: Mapping[str, Any]) -> str:
    lines = [
        "| negatives | minutes | events an hour | of the classes | at the shipped thresholds | AUROC |",
        "|---|---|---|---|---|---|",
    ]
    for kind, found in result["negatives"].items():
        events = ", ".join(f"{_words(label)} {count}" for label, count in found["events"].items())
        minutes = f"{found['minutes']} x {found['models']} models"
        reported = f"{found['events_per_hour']} | {events or 'none'} | {found['fitted_events_per_hour']}"
        lines.append(f"| {kind} | {minutes} | {reported} | {found['auroc']:.3f} |")
    found = result["events_of_clips"]
    by_class = ", ".join(f"{_words(label)} {own['value']:.0%}" for label, own in found["by_class"].items())
    return "\n".join(lines) + (
        f"\n\nAt the shipped thresholds {_share(found['own_class'])} of the clips of a class give an event "
        f"of it after three seconds of a calm room ({by_class}), and {_share(found['another_class'])} one of "
        "another class. "
        "AUROC is that of the greatest probability of a window, sounds of a class against negatives."
    )


def _calibration(result: Mapping[str, Any]) -> str:
    errors = ", ".join(f"{name} {value:.3f}" for name, value in result["calibration_error"].items())
    return (
        f"Expected calibration error (15 bins, each fold at the temperature that the others give): {errors}. "
        f"Temperature {result['temperature']}."
    )


def _share(share: Mapping[str, Any]) -> str:
    low, high = share["interval"]
    return f"{share['value']:.1%} ({low:.1%} to {high:.1%})"


def _words(label: str) -> str:
    return label.replace("_", " ")
