"""TAU Urban Acoustic Scenes 2020 Mobile: the ten-second clips that the 2022 edition was cut from.

Heittola et al., "Acoustic scene classification in DCASE 2020 Challenge", DCASE 2020; Zenodo 3819968.
"""

from __future__ import annotations

from collections.abc import Sequence

from train.data.datasets.tau2022 import TAU2022


class TAU2020(TAU2022):
    """TAU Urban Acoustic Scenes 2020 Mobile, development set, fold 1.

    The layout is that of 2022, but a file is a whole segment of ten seconds:
    ``audio/SCENE-CITY-LOCATION-SEGMENT-DEVICE.wav``; windows of a second are cut when they are read.

    Args:
        root: the folder that holds ``meta.csv``, ``audio`` and ``evaluation_setup``; by default what the
            environment variable ``TAU2020_DIR`` says.
        val_share: share of the training list's segments to choose checkpoints and temperature by.
        val_cities: cities of the training list to do that with instead.
        seed: of the segments held out.
    """

    name = "TAU Urban Acoustic Scenes 2020 Mobile"
    variable = "TAU2020_DIR"
    source = "https://zenodo.org/records/3819968"
    name_parts = 5

    def __init__(
        self,
        root: str | None = None,
        val_share: float = 0.0,
        val_cities: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(root, None, val_share, val_cities, seed)
