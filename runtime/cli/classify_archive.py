"""``python -m runtime classify DIR... -o OUT``: a table of many recordings."""

from __future__ import annotations

import functools
import sys
import time
from argparse import Namespace

from runtime.archive.archive import Archive, Engine
from runtime.archive.hours_bar import HoursBar
from runtime.archive.job import ArchiveJob
from runtime.archive.output import Output, common_folder
from runtime.archive.ray_engine import classify_on_ray
from runtime.archive.shard import Shard
from runtime.archive.summary import draw
from runtime.archive.worker_pool import classify_in_processes
from runtime.classifier import Model, load_model
from runtime.cli.arguments import event_rules, file_hop_s
from runtime.cli.audio_paths import AudioPaths
from runtime.cli.formatting import name_on_one_line, on_one_line
from runtime.cores import usable_cores
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK, EXIT_UNUSABLE
from runtime.errors import ConfigError, MissingExtraError


def classify_archive(arguments: Namespace) -> int:
    """Classify files in parallel and write a table; files that cannot be used are listed at the end.

    Returns:
        `EXIT_NEGATIVE` where some could not be used, `EXIT_UNUSABLE` where none could.
    """
    _check(arguments)
    shard = None if arguments.shard is None else Shard.parse(arguments.shard)
    output = Output.of(arguments.output, arguments.format, shard)
    model = load_model(arguments.model, arguments.temperature)
    job = _job(model, arguments)
    paths = AudioPaths.find(arguments.files)
    output.check_inputs([*paths.files, str(model.session.path)])
    with Archive(job, model.spec, output, common_folder(arguments.files)) as archive:
        _classify(archive, paths, _engine(arguments))
        bad = bool(archive.failed or paths.problems)
        if archive.done or not bad:
            archive.write_table()
            _draw(archive)
        for journal, count in ({} if bad else archive.finish()).items():
            _print(f"{journal} stays: it has {count} other files, for a command that names them")
        _list_bad(archive, paths)
    return EXIT_OK if not bad else EXIT_NEGATIVE if archive.done else EXIT_UNUSABLE


def _check(arguments: Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigError: where some do.
    """
    if arguments.json:
        raise ConfigError("-o writes a table: leave out --json, and name it table.jsonl for JSON.")
    if arguments.events and (arguments.clips or arguments.scores):
        raise ConfigError("--events writes a row for every event: leave out --clips and --scores.")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise ConfigError(f"--jobs is {arguments.jobs}: give 1 or more.")


def _job(model: Model, arguments: Namespace) -> ArchiveJob:
    return ArchiveJob.of(
        model,
        event_rules(arguments, model.spec),
        rows="events" if arguments.events else "clips" if arguments.clips else "windows",
        hop_s=file_hop_s(arguments, model),
        channel=arguments.channel,
        temperature=arguments.temperature,
        scores=arguments.scores,
    )


def _engine(arguments: Namespace) -> Engine:
    if arguments.engine == "ray":
        return functools.partial(classify_on_ray, actors=arguments.jobs)
    return functools.partial(classify_in_processes, processes=arguments.jobs or usable_cores())


def _classify(archive: Archive, paths: AudioPaths, engine: Engine) -> None:
    """Classify what is left to do, and show how much of it is done."""
    begun = time.monotonic()
    pending = archive.pending(paths.files)
    if archive.done:
        _print(f"{archive.done} files were classified before")
    bar = HoursBar(pending)
    try:
        for result in engine(archive.job, list(pending)) if pending else ():
            archive.add(result)
            bar.add(result)
            for note in result.notes:
                bar.print(f"warning: {name_on_one_line(result.path)}: {note}")
    finally:
        bar.close()
    seconds = time.monotonic() - begun
    if bar.hours:
        length = f"{bar.hours:.1f} h" if bar.hours >= 0.1 else f"{3600 * bar.hours:.0f} s"
        files = f"{len(pending) - len(archive.failed)} files, {length} of audio"
        _print(f"{files} in {seconds:.0f} s: {3600 * bar.hours / seconds:.0f} times real time")


def _draw(archive: Archive) -> None:
    """The picture beside the table; a shard has none, since it is a part of the files."""
    if archive.output.shard is not None or not archive.done:
        return
    try:
        draw(archive.summary, archive.spec.labels, archive.job.rows, archive.output.picture)
    except MissingExtraError as error:
        _print(f"no picture by class and hour: {error}")


def _list_bad(archive: Archive, paths: AudioPaths) -> None:
    if left_out := paths.left_out():
        _print(f"left out: {left_out}")
    for problem in paths.problems:
        _print(f"error: {on_one_line(problem)}")
    for path in sorted(archive.failed):
        _print(f"error: {on_one_line(str(archive.failed[path].error))}")
    if archive.failed:
        _print(
            f"{len(archive.failed)} of {len(archive.failed) + archive.done} files could not be classified: "
            "once they are mended, the same command classifies only them"
        )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
