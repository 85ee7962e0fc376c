"""The errors a user can cause and mend: one sentence with the remedy, never a traceback.

Two levels: ``TinysceneError`` is what a caller catches, its children say which thing was at fault.
`runtime.entry_point` turns any of them into that sentence on stderr and exit code 2.
"""

from __future__ import annotations


class TinysceneError(Exception):
    """Base of all errors whose message is one sentence that says what is wrong and what to do."""


class ModelFileError(TinysceneError):
    """A model file is missing, damaged, not of this toolkit, or gives wrong logits on this machine."""


class AudioError(TinysceneError):
    """An audio file, stream or array cannot be used as audio."""


class DeviceError(TinysceneError):
    """A microphone or another audio device cannot be found or opened."""


class DataError(TinysceneError):
    """A corpus, a label table or a split cannot be used for training."""


class ConfigError(TinysceneError):
    """A command line, a recipe or a spec holds a value that makes no sense."""


class MissingExtraError(TinysceneError):
    """A command needs an optional dependency that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This command needs the package '{package}', which is not installed: "
            f"run `pip install 'tinyscene[{extra}]'`."
        )


class AudioWarning(UserWarning):
    """Audio is classified although something is wrong with it, such as channels that cancel each other."""
