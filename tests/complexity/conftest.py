"""A switch to write the golden reports anew: ``pytest tests/complexity --overwrite-goldens``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

GOLDENS = Path(__file__).parent / "goldens"


def pytest_addoption(parser):
    parser.addoption("--overwrite-goldens", action="store_true", help="write the golden reports anew")


@pytest.fixture
def compare_with_golden(request):
    """Compare JSON values with a stored file, or store them with ``--overwrite-goldens``."""

    def compare(name, values):
        path = GOLDENS / f"{name}.json"
        text = json.dumps(values, indent=1) + "\n"
        if request.config.getoption("--overwrite-goldens", default=False):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert json.loads(path.read_text()) == json.loads(text)

    return compare
