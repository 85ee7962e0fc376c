"""Entry point of ``python -m export``."""

from export.cli.main import main
from runtime.entry_point import run

if __name__ == "__main__":
    run(main)
