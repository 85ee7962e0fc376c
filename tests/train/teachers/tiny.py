"""Miniatures of the teachers, by name."""

from __future__ import annotations

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "cp_resnet": {"base_channels": 4, "last_channels": 6},
    "ced": {"dim": 64, "depth": 2},
    "passt": {"dim": 64, "depth": 2},
    "ast": {"dim": 64, "depth": 2},
    "beats": {"dim": 64, "depth": 2, "embed_dim": 16},
    "mobilenet": {"width": 0.1},
    "narrow_resnet": {"base_channels": 16},
}
