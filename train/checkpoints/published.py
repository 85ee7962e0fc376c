"""``python -m train import``: a published state_dict becomes a model.pt."""

from __future__ import annotations

import argparse
import json
from typing import Any

from runtime import entry_point
from runtime.errors import ConfigError
from runtime.spec import PRESETS, FrontEndSpec
from train import students
from train.checkpoints import model_pt


def main(arguments: list[str]) -> int:
    """Read, check and write; returns an exit code."""
    options = _parser().parse_args(arguments)
    labels = tuple(label.strip() for label in options.labels.split(","))
    model = model_pt.import_state_dict(
        options.state_dict,
        student=options.student,
        arguments={**_json(options.arguments), "n_classes": len(labels)},
        frontend=FrontEndSpec.preset(options.frontend),
        labels=labels,
        provenance={"imported": True, "licence": options.licence},
    )
    model_pt.save(model, options.output)
    print(f"wrote {options.output}: {options.student}, {len(labels)} labels, front end {options.frontend}")
    return entry_point.EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train import", description=__doc__)
    parser.add_argument("state_dict", help="file of torch.save(model.state_dict())")
    parser.add_argument(
        "--labels", required=True, help="class names in the order of the outputs: 'airport,bus,...'"
    )
    parser.add_argument("--student", default="cp_mobile", choices=sorted(students.STUDENTS))
    parser.add_argument("--arguments", default="{}", help="the student's arguments as JSON")
    parser.add_argument("--frontend", default="cp_mel", choices=sorted(PRESETS))
    parser.add_argument("--licence", default="unknown", help="of the weights; travels with the model")
    parser.add_argument("-o", "--output", default="model.pt")
    return parser


def _json(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"--arguments is not JSON ({error}): write e.g. '{{\"base_channels\": 32}}'."
        ) from error
    if not isinstance(values, dict):
        raise ConfigError("--arguments is a JSON object: write e.g. '{\"base_channels\": 32}'.")
    return values
