"""The choices of ``learn`` in plain words, each with the flag that changes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from export.learn.data.background import LABEL, QUIET_DB
from export.learn.front_end import choose_frontend
from export.learn.preparation import Prepared
from runtime.spec import FrontEndSpec
from train.cli.sounds import NOISE

_FEW = 12  # files of the rarest class to train on
_NAMED = 12  # classes that are listed


def describe(prepared: Prepared) -> Iterator[tuple[str, str]]:
    """What was chosen, and why: a heading and a sentence each."""
    options, material, division = prepared.options, prepared.material, prepared.division
    yield "sounds", _sounds(prepared)
    for remark in prepared.examined.remarks:
        yield "remark", remark
    yield "recordings", f"{division.recordings} (--group file, name, folder, time, speaker or a REGEX)"
    yield "held out", _held_out(prepared)
    for caution in division.cautions:
        yield "caution", caution
    if not material.in_memory:
        yield "memory", "the sounds do not fit, and are decoded anew for every window; `tinyscene pack` helps"
    of_earlier = ", as in the earlier model" if prepared.earlier else ""
    yield "front end", f"{prepared.frontend}{of_earlier}; {_frontend(prepared)} (--frontend NAME)"
    yield "network", _network(prepared)
    yield "other sounds", _negatives(prepared)
    if background := _background(prepared):
        yield "background", background
    yield "augmentation", _augmentation(prepared)
    if options.teacher:
        yield "teacher", f"{options.teacher.name}, with a head for your classes (--teacher FILE)"
    for folder in options.also:
        yield "also", f"the teacher labels {folder}, and the network learns that (--also DIR)"
    if expected := _expectation(prepared):
        yield "expect", expected
    again = ", half of those of a new model" if prepared.earlier else ""
    yield "training", f"{prepared.steps:,} steps{again}, seed {options.seed} (--steps N, --seed N)"
    if options.changes:
        yield "changes", ", ".join(f"{key}={value}" for key, value in options.changes)
    yield "results", f"{prepared.folder}, and then {options.output}; any value of the recipe: --set KEY=VALUE"


def _sounds(prepared: Prepared) -> str:
    files = Counter(prepared.division.label_of.values())
    named = ", ".join(f"{label} ({files[label]})" for label in prepared.sounds.labels[:_NAMED])
    more = ", ..." if len(prepared.sounds.labels) > _NAMED else ""
    minutes = prepared.examined.hours * 60
    duration = f"{minutes:,.0f} minutes" if minutes >= 2 else f"{minutes * 60:.0f} seconds"
    return f"{len(prepared.sounds.labels)} classes, {duration}, files: {named}{more}"


def _frontend(prepared: Prepared) -> str:
    """What of the sounds the front end takes in, why its bands are narrow or wide, and what does not fit."""
    spec, files = FrontEndSpec.preset(prepared.frontend), prepared.files
    suited = choose_frontend(None, files)
    text = (
        f"nine files of ten have {files.rate:,} Hz or more, and it takes in what lies below "
        f"{spec.f_max:,.0f} Hz, in {spec.n_mels} bands"
    )
    if prepared.frontend == suited:
        wide = f", few and wide as most sounds are brief ({files.sound_s:.1f} s)" if files.brief else ""
        return text + wide
    if 2 * spec.f_max > files.rate:
        return f"{text}: they leave its upper bands empty, and microphones do not; {suited} fits"
    return f"{text}; by rate and length of the sounds it would be {suited}"


def _held_out(prepared: Prepared) -> str:
    division = prepared.division
    held_out, clips = division.count("val"), len(division.of("val"))
    low, high = min(held_out.values()), max(held_out.values())
    each = f"{low}" if low == high else f"{low} to {high}"
    recordings = "recording" if high == 1 else "recordings"
    text = f"{each} {recordings} of each class, {clips} files; nothing is trained on them"
    if prepared.options.test:
        return f"{text}: those of {prepared.options.test} (--test)"
    if prepared.sounds.splits:
        return f"{text}: those that the table does not have in the split train"
    return f"{text} (--seed N holds out others, --test DIR tests on other folders)"


def _network(prepared: Prepared) -> str:
    size = f"{prepared.cost.params:,} parameters, {prepared.cost.macs / 1e6:.1f} million MACs"
    if prepared.earlier:
        return f"CP-Mobile of the earlier model, {size}"
    return (
        f"CP-Mobile, {size}: the widest of the budget {prepared.options.budget} (--budget cortex-m4 or tiny)"
    )


def _negatives(prepared: Prepared) -> str:
    negatives = prepared.negatives
    noise = f"{NOISE} clips of synthetic noise"
    if not negatives.files:
        return (
            f"{noise} teach the network what is no class; put others, such as speech and kitchen, into "
            f"{prepared.options.sounds / 'not_a_class'} (or --negatives DIR)"
        )
    return (
        f"{negatives.files} files, {len(negatives.held_out)} of them to test, and {noise} (--negatives DIR)"
    )


def _background(prepared: Prepared) -> str:
    """Where the class comes from; how to have one, where there is none."""
    if prepared.quiet:
        parts = sum(label == LABEL for label in prepared.division.label_of.values())
        return (
            f"{parts} quiet parts of your recordings are a class, {QUIET_DB:.0f} dB below the loudest second "
            "of each; the other classes do without them (--background DIR for sounds of yours)"
        )
    if prepared.options.background:
        return "the files of " + ", ".join(prepared.options.background)
    if LABEL in prepared.sounds.labels:
        return ""
    return "no class of its own (--background quiet cuts one out of your recordings, --background DIR)"


def _augmentation(prepared: Prepared) -> str:
    scene = "mixtures, speed"
    if prepared.material.short:
        scene = "speed and place in the window, no mixtures, as most files are shorter than a second"
    microphones = (
        f"{len(prepared.learned_responses)} microphones of MIC_IR_DIR"
        if prepared.material.responses
        else "no other microphones (set MIC_IR_DIR to a folder of their impulse responses)"
    )
    return (
        f"{scene}; rooms, level, clipping, noise, narrow bands; {microphones} (--set model.augmentation...)"
    )


def _expectation(prepared: Prepared) -> str:
    """Of few clips."""
    division = prepared.division
    few = min(Counter(division.label_of[clip.id] for clip in division.of("train")).values())
    if few >= _FEW or prepared.earlier:
        return ""
    if prepared.options.teacher:
        return f"{few} files of a class are few, and with a teacher they are a start"
    return (
        f"{few} files of a class are few, and without a teacher the result will be rough: give "
        "--teacher mn04_as_mAP_432.pt of github.com/fschmid56/EfficientAT (4 MB), or record more"
    )
