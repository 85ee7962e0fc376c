"""Entry point of ``python -m train``."""

from runtime.entry_point import run
from train.cli.main import main

if __name__ == "__main__":
    run(main)
