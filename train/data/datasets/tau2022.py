"""TAU Urban Acoustic Scenes 2022 Mobile in its official layout: one-second clips of ten scenes.

Heittola et al., "TAU Urban Acoustic Scenes 2022 Mobile, development dataset", Zenodo 6337421; the
subsets of its training list are those of the DCASE 2024 and 2025 challenges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from runtime.errors import DataError
from train.data.corpus import Clip, FileCorpus, Split
from train.data.hold_out import hold_out
from train.data.tables import corpus_folder, read_table

SCENES = (
    "airport", "bus", "metro", "metro_station", "park",
    "public_square", "shopping_mall", "street_pedestrian", "street_traffic", "tram",
)  # fmt: skip
META_COLUMNS = {"filename", "scene_label", "identifier", "source_label"}
LIST_COLUMNS = {"filename", "scene_label"}


class TAU2022(FileCorpus):
    """TAU Urban Acoustic Scenes 2022 Mobile, development set, fold 1.

    A file name says all: ``audio/SCENE-CITY-LOCATION-SEGMENT-PART-DEVICE.wav``. A group is a segment, ten
    seconds that several devices may have recorded at once and that were cut into ten parts.

    Args:
        root: the folder that holds ``meta.csv``, ``audio`` and ``evaluation_setup``; by default what the
            environment variable ``TAU2022_DIR`` says.
        subset: per cent of the training list, as in DCASE 2024: ``split5.csv`` and so on, which lie in
            ``evaluation_setup``, in ``split_setup`` or beside ``meta.csv``. By default fold1_train.csv.
        val_share: share of the training list's segments to choose checkpoints and temperature by.
        val_cities: cities of the training list to do that with instead; scores then tell how a model fares
            in a city that is not in its training.
        seed: of the segments held out.
    """

    device_groups: Mapping[str, Sequence[str]] = {
        "real": ("a", "b", "c"),
        "seen": ("s1", "s2", "s3"),
        "unseen": ("s4", "s5", "s6"),
    }
    labels = SCENES
    name: ClassVar[str] = "TAU Urban Acoustic Scenes 2022 Mobile"
    variable: ClassVar[str] = "TAU2022_DIR"
    source: ClassVar[str] = "https://zenodo.org/records/6337421"
    name_parts: ClassVar[int] = 6  # of a file name: scene, city, location, segment, part, device

    def __init__(
        self,
        root: str | None = None,
        subset: Literal[5, 10, 25, 50, 100] | None = None,
        val_share: float = 0.0,
        val_cities: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.root = corpus_folder(
            root, self.variable, name=self.name, holds="meta.csv, audio/ and evaluation_setup/",
            source=self.source,
        )  # fmt: skip
        self.licence = f"{self.name}: non-commercial use only, Tampere University, {self.source}"
        self.subset, self.val_share, self.val_cities, self.seed = subset, val_share, tuple(val_cities), seed
        if val_share and val_cities:
            raise DataError("Hold out either a val_share of the segments or val_cities, not both.")

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of fold 1, in the order of the official lists."""
        return self._test if split == "test" else self._training[split == "val"]

    def path(self, clip: Clip) -> Path:
        """A clip's id is its place in the folder."""
        return self.root / clip.id

    def describe(self) -> dict[str, Any]:
        """Name, subset and what is held out."""
        return {
            "corpus": self.name,
            "subset": self.subset,
            "val_share": self.val_share,
            "val_cities": list(self.val_cities),
            "seed": self.seed,
        }

    @cached_property
    def _test(self) -> list[Clip]:
        return self._listed(self.root / "evaluation_setup" / "fold1_evaluate.csv")

    @cached_property
    def _training(self) -> tuple[list[Clip], list[Clip]]:
        """Clips to learn from and clips held out."""
        clips = self._listed(self._training_list())
        cities = {clip.city for clip in clips}
        strangers = set(self.val_cities) - cities
        if strangers:
            raise DataError(
                f"The training list has no clips of {', '.join(sorted(strangers))}: choose val_cities from "
                f"{', '.join(sorted(cities))}."
            )
        if self.val_cities:
            held = [clip for clip in clips if clip.city in self.val_cities]
            return [clip for clip in clips if clip.city not in self.val_cities], held
        return hold_out(clips, self.val_share, self.seed)

    def _training_list(self) -> Path:
        if self.subset is None:
            return self.root / "evaluation_setup" / "fold1_train.csv"
        name = f"split{self.subset}.csv"
        places = [self.root / "evaluation_setup" / name, self.root / "split_setup" / name, self.root / name]
        return next((place for place in places if place.is_file()), places[0])

    def _listed(self, path: Path) -> list[Clip]:
        """The clips that a list names; its labels have to be those of meta.csv."""
        remedy = f"get it from {self.source}"
        if path.name.startswith("split"):
            remedy = "get it from https://github.com/CPJKU/dcase2024_task1_baseline/releases"
        clips = []
        for row in read_table(path, LIST_COLUMNS, delimiter="\t", remedy=remedy):
            name, scene = row["filename"], row["scene_label"]
            if (clip := self._meta.get(name)) is None:
                raise DataError(f"{path} names {name}, which meta.csv does not: get both from {self.source}.")
            if self.labels[clip.target] != scene:
                raise DataError(
                    f"{path} labels {name} {scene}, and meta.csv does not: get both from {self.source}."
                )
            clips.append(clip)
        return clips

    @cached_property
    def _meta(self) -> dict[str, Clip]:
        """Every clip of the corpus by file name."""
        path = self.root / "meta.csv"
        rows = read_table(path, META_COLUMNS, delimiter="\t", remedy=f"get it from {self.source}")
        return {row["filename"]: self._clip(row) for row in rows}

    def _clip(self, row: Mapping[str, str]) -> Clip:
        parts = Path(row["filename"]).stem.split("-")
        if len(parts) != self.name_parts or row["scene_label"] not in SCENES:
            raise DataError(
                f"meta.csv of {self.root} has the file {row['filename']} ({row['scene_label']}), which is "
                f"not of {self.name}: get that corpus from {self.source}."
            )
        return Clip(
            id=row["filename"],
            targets=(SCENES.index(row["scene_label"]),),
            group="-".join(parts[:4]),
            device=row["source_label"],
            city=parts[1],
        )
