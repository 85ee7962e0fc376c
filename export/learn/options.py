"""What the user chose on the command line of ``learn``; None leaves a choice to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.learn.data.background import QUIET
from train.checkpoints.identity import describe_file
from train.quantization.quality import TOLERANCE

_NOT_OF_A_MODEL = ("output", "report", "print_recipe", "run", "tolerance")  # the same model whatever they are


@dataclass(frozen=True)
class Options:
    """The command line.

    Attributes:
        sounds: a folder of class folders, or a table.
        output: the .onnx file to write.
        test: class folders, or a table, to test on; then nothing of ``sounds`` is held out.
        group: what makes files one recording, see `export.learn.data.recordings`.
        negatives: folders of sounds of none of the classes, beside ``not_a_class`` in ``sounds``.
        background: folders of sounds of the class ``background``; ``quiet``: the quiet parts of ``sounds``.
        also: folders of unlabelled sounds that the teacher labels.
        teacher: EfficientAT's state_dict, or a model.pt.
        start: the .onnx or model.pt of an earlier run, to go on from.
        budget: of `export.learn.recipe.BUDGETS`.
        frontend: a preset of `runtime.spec.PRESETS`.
        steps: of the training.
        seed: of split and training.
        changes: dotted key to YAML value, of the recipe.
        despite_findings: go on although the check of the sounds finds faults.
        tolerance: loss of accuracy by INT8 that passes, 0 to 1.
        run: folder of intermediate results; beside the output by default.
        report: folder of the report in Markdown.
        print_recipe: print the recipe and stop.
    """

    sounds: Path
    output: Path
    test: Path | None = None
    group: str | None = None
    negatives: tuple[Path, ...] = ()
    background: tuple[str, ...] = ()
    also: tuple[Path, ...] = ()
    teacher: Path | None = None
    start: Path | None = None
    budget: str = "dcase2024"
    frontend: str | None = None
    steps: int | None = None
    seed: int = 0
    changes: tuple[tuple[str, str], ...] = ()
    despite_findings: bool = False
    tolerance: float | None = None
    run: Path | None = None
    report: Path | None = None
    print_recipe: bool = False

    @property
    def all_runs(self) -> Path:
        """Folder of the runs of this output, one below it for each state of sounds and choices."""
        return self.run or self.output.with_name(f"{self.output.stem}_run")

    @property
    def allowed_loss(self) -> float:
        """``tolerance``, or what stands for it."""
        return float(TOLERANCE if self.tolerance is None else self.tolerance)

    @property
    def background_folders(self) -> tuple[Path, ...]:
        """Those of ``background`` that are folders."""
        return tuple(Path(given) for given in self.background if given != QUIET)

    def of_the_data(self) -> list[str]:
        """The words of the command line without which an earlier model has other recordings before it.

        Its network and its front end come with ``--from``.
        """
        given: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("test", (self.test,)),
            ("group", (self.group,)),
            ("negatives", self.negatives),
            ("background", self.background),
            ("also", self.also),
            ("teacher", (self.teacher,)),
            ("run", (self.run,)),
        )
        pairs = [(key, str(value)) for key, values in given for value in values if value is not None]
        return [word for key, value in pairs for word in (f"--{key}", value)]

    def values(self) -> dict[str, Any]:
        """What a model depends on, as JSON values; files by their checksums."""
        values = {key: value for key, value in asdict(self).items() if key not in _NOT_OF_A_MODEL}
        for key in ("teacher", "start"):
            path: Path | None = getattr(self, key)
            values[key] = describe_file(path) if path else None
        for key in ("sounds", "test"):
            values[key] = getattr(self, key) and str(getattr(self, key).resolve())
        return {
            **values,
            **{key: [str(p.resolve()) for p in getattr(self, key)] for key in ("negatives", "also")},
            "background": [p if p == QUIET else str(Path(p).resolve()) for p in self.background],
        }
