"""``python -m complexity check MODEL...``: may it be submitted, and what does it cost?"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from complexity import network_files
from complexity.budget import BUDGETS, DEFAULT, Budget
from complexity.counters.onnx_graph.inputs import InputShapes
from complexity.measurement import STORED_BYTES, measure, measure_onnx, measure_tflite
from complexity.microcontroller.footprint import Footprint, measure_footprint
from complexity.microcontroller.targets import TARGETS
from complexity.report.markdown import comparison_to_markdown, to_markdown
from complexity.report.plot import plot
from complexity.report.report import Report
from complexity.report.terminal import print_comparison, print_report
from complexity.suggest import Suggestion, suggest
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK, program
from runtime.errors import ConfigError

_GRAPHS = (".onnx", ".tflite")
_ROOMY = 0.2  # with --suggest: a model that leaves this share of every limit could be wider


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 where every model is within its limits, 1 where one is over."""
    options = _parser().parse_args(arguments)
    budget = _budget(options)
    reports = [_measure_file(path, budget, options) for path in options.models]
    options.footprints = _footprints(options)
    options.show(reports, options)
    return EXIT_OK if all(each.within for each in (*reports, *options.footprints)) else EXIT_NEGATIVE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program("complexity"), description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="compare models with limits; exit code 0 within, 1 over")
    check.set_defaults(show=_show_each)
    check.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw MACs, bytes and activations by layer (.png, .svg, .pdf)",
    )
    check.add_argument(
        "--suggest",
        action="store_true",
        help="find the width of the same network that would fit (model.pt only)",
    )
    _add_target_arguments(check)
    compare = commands.add_parser("compare", help="models side by side; the same exit codes")
    compare.set_defaults(show=_show_side_by_side, target=None, flash=None, ram=None, fixed_point=False)
    for command in (check, compare):
        _add_shared_arguments(command)
    return parser


def _add_target_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        choices=TARGETS,
        help="compile an INT8 .onnx for a microcontroller: flash, RAM, and instructions under QEMU",
    )
    parser.add_argument(
        "--fixed-point",
        action="store_true",
        help="with --target: a log-mel in integers, as of `export c --fixed-point`, and no FPU",
    )
    for memory in ("flash", "ram"):
        parser.add_argument(
            f"--{memory}",
            type=_bytes_of_kilobytes,
            metavar="KB",
            help=f"with --target: {memory} that it has, in 1,024 bytes",
        )


def _add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="model.pt, .ckpt, .onnx or .tflite"
    )
    parser.add_argument("--rules", choices=BUDGETS, help=f"rules of a challenge (default {DEFAULT.name})")
    parser.add_argument(
        "--max-params", type=int, metavar="N", help="your own limit of parameters, instead of --rules"
    )
    parser.add_argument(
        "--max-bytes", type=int, metavar="N", help="your own limit of the bytes of all parameters"
    )
    parser.add_argument(
        "--max-macs", type=int, metavar="N", help="your own limit of the MACs of the network per clip"
    )
    parser.add_argument(
        "--dtype",
        choices=STORED_BYTES,
        default="int8",
        help="data type that a model.pt will be stored in (default int8)",
    )
    parser.add_argument(
        "--input-shape",
        type=_shape,
        action="append",
        default=[],
        metavar="[NAME=]1,1,256,64",
        help="for an .onnx that leaves axes open or whose first axis may be a batch (then 1) or a part of "
        "the clip; with NAME= and once for each where it has several inputs",
    )
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--json", action="store_true", help="one JSON object a line for every model")
    text.add_argument("--markdown", action="store_true", help="for a technical report")


def _bytes_of_kilobytes(text: str) -> int:
    try:
        size = round(float(text) * 1024)
    except (ValueError, OverflowError):  # no number, NaN; infinity
        size = 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no size: give a number of KB above 0, such as 256")
    return size


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """The name of an input, empty where none is given, and its shape."""
    name, _, sizes = text.rpartition("=")  # a name may hold anything
    try:
        shape = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no shape: give whole numbers from 1, such as 1,1,256,64 or NAME=1,1,256,64"
        )
    return name, shape


