"""``python -m complexity check MODEL...``: may it be submitted, and what does it cost?"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from complexity.budget import BUDGETS, DEFAULT, Budget
from complexity.render import print_table
from complexity.report import Report
from complexity.weigh import STORED_BYTES, measure, measure_onnx
from runtime.door import EXIT_NEGATIVE, EXIT_OK, run
from runtime.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Run the door; returns 0 where every model is within its limits, 1 where one is over."""
    options = _parser().parse_args(arguments)
    reports = [_measure_file(path, options) for path in options.models]
    for report in reports:
        if options.json:
            print(json.dumps(report.to_dict()))
        else:
            print_table(report)
    return EXIT_OK if all(report.within for report in reports) else EXIT_NEGATIVE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m complexity", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="hold models against limits; exit code 0 within, 1 over")
    check.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="model.pt or model.onnx")
    check.add_argument("--rules", choices=BUDGETS, help=f"rules of a challenge (default {DEFAULT.name})")
    check.add_argument("--max-params", type=int, metavar="N", help="limits of your own instead")
    check.add_argument("--max-bytes", type=int, metavar="N", help="bytes of all parameters")
    check.add_argument("--max-macs", type=int, metavar="N", help="MACs of the network per clip")
    check.add_argument(
        "--dtype", choices=STORED_BYTES, default="int8", help="what a model.pt will be stored in"
    )
    check.add_argument("--json", action="store_true", help="one JSON object a line for every model")
    return parser


def _budget(options: argparse.Namespace) -> Budget:
    own = {
        "max_params": options.max_params,
        "max_param_bytes": options.max_bytes,
        "max_macs": options.max_macs,
    }
    if all(limit is None for limit in own.values()):
        return Budget.named(options.rules or DEFAULT.name)
    if options.rules:
        raise ConfigError("--rules brings its own limits: give either --rules or --max-... .")
    return Budget.custom(**own)


def _measure_file(path: Path, options: argparse.Namespace) -> Report:
    if path.suffix == ".onnx":
        return measure_onnx(path, budget=_budget(options))
    return _measure_checkpoint(path, options)


def _measure_checkpoint(path: Path, options: argparse.Namespace) -> Report:
    from train import checkpoint  # a door may enter any room; torch only where needed

    loaded = checkpoint.load(path)
    report = measure(
        loaded.build(),
        loaded.input_shape,
        stored_dtype=options.dtype,
        budget=_budget(options),
        frontend=loaded.frontend,
    )
    return dataclasses.replace(report, model=path.name, file_bytes=path.stat().st_size)


if __name__ == "__main__":
    run(main)
