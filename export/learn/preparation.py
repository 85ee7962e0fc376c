"""From the user's sounds and options to everything that is chosen before the training."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import complexity
from export.learn.data.background import LABEL, QUIET, QUIET_DB, with_folders, with_quiet_parts
from export.learn.data.check import Examined, check
from export.learn.data.negatives import Negatives, find_negatives
from export.learn.data.sounds import Sounds, folder_facts, read_sounds
from export.learn.data.split import Division, divide, write_table
from export.learn.earlier import TABLE, Earlier, find_earlier, is_as_written, latest_run
from export.learn.front_end import Files, choose_frontend
from export.learn.options import Options
from export.learn.recipe import Material, Plan, choose_steps, choose_width, cost
from runtime.errors import ConfigError
from runtime.files import make_folder
from runtime.spec import FrontEndSpec
from train.data import ClipData, Table

_HELD_OUT_RESPONSES = 8  # one impulse response in so many is left for the test
_LEAST_RESPONSES = 2  # one to train with
_MEMORY_SHARE = 0.5  # of the machine's, that waveforms may take
_AGAIN = 0.5  # of the steps, where a training goes on from an earlier one
_SAMPLE_BYTES = 4


@dataclass(frozen=True)
class Prepared:
    """Everything that is chosen before the training.

    Attributes:
        options: of the command line.
        sounds: that the user has.
        division: which of them train.
        negatives: sounds of none of the classes.
        examined: what the check of the sounds found.
        earlier: the model to go on from.
        folder: of this run.
        quiet: whether quiet parts of the sounds are a class.
        files: what their headers say.
        frontend: name of the front end.
        responses: folder of the impulse responses of microphones; None where they are too few.
        arguments: of CP-Mobile.
        cost: of the network.
    """

    options: Options
    sounds: Sounds
    division: Division
    negatives: Negatives
    examined: Examined
    earlier: Earlier | None
    folder: Path
    quiet: bool
    files: Files
    frontend: str
    responses: str | None
    arguments: Mapping[str, Any]
    cost: complexity.Report

    @property
    def table(self) -> Path:
        """The table of clips and splits that the recipes read."""
        return self.folder / TABLE

    @cached_property
    def held_out_responses(self) -> tuple[str, ...]:
        """Names of those that are not trained with."""
        return tuple(self._response_names[::_HELD_OUT_RESPONSES])

    @property
    def learned_responses(self) -> tuple[str, ...]:
        """Names of those that are trained with."""
        return tuple(name for name in self._response_names if name not in self.held_out_responses)

    @property
    def _response_names(self) -> list[str]:
        return _wave_names(self.responses) if self.responses else []

    @cached_property
    def material(self) -> Material:
        """What the recipes are made of."""
        return Material(
            labels=self.sounds.labels,
            windows=self.examined.windows,
            table=self.table.resolve(),
            root=self.sounds.root.resolve(),
            short=self.files.short,
            negatives=tuple(folder.resolve() for folder in self.negatives.folders),
            held_out_negatives=self.negatives.held_out_names,
            also=tuple(folder.resolve() for folder in self.options.also),
            responses=self.responses is not None,
            held_out_responses=self.held_out_responses,
            in_memory=self._fits_memory,
            quiet_db=QUIET_DB if self.quiet else None,
        )

    @property
    def _fits_memory(self) -> bool:
        rate = FrontEndSpec.preset(self.frontend).sample_rate
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return self.examined.hours * 3600 * rate * _SAMPLE_BYTES < _MEMORY_SHARE * memory

    @property
    def steps(self) -> int:
        """Of the training."""
        share = _AGAIN if self.earlier is not None else 1.0
        return self.options.steps or choose_steps(self.examined.windows, share)

    def plan(self, teacher: Path | None, label_weight: float) -> Plan:
        """How the student is trained."""
        return Plan(
            run=(self.folder / "student").resolve(),
            arguments=self.arguments,
            frontend=self.frontend,
            steps=self.steps,
            seed=self.options.seed,
            label_weight=label_weight,
            teacher=teacher,
            changes=dict(self.options.changes),
        )

    def held_out_data(self, frontend: str | None = None) -> ClipData:
        """The held-out recordings as the validation split, at the rate of a front end (this run's)."""
        spec = FrontEndSpec.preset(frontend or self.frontend)
        table = Table(str(self.table), root=str(self.sounds.root))
        data = ClipData(
            table, sample_rate=spec.sample_rate, quiet_db=self.material.quiet_db,
            in_memory=self.material.in_memory,
        )  # fmt: skip
        data.setup("validate")
        return data


def prepare(options: Options, show: Callable[[str], None]) -> Prepared:
    """Read, divide and check the sounds.

    Args:
        options: of the command line.
        show: takes lines for the user.

    Raises:
        DataError: where the sounds cannot be learned from, in one sentence.
        ConfigError: where options contradict each other.
    """
    _check_options(options)
    earlier = find_earlier(options)
    sounds = with_folders(read_sounds(options.sounds), options.background_folders)
    test = read_sounds(options.test) if options.test else None
    division = divide(sounds, test, options.group, earlier.splits if earlier else {}, options.seed)
    negatives = find_negatives(_negative_folders(options, sounds), options.also)
    files = sounds.files()
    chosen = choose_frontend(options.frontend, files)
    frontend = earlier.frontend if earlier and not options.frontend else chosen
    quiet = QUIET in options.background or len(sounds.labels) == 1
    classes = len({*sounds.labels, *([LABEL] if quiet else [])})
    if earlier is not None:
        arguments = earlier.arguments
        report = cost(arguments, frontend, classes)
    else:
        arguments, report = choose_width(options.budget, frontend, classes)
    responses = os.environ.get("MIC_IR_DIR") or None
    others = [*negatives.folders, *options.also]
    if responses and Path(responses).is_dir():
        others.append(Path(responses))
    if responses and len(_wave_names(responses)) < _LEAST_RESPONSES:
        responses = None
    folder = options.all_runs / _fingerprint(options, sounds, test, others)
    _refuse_other_output(options, folder)
    make_folder(folder, "name another -o")
    if quiet:
        show("looking for quiet parts")
        sounds, division = with_quiet_parts(sounds, division, folder / "quiet", files.rate)
    write_table(folder / TABLE, division)
    show(f"checking {len(division.clips)} files")
    corpus = Table(str(folder / TABLE), root=str(sounds.root))
    samples_hz = FrontEndSpec.preset(frontend).sample_rate
    examined = check(corpus, samples_hz, folder / "check.json", go_on=options.despite_findings)
    return Prepared(
        options, sounds, division, negatives, examined, earlier, folder, quiet, files, frontend, responses,
        arguments, report,
    )  # fmt: skip


def _wave_names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*.wav"))


def _negative_folders(options: Options, sounds: Sounds) -> list[Path]:
    """Sounds of none of the classes, unless a class is made of them."""
    background = {folder.resolve() for folder in options.background_folders}
    folders = [*([sounds.not_a_class] if sounds.not_a_class else []), *options.negatives]
    return [folder for folder in folders if folder.resolve() not in background]


def _check_options(options: Options) -> None:
    """Refuse what is missing or contradicts itself before anything is read."""
    if options.test is not None:
        sounds, test = options.sounds.resolve(), options.test.resolve()
        within = sounds.is_dir() and test.is_dir() and (sounds in test.parents or test in sounds.parents)
        if sounds == test or within:
            raise ConfigError(
                f"--test {options.test} has files of {options.sounds}, which are trained on: give other "
                "recordings, or leave --test out, and a part of the recordings is held out."
            )
    if options.also and options.teacher is None:
        raise ConfigError(
            "--also names sounds that a teacher labels: give --teacher, too; sounds of none of the classes "
            "are for --negatives or the folder not_a_class."
        )
    if options.teacher is not None and not options.teacher.is_file():
        raise ConfigError(
            f"There is no file {options.teacher}: --teacher is EfficientAT's mn04_as_mAP_432.pt, or a "
            "model.pt of these classes."
        )


def _refuse_other_output(options: Options, folder: Path) -> None:
    """An output that another run wrote is replaced by ``--from`` alone, which compares the two.

    That of this very run stands where the command was interrupted late, or is given again.
    """
    if not options.output.is_file() or options.start or options.print_recipe:
        return
    if latest_run(options) != folder.name:
        raise ConfigError(
            f"{options.output} exists and was made from other sounds or with other choices: go on from it "
            f"with --from {options.output}, or name another -o."
        )
    if not is_as_written(options):
        raise ConfigError(
            f"{options.output} is not the file that `learn` wrote there: move it away, or name another -o."
        )


def _fingerprint(options: Options, sounds: Sounds, test: Sounds | None, others: Sequence[Path]) -> str:
    """What a run depends on: another folder of results for other sounds or other choices.

    ``others`` are the folders of what is no class, of unlabelled sounds and of impulse responses.
    """
    facts = [sounds.facts(), test.facts() if test else [], *map(folder_facts, others)]
    content = json.dumps([options.values(), facts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:8]
