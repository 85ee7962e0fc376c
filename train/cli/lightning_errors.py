"""Lightning's exceptions about options, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from runtime.errors import ConfigError


@contextmanager
def as_config_errors(what: str, *others: type[Exception]) -> Iterator[None]:
    """Raise ConfigError where Lightning finds that options do not fit each other or the machine.

    Args:
        what: what it refuses, the beginning of the sentence.
        others: further exceptions that can be about nothing but options where this is used.
    """
    refusals: tuple[type[Exception], ...] = (MisconfigurationException, *others)
    try:
        yield
    except refusals as error:
        reason = " ".join(str(error).split()).rstrip(".!")
        raise ConfigError(f"{what}: {reason}.") from error
