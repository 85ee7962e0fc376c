"""The door of the training room: ``python -m train fit | validate | test | import | render``."""

from __future__ import annotations

import os
import sys

from runtime import door

_USAGE = """usage: python -m train COMMAND ...

  fit       train a student by a recipe:  python -m train fit --config train/recipes/synthetic_demo.yaml
  validate  score a run's model.pt on the validation split
  test      score a run's model.pt on the test split
  import    make a model.pt from a published state_dict
  render    write a WAV file of synthetic scenes

`python -m train COMMAND --help` tells the rest; any value of a recipe can be overridden on the command
line (--model.lr 1e-3), and --print_config shows all of them.
"""


def main(arguments: list[str]) -> int:
    """Hand over to the command named first."""
    # onnxruntime may be imported by a library further down; it must never phone home
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    command = arguments[0] if arguments else ""
    if command in ("", "-h", "--help"):
        print(_USAGE)
        return door.EXIT_OK if command else door.EXIT_UNUSABLE
    door.require("lightning", extra="train")
    if command == "import":
        from train.importer import main as import_main

        return import_main(arguments[1:])
    if command == "render":
        from train.data.render import main as render_main

        return render_main(arguments[1:])
    if command not in ("fit", "validate", "test"):
        print(f"error: there is no command '{command}'.\n\n{_USAGE}", file=sys.stderr)
        return door.EXIT_UNUSABLE
    from train.cli import TrainCLI

    sys.argv = ["python -m train", *arguments]  # where LightningCLI looks
    TrainCLI()
    return door.EXIT_OK


if __name__ == "__main__":
    door.run(main)
