"""The entry point of ``python -m train``: ``fit``, ``test``, ``pack`` and so on."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from runtime import entry_point
from runtime.cli import tinyscene
from runtime.errors import ConfigError
from train.cli import sounds

_USAGE = """usage: python -m train COMMAND ...

From a folder of sounds to one verified .onnx file, with every choice made and printed:

    python -m train learn SOUNDS -o my.onnx

Step by step:

  fit         train a student by a recipe:  python -m train fit --config train/recipes/synthetic_demo.yaml
              or on a folder of class folders:  python -m train fit --sounds DIR
  qat         go on training a model.pt with INT8's rounding: ... qat --config RECIPE --checkpoint model.pt
  validate    score a run's model.pt on the validation split
  test        score a run's model.pt on the test split
  predict     write a run's predictions for the test split as DCASE's output.csv
  teach       store teachers' logits for a corpus; distillation learns from them
  sweep       repeat a recipe with several seeds and values; one table
  pack        decode and resample a recipe's corpus once, into one HDF5 file
  check-data  find unreadable, silent, clipped and duplicate clips, and splits that leak
  import      make a model.pt from a published state_dict
  import-logits  make a store from a published .pt tensor of a teacher's logits
  render      write a WAV file of synthetic scenes
  tag         print the most probable labels of recordings over time, by a teacher or a student

`python -m train COMMAND --help` lists the options; any value of a recipe can be overridden on the command
line (--model.lr 1e-3), and --print_config shows all of them.
"""

_MODULES = {  # of the ``main`` of commands that are no verbs of Lightning
    "check-data": "train.cli.check_data",
    "import": "train.checkpoints.published",
    "import-logits": "train.distillation.import_logits",
    "pack": "train.cli.pack",
    "render": "train.cli.render",
    "sweep": "train.cli.sweep",
    "tag": "train.cli.tag",
    "teach": "train.distillation.precompute",
}
# It trains and exports, and this package imports nothing to its right: it is found as `tinyscene` finds it.
_REGISTERED = ("learn",)


def main(arguments: list[str]) -> int:
    """Hand over to the command named first."""
    # onnxruntime may be imported by a library further down; it must never phone home
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    entry_point.wait_without_spinning()
    command = arguments[0] if arguments else ""
    if command in ("", "-h", "--help"):
        print(_USAGE)
        return entry_point.EXIT_OK if command else entry_point.EXIT_UNUSABLE
    entry_point.require("lightning", extra="train")
    if command in _REGISTERED:
        return _run_registered(arguments)
    if command in _MODULES:
        main_of: Callable[[list[str]], int] = importlib.import_module(_MODULES[command]).main
        return main_of(arguments[1:])
    if command not in ("fit", "qat", "validate", "test", "predict"):
        print(f"error: there is no command '{command}'.\n\n{_USAGE}", file=sys.stderr)
        return entry_point.EXIT_UNUSABLE
    _run(sounds.expand(arguments))
    return entry_point.EXIT_OK


def _run_registered(arguments: list[str]) -> int:
    """Run a command of `tinyscene` that another package registers."""
    command = tinyscene.all_commands().get(arguments[0])
    if command is None:
        raise ConfigError(
            f"`{arguments[0]}` is a command of the package export, which is not installed here: run "
            "`pip install 'tinyscene[train]'`."
        )
    return command.run(arguments[1:])


def _run(arguments: list[str]) -> None:
    """Run a verb of Lightning, or QAT, which is a fit."""
    from train.cli.lightning_cli import TrainCLI
    from train.cli.lightning_errors import as_config_errors
    from train.cli.qat_cli import QatCLI

    warnings.formatwarning = _sentence  # after Lightning's import, which sets its own
    sys.argv = [sys.argv[0], *arguments]  # what LightningCLI reads and starts further processes with
    with as_config_errors("Lightning cannot run with these options"):
        try:
            if arguments[0] == "qat":
                QatCLI(["fit", *arguments[1:]])
            else:
                TrainCLI()
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # Lightning would exit with 1, as for a no
                raise error.__context__ from None
            raise


def _sentence(message: Warning | str, *_: Any, **__: Any) -> str:
    """A warning without the place in the code."""
    return f"warning: {message}\n"
