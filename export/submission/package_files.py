"""The files of a submission package besides its models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np
import soundfile

from complexity import Report
from export.submission.development_split import DevelopmentSplit
from export.submission.inference import GENERAL
from export.submission.vendor import vendor
from runtime.errors import TinysceneError

DEVICES = ("a", "b", "c", *(f"s{number}" for number in range(1, 11)))  # those of the organisers' counter
_REQUIREMENT = re.compile(r"[\w.-]*\w")  # the name that a requirement begins with
_ORGANISERS = ("tqdm", "pandas", "scikit-learn")  # of the package, and of the organisers' two scripts


def write_files(
    folder: Path, name: str, index: int, reports: Mapping[str, Report], split: DevelopmentSplit
) -> None:
    """Write all files but the models; those of an earlier submission with this index are removed."""
    package, submission = folder / name, f"{name}_{index}"
    for old in (package / "tinyscene", package / "ckpts" / submission, folder / "predictions" / submission):
        shutil.rmtree(old, ignore_errors=True)
    vendored = f"{name}.tinyscene"
    imported = vendor(("export.submission.inference", "runtime.entry_point"), package / "tinyscene", vendored)
    requirements = [*_requirements_of(imported | {"torchinfo"}), *_ORGANISERS]
    readme = _README.format(
        name=name, submission=submission, version=version("tinyscene"), test_clips=split.source
    )
    team = name.removesuffix("_task1")
    files = {
        folder / "pyproject.toml": _PYPROJECT.format(name=name, requirements=json.dumps(requirements)),
        folder / "README.md": readme,
        package / "__init__.py": f'"""Submissions of {team} to DCASE 2025 Task 1."""\n',
        package / "resources" / "__init__.py": "",
        package / "resources" / "test.csv": split.to_csv(),
        package / f"{submission}.py": _MODULE.format(name=name, submission=submission),
        folder / "predictions" / submission / "complexity.json": complexity_json(reports),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    # the organisers' counter makes the input of every device from this file
    noise = np.random.default_rng(0).normal(scale=0.01, size=44_100)
    soundfile.write(package / "resources" / "dummy.wav", noise, 44_100, subtype="PCM_16")


def _requirements_of(imported: set[str]) -> list[str]:
    """The requirements of tinyscene that these modules come from: the models were verified with them."""
    try:
        required = requires("tinyscene") or []
    except PackageNotFoundError as error:
        raise TinysceneError(
            "The package takes its requirements from the installed tinyscene: run `pip install .` first."
        ) from error
    found = []
    for text in (requirement.partition(";")[0] for requirement in required):
        name = _REQUIREMENT.match(text)
        if name and name[0] in imported and text not in found:
            found.append(text)
    return found


def complexity_json(reports: Mapping[str, Report]) -> str:
    """The report of the organisers' counter on the same package: MACs, and bytes of parameters, by device."""
    per_device = {}
    for device in DEVICES:
        report = reports.get(device, reports[GENERAL])
        per_device[device] = {"MACs": report.macs, "Params": report.param_bytes}
    values = {
        "per_device": per_device,
        "max_MACs": max(row["MACs"] for row in per_device.values()),
        "max_Params": max(row["Params"] for row in per_device.values()),
    }
    return json.dumps(values, indent=2) + "\n"


_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.0.0"
description = "Submission to DCASE 2025 Task 1: low-complexity acoustic scene classification"
readme = "README.md"
requires-python = ">=3.10"
dependencies = {requirements}

[tool.setuptools.packages.find]
include = ["{name}*"]

[tool.setuptools.package-data]
"{name}" = ["ckpts/*/*", "resources/*"]
"""

_MODULE = '''\
"""{submission}: the functions that the evaluation of DCASE 2025 Task 1 calls.

The models are ONNX files. `load_model` and `get_model_for_device` give torch modules that hold the same
networks with parameters in the data types of those files, for the organisers to count; see
{name}/tinyscene/export/submission/inference.py.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from {name}.tinyscene.export.submission import inference
from {name}.tinyscene.export.submission.inference import get_model_for_device, load_inputs
from {name}.tinyscene.runtime.entry_point import run

__all__ = ["get_model_for_device", "load_inputs", "load_model", "predict"]


def load_model(model_file_path: str | None = None) -> inference.Submission:
    """Load the models of a folder with general.onnx and general.pt; those of this package where None."""
    return inference.load_model(model_file_path or Path(__file__).parent / "ckpts" / "{submission}")


def predict(
    file_paths: list[str],
    device_ids: list[str],
    model_file_path: str | None = None,
    use_cuda: bool = False,
) -> tuple[list[Tensor], list[str]]:
    """Logits [n_classes] of each file, in order, and the class names in the order of the logits.

    The models run on the CPU, whatever ``use_cuda`` says.
    """
    return inference.predict(file_paths, device_ids, load_model(model_file_path))


if __name__ == "__main__":
    run(lambda arguments: inference.main(arguments, "{submission}", predict))
'''

_README = """\
# {name}: submission to DCASE 2025 Task 1

Low-complexity acoustic scene classification with device information. Written by tinyscene {version},
whose runtime is in `{name}/tinyscene` (Apache-2.0, http://www.apache.org/licenses/LICENSE-2.0).

```sh
pip install .  # in this folder
python -m {name}.{submission} /path/to/TAU-2025-evaluation-set
```

The command writes `predictions/{submission}/output.csv`; `complexity.json` beside it is the report of the
models as exported. The organisers' `test_complexity.py` and `evaluate_submission.py` run on the package as
well (`--submission_name {name} --submission_index` and the last digit of `{submission}`).

`{name}/ckpts` holds, for each submission, `general.onnx` and the models of single devices. A device without a
model of its own uses the general one. Each file names its training data: `onnx.load(path).metadata_props`.

`{name}/resources/test.csv` lists the clips of the development set that `evaluate_submission.py` scores:
{test_clips}.
"""
