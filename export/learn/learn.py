"""The `learn` command: sounds, teacher, student, INT8, verification on held-out recordings, and the page."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from shlex import join, quote

from complexity.measurement import measure_onnx
from export.learn.choices import describe
from export.learn.confidence import with_confidence
from export.learn.earlier import MODEL, latest_loss, remember
from export.learn.options import Options
from export.learn.preparation import Prepared, prepare
from export.learn.recipe import student_recipe, to_yaml
from export.learn.report.measure import Measured, clips_right, measure
from export.learn.report.page import Page, compare
from export.learn.report.pictures import draw
from export.learn.teacher import make_teacher
from export.learn.trainings import fit
from export.pipeline import Exported, export_model
from runtime.errors import ConfigError, TinysceneError
from runtime.files import make_folder, write_beside
from train.checkpoints import model_pt
from train.data import ClipData
from train.quantization.verification_windows import split_windows

Show = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Learned:
    """The result.

    Attributes:
        text: the page, or the recipe where that was asked for.
        replaced: whether the output is the new file; not where an earlier one is better.
    """

    text: str
    replaced: bool = True


def learn(options: Options, show: Show) -> Learned:
    """Make a verified INT8 file of a folder of sounds; what an interrupted try has done is not repeated.

    Args:
        options: of the command line.
        show: takes lines for the user as the work goes on.

    Raises:
        TinysceneError: where the sounds or the options cannot be used, or the file is not verified.
    """
    _check_output(options)
    prepared = prepare(options, show)
    page = prepared.folder / "page.txt"
    # what was allowed to lose more than it may now is converted and measured anew
    finished = page.is_file() and options.output.is_file() and latest_loss(options) <= options.allowed_loss
    if finished and not options.start and not options.print_recipe and not options.report:
        return Learned(page.read_text(encoding="utf-8"))
    for heading, sentence in describe(prepared):
        show(f"{heading:13} {sentence}")
    if options.print_recipe:
        return Learned(_printed_recipe(prepared))
    checkpoint = _train(prepared, show)
    data = prepared.held_out_data()
    checkpoint = with_confidence(checkpoint, data, prepared.negatives)
    model_pt.save(checkpoint, prepared.folder / MODEL)
    onnx, exported, caution = _export(prepared, checkpoint, show)
    show("measuring the file on held-out recordings")
    measured = measure(onnx, data, prepared.negatives, prepared.responses, prepared.learned_responses)
    better, comparison = _compare(prepared, onnx, data)
    if better:
        remember(options, prepared.folder, onnx)
        with write_beside(options.output) as partial:
            shutil.copyfile(onnx, partial)
    result = _page(prepared, measured, exported, caution, comparison, better)
    if options.report:
        _write_report(result, options.report)
    if better:
        with write_beside(page) as partial:
            partial.write_text(result.to_text() + "\n", encoding="utf-8")
    return Learned(result.to_text(), better)


def _check_output(options: Options) -> None:
    if options.output.suffix != ".onnx":
        raise ConfigError(f"-o {options.output} is no name of a model: give one that ends in .onnx.")
    if not options.output.parent.is_dir():
        raise ConfigError(f"-o {options.output}: there is no folder {options.output.parent}; make it first.")


def _train(prepared: Prepared, show: Show) -> model_pt.Checkpoint:
    """The student, and before it the head of the teacher."""
    options, material = prepared.options, prepared.material
    teacher, weight = None, 0.0
    if options.teacher:
        run = (prepared.folder / "teacher").resolve()
        taught = make_teacher(options.teacher.resolve(), material, run, options.seed, show)
        show(f"{'teacher':13} {taught}")
        if taught.label_weight is not None:
            teacher, weight = taught.model, taught.label_weight
    recipe = student_recipe(material, prepared.plan(teacher, weight))
    start = [f"--init={prepared.earlier.model.resolve()}"] if prepared.earlier else []
    path = prepared.folder / "recipe.yaml"
    show("training the network; after Ctrl-C the same command goes on")
    return model_pt.load(fit(recipe, path, _comment(prepared, path), *start))


def _comment(prepared: Prepared, path: Path) -> str:
    model = prepared.folder / "student" / "model.pt"
    start = f" --init {quote(str(prepared.earlier.model))}" if prepared.earlier else ""
    config, weights = quote(str(path)), quote(str(model))
    return (
        f"What `tinyscene learn {quote(str(prepared.options.sounds))}` chose. By hand, and further:\n\n"
        f"  python -m train fit --config {config}{start}\n"
        f"  python -m train qat --config {config} --checkpoint {weights}\n"
        f"  python -m export onnx {weights}"
    )


def _printed_recipe(prepared: Prepared) -> str:
    teacher = None
    if prepared.options.teacher:
        teacher = (prepared.folder / "teacher" / "model.pt").resolve()
    recipe = student_recipe(prepared.material, prepared.plan(teacher, 0.0))
    comment = _comment(prepared, Path("RECIPE"))
    if teacher:
        comment += f"\n\n`learn` without --print-recipe makes the teacher, {teacher}."
    return to_yaml(recipe, comment).rstrip()


def _export(
    prepared: Prepared, checkpoint: model_pt.Checkpoint, show: Show
) -> tuple[Path, Exported, tuple[str, ...]]:
    """The verified file in the run's folder, and a sentence where it loses accuracy within chance.

    One of thirty windows is three points: where the loss may be chance, it passes, and is told.
    """
    show("converting to INT8 and verifying")
    output = prepared.folder / "model.onnx"
    tolerance = prepared.options.allowed_loss
    _, windows = split_windows(checkpoint)
    exported = export_model(checkpoint, output, method="ptq", tolerance=tolerance, windows=windows)
    quality = exported.verification.quality
    cautions: tuple[str, ...] = ()
    chance = quality is not None and quality.loss_interval[0] <= tolerance
    if quality and exported.verification.correct and not exported.verification.good and chance:
        cautions = (
            f"INT8 loses {100 * quality.loss:.1f} points of accuracy on {quality.windows} windows, which may "
            "be chance: more held-out recordings would show it",
        )
        exported = export_model(
            checkpoint, output, method="ptq", tolerance=quality.least_tolerance, windows=windows
        )
    if not exported.verification.passed:
        raise TinysceneError(_not_verified(prepared, exported, tolerance))
    return output, exported, cautions


def _not_verified(prepared: Prepared, exported: Exported, tolerance: float) -> str:
    if not exported.verification.correct:
        return "The file does not compute what the network computes: report it with the folder of the run."
    recipe, model = prepared.folder / "recipe.yaml", prepared.folder / "student" / "model.pt"
    least = exported.verification.quality.least_tolerance if exported.verification.quality else 1.0
    return (
        f"INT8 loses more accuracy than {tolerance:g}: accept it with --tolerance {least:.4f}, or train INT8 "
        f"with `python -m train qat --config {quote(str(recipe))} "
        f"--checkpoint {quote(str(model))}`."
    )


def _compare(prepared: Prepared, onnx: Path, data: ClipData) -> tuple[bool, str]:
    """Whether the new file replaces the output, and a sentence about the earlier one."""
    if prepared.earlier is None or prepared.earlier.onnx is None:
        return True, ""
    at_its_rate = prepared.held_out_data(prepared.earlier.frontend)
    better, sentence = compare(clips_right(prepared.earlier.onnx, at_its_rate), clips_right(onnx, data))
    if better or prepared.options.output.resolve() != prepared.earlier.onnx.resolve():
        return True, sentence
    return False, f"{sentence}; {prepared.options.output} stays as it was, and the new file is {onnx}"


def _page(
    prepared: Prepared,
    measured: Measured,
    exported: Exported,
    cautions: tuple[str, ...],
    comparison: str,
    better: bool,
) -> Page:
    output = prepared.options.output if better else prepared.folder / "model.onnx"
    trained, held_out = prepared.division.count("train"), prepared.division.count("val")
    file = quote(str(output))
    again = ["tinyscene", "learn", str(prepared.options.sounds), "-o", str(output), "--from", str(output)]
    return Page(
        output=str(output),
        measured=measured,
        cost=measure_onnx(prepared.folder / "model.onnx"),
        file_bytes=exported.file_bytes,
        recordings={label: (trained[label], held_out[label]) for label in prepared.sounds.labels},
        microphones=prepared.material.responses,
        cautions=(*prepared.division.cautions, *cautions),
        comparison=comparison,
        next=(
            (f"tinyscene listen --model {file}", "try it with the microphone"),
            (join([*again, *prepared.options.of_the_data()]), "after recording more"),
        ),
    )


def _write_report(page: Page, folder: Path) -> None:
    make_folder(folder, "name another --report")
    pictures = draw(page.measured, folder)
    with write_beside(folder / "report.md") as partial:
        partial.write_text(page.to_markdown(pictures), encoding="utf-8")
