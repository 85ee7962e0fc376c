"""The teacher: EfficientAT's tagger with a new head for the classes, or a model.pt that has them already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.learn.recipe import Material, teacher_recipe
from export.learn.trainings import fit
from export.verification.window_scores import float_scores_of_parts, parts_of, targets_of
from runtime.errors import ConfigError, ModelFileError
from train.checkpoints import model_pt
from train.checkpoints.published import import_weights
from train.checkpoints.torch_file import read_tensors
from train.data import ClipData, Table
from train.quantization.quality import Share

_CLASSIFIER = "classifier.5.weight"  # the last layer of EfficientAT's published files
_GOOD, _USABLE = 0.85, 0.6  # share of held-out windows that it labels right
_LABEL_WEIGHT = 0.5  # where the labels are as good as the teacher


@dataclass(frozen=True)
class Taught:
    """A teacher of these classes.

    Attributes:
        model: its model.pt.
        right: windows of held-out recordings that it labels right.
    """

    model: Path
    right: Share

    @property
    def label_weight(self) -> float | None:
        """Share of the labels beside the teacher; None where the labels alone are better."""
        if self.right.value >= _GOOD:
            return 0.0
        return _LABEL_WEIGHT if self.right.value >= _USABLE else None

    def __str__(self) -> str:
        shares = {0.0: "the student learns from it alone", None: "it is left out, as the labels are better"}
        return f"it labels {self.right.value:.0%} of held-out windows right: " + shares.get(
            self.label_weight, "the student learns from it and from the labels, half and half"
        )


def make_teacher(file: Path, material: Material, run: Path, seed: int, show: Callable[[str], None]) -> Taught:
    """Train a head for the classes, unless the file is a model.pt of these classes; measure it.

    Args:
        file: EfficientAT's state_dict, or a model.pt.
        material: the sounds.
        run: folder of the head's training.
        seed: of the training.
        show: takes lines for the user.

    Raises:
        ConfigError: where the file is neither.
    """
    own = _own_model(file)
    if own is not None and set(own.labels) == set(material.labels):
        model = file
    else:
        start = _encoder(file, own, run)
        arguments = {"width": model_pt.load(start).arguments["width"], "head": "linear"}
        show("training a head of the teacher for your classes")
        model = fit(
            teacher_recipe(material, run, arguments, seed), run.with_suffix(".yaml"),
            f"The head of the teacher:\n\n  python -m train fit --config {run.with_suffix('.yaml')} "
            f"--init {start}",
            f"--init={start}",
        )  # fmt: skip
    return Taught(model, _held_out_right(model, material))


def _own_model(file: Path) -> model_pt.Checkpoint | None:
    """The model.pt that a file is; None for published weights."""
    try:
        return model_pt.load(file)
    except ModelFileError:
        return None


def _encoder(file: Path, own: model_pt.Checkpoint | None, run: Path) -> Path:
    """A model.pt of EfficientAT's network."""
    if own is not None:
        if own.student != "mobilenet":
            raise ConfigError(
                f"--teacher {file} is a {own.student} of other labels than these classes: give a model.pt of "
                "these classes, or EfficientAT's mn04_as_mAP_432.pt."
            )
        return file
    output = run.with_name("pretrained.pt")
    if not output.is_file():
        ((path, checkpoint),) = import_weights(file, output, _labels(file), licence="as published")
        model_pt.save(checkpoint, path)
    return output


def _labels(file: Path) -> tuple[str, ...]:
    """Names for the outputs of a published file; the head that has them is replaced."""
    weights = read_tensors(file).values
    classifier = weights.get(_CLASSIFIER) if isinstance(weights, dict) else None
    if classifier is None:
        raise ConfigError(
            f"--teacher {file} is neither a model.pt nor one of EfficientAT's MobileNets (it has no weights "
            f"'{_CLASSIFIER}'): download mn04_as_mAP_432.pt from github.com/fschmid56/EfficientAT."
        )
    return tuple(f"output {number}" for number in range(len(classifier)))


def _held_out_right(model: Path, material: Material) -> Share:
    checkpoint = model_pt.load(model)
    data = ClipData(
        Table(str(material.table), root=str(material.root)),
        sample_rate=checkpoint.frontend.sample_rate, clip_s=min(checkpoint.clip_s, 1.0),
        quiet_db=material.quiet_db, in_memory=material.in_memory,
    )  # fmt: skip
    data.setup("validate")
    scores = float_scores_of_parts(checkpoint, parts_of(data, "val"))
    order = _order(checkpoint.labels, data.labels)
    right = scores[:, order].argmax(axis=1) == targets_of(data, "val").argmax(axis=1)
    return Share(int(right.sum()), len(right))


def _order(labels: Sequence[str], expected: Sequence[str]) -> list[int]:
    return [labels.index(label) for label in expected]
