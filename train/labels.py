"""Label lists of command lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime.errors import ConfigError
from train.data.datasets.tau2022 import SCENES

# DCASE's baselines and CP-JKU's systems number their outputs in this, the alphabetical order.
NAMED: Mapping[str, Sequence[str]] = {"tau": SCENES}


def parse_labels(text: str) -> tuple[str, ...]:
    """Labels in the order of the outputs, from ``a,b,c`` or from a name in `NAMED`.

    Raises:
        ConfigError: where a label is empty or occurs twice.
    """
    if text in NAMED:
        return tuple(NAMED[text])
    labels = tuple(label.strip() for label in text.split(","))
    for position, label in enumerate(labels):
        if not label:
            raise ConfigError(
                f"--labels: label {position + 1} of {len(labels)} is empty: name every output, as in 'a,b,c'."
            )
        if (first := labels.index(label)) != position:
            raise ConfigError(
                f"--labels names '{label}' twice (labels {first + 1} and {position + 1}): every output has a "
                "name of its own."
            )
    return labels
