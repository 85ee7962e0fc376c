"""What a model may cost: the rules of the DCASE years, or limits of one's own.

Low-complexity acoustic scene classification (DCASE Task 1) limited the same two things every year and
counted the first of them differently, so a limit is never quoted here without its year and source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runtime.errors import ConfigError, TinysceneError

Limited = Literal["params", "param_bytes", "macs"]
LIMITED: tuple[Limited, ...] = ("params", "param_bytes", "macs")
UNITS: dict[Limited, str] = {"params": "parameters", "param_bytes": "parameter bytes", "macs": "MACs"}


class OverBudgetError(TinysceneError):
    """A model costs more than its rules allow."""


@dataclass(frozen=True)
class Budget:
    """Limits with the rule they come from; None leaves a quantity free.

    Attributes:
        name: what ``--rules`` calls it.
        rule: one sentence that says what is counted.
        source: document or code that states the rule.
        max_params: parameters, zeros included.
        max_param_bytes: bytes of all parameters, in the data type that the model is stored in.
        max_macs: multiply-accumulate operations of the network for one clip, the front end left out.
    """

    name: str
    rule: str
    source: str
    max_params: int | None = None
    max_param_bytes: int | None = None
    max_macs: int | None = None

    def __post_init__(self) -> None:
        for quantity, limit in self.limits.items():
            if limit < 0:
                raise ConfigError(f"The limit of {UNITS[quantity]} is {limit}: give 0 or more.")

    @property
    def limits(self) -> dict[Limited, int]:
        """The quantities that are limited."""
        every = {name: getattr(self, f"max_{name}") for name in LIMITED}
        return {name: limit for name, limit in every.items() if limit is not None}

    def headroom(self, *, params: int, param_bytes: int, macs: int) -> dict[Limited, int]:
        """What each limit leaves; negative where it is exceeded."""
        used: dict[Limited, int] = {"params": params, "param_bytes": param_bytes, "macs": macs}
        return {name: limit - used[name] for name, limit in self.limits.items()}

    @classmethod
    def named(cls, name: str) -> Budget:
        """The rules of a challenge, see `BUDGETS`. Raises ConfigError."""
        if name not in BUDGETS:
            raise ConfigError(f"No rules are called '{name}': choose one of {', '.join(BUDGETS)}.")
        return BUDGETS[name]

    @classmethod
    def custom(
        cls, *, max_params: int | None = None, max_param_bytes: int | None = None, max_macs: int | None = None
    ) -> Budget:
        """Limits of one's own; counted as the challenges count."""
        return cls(
            "custom", "Limits given by the user.", "command line", max_params, max_param_bytes, max_macs
        )


BUDGETS: dict[str, Budget] = {
    "dcase2022": Budget(
        "dcase2022",
        "At most 128,000 parameters, zeros included, stored as INT8, and 30 million MACs per 1-s clip.",
        "DCASE 2022 Task 1 rules; NeSsi: MAX_PARAMS = 128e3, MAX_MACC = 30e6",
        max_params=128_000,
        max_param_bytes=128_000,  # the numbers are INT8, so a float model of 128,000 is over the limit
        max_macs=30_000_000,
    ),
    "dcase2023": Budget(
        "dcase2023",
        "At most 128 kB of parameters and 30 million MACs per 1-s clip; the ranking also weighs both.",
        "DCASE 2023 Task 1 rules",
        max_param_bytes=128_000,
        max_macs=30_000_000,
    ),
    "dcase2024": Budget(
        "dcase2024",
        "At most 128,000 bytes of parameters (not 131,072) in the stored data type, and 30 million MACs "
        "per 1-s clip.",
        "DCASE 2024 Task 1 baseline, helpers/nessi.py: MAX_PARAMS_MEMORY, MAX_MACS",
        max_param_bytes=128_000,
        max_macs=30_000_000,
    ),
    "dcase2025": Budget(
        "dcase2025",
        "As in 2024, for every device-specific model by itself, not for their sum.",
        "DCASE 2025 Task 1 baseline, helpers/complexity.py: MAX_PARAMS_MEMORY, MAX_MACS",
        max_param_bytes=128_000,
        max_macs=30_000_000,
    ),
}

DEFAULT = BUDGETS["dcase2024"]
