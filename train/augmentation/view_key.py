"""What the views of a training depend on: the key by which a logit store is recognised as made for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from runtime.spec import FrontEndSpec
from train.augmentation.config import Augmentation
from train.data import ClipWindows


def view_key(
    dataset: ClipWindows,
    batch_size: int,
    *,
    seed: int,
    spec: FrontEndSpec,
    augmentation: Augmentation | None,
) -> dict[str, Any]:
    """What the views of a training depend on besides epoch and batch number, as JSON values.

    Two trainings with equal keys show their students the same views, so a logit store made for the one
    serves the other.
    """
    clips = [(clip.id, length) for clip, length in zip(dataset.clips, dataset.lengths, strict=True)]
    settings = dataclasses.asdict(augmentation) if augmentation else None
    for table, folder in ((settings, "impulse_dir"), ((settings or {}).get("capture"), "response_dir")):
        if table and table[folder]:
            table[folder] = Path(table[folder]).name
    for half in ("scene", "capture"):  # stores of releases without them are for views without them
        if settings and settings[half] is None:
            del settings[half]
    key = {
        "clips": hashlib.sha256(json.dumps(clips).encode()).hexdigest(),
        "window": dataset.length,
        "seed": seed,
        "batch_size": batch_size,
        "jitter": dataset.jitter,
        "frontend": spec.to_dict(),
        "augmentation": settings,
    }
    if dataset.random_place:
        key["random_place"] = True
    for name in ("negative_share", "quiet_db"):
        if getattr(dataset, name) is not None:
            key[name] = getattr(dataset, name)
    values: dict[str, Any] = json.loads(json.dumps(key))
    return values