def _input_shapes(options: argparse.Namespace) -> InputShapes | None:
    given: list[tuple[str, tuple[int, ...]]] = options.input_shape
    if len(given) == 1 and not given[0][0]:
        return given[0][1]
    shapes = dict(given)
    if "" in shapes:
        raise ConfigError("--input-shape is given more than once: name the input of each, NAME=1,1,256,64.")
    if len(shapes) < len(given):
        raise ConfigError("--input-shape names one input twice: give each input one shape.")
    return shapes or None


def _budget(options: argparse.Namespace) -> Budget:
    own = {
        "max_params": options.max_params,
        "max_param_bytes": options.max_bytes,
        "max_macs": options.max_macs,
    }
    if all(limit is None for limit in own.values()):
        return Budget.named(options.rules or DEFAULT.name)
    if options.rules:
        raise ConfigError("--rules has its own limits: give either --rules or --max-... .")
    return Budget.custom(**own)


def _measure_file(path: Path, budget: Budget, options: argparse.Namespace) -> Report:
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return measure_onnx(path, input_shape=_input_shapes(options), budget=budget)
    if options.input_shape:
        raise ConfigError(f"--input-shape is for .onnx files; {path} holds its own: leave it out.")
    if suffix == ".tflite":
        return measure_tflite(path, budget=budget)
    loaded = network_files.load(path)
    report = measure(
        loaded.build(),
        loaded.input_shape,
        stored_dtype=options.dtype,
        budget=budget,
        frontend=loaded.frontend,
    )
    return dataclasses.replace(report, model=path.name, file_bytes=path.stat().st_size)


def _footprints(options: argparse.Namespace) -> list[Footprint]:
    limits = {"flash_limit": options.flash, "ram_limit": options.ram}
    if options.target:
        target, fixed = TARGETS[options.target], options.fixed_point
        return [measure_footprint(path, target, fixed_point=fixed, **limits) for path in options.models]
    if any(limits.values()) or options.fixed_point:
        raise ConfigError(
            "--flash, --ram and --fixed-point are of a microcontroller: name it, such as --target cortex-m4."
        )
    return []


def _show_each(reports: Sequence[Report], options: argparse.Namespace) -> None:
    if options.plot:
        _plot(reports, options.plot)
    footprints = options.footprints or [None] * len(reports)
    for path, report, footprint in zip(options.models, reports, footprints, strict=True):
        suggestions = _suggest(path, report, options) if options.suggest else None
        if options.json:
            more = {} if suggestions is None else {"suggestions": list(map(dataclasses.asdict, suggestions))}
            more |= {"microcontroller": footprint.to_dict()} if footprint else {}
            print(json.dumps(report.to_dict() | more))
            continue
        if options.markdown:
            print(to_markdown(report))
        else:
            print_report(report)
        for line in footprint.lines(report.macs_deployed) if footprint else ():
            print(line)
        for suggestion in suggestions or []:
            print(f"Suggestion: {suggestion}")


def _plot(reports: Sequence[Report], path: Path) -> None:
    if len(reports) > 1:
        raise ConfigError("--plot draws one model: give one.")
    plot(reports[0], path)


def _show_side_by_side(reports: Sequence[Report], options: argparse.Namespace) -> None:
    if options.json:
        for report in reports:
            print(json.dumps(report.to_dict()))
    elif options.markdown:
        print(comparison_to_markdown(reports))
    else:
        print_comparison(reports)


def _suggest(path: Path, report: Report, options: argparse.Namespace) -> list[Suggestion]:
    """Which widths would fit, where the model is over its limits or far under them."""
    if path.suffix.lower() in _GRAPHS:
        raise ConfigError(f"--suggest builds other widths of a student, not of {path}: give its model.pt.")
    limits = report.budget.limits
    roomy = all(left > _ROOMY * limits[name] for name, left in report.headroom.items())
    if report.within and not roomy:
        return []
    loaded = network_files.load(path)
    return suggest(
        loaded.build_variant,
        loaded.arguments,
        loaded.input_shape,
        budget=report.budget,
        element_bytes=STORED_BYTES[options.dtype],
    )
