"""From a list of recordings to a finished table, going on where a run that was killed ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from runtime.archive.job import ArchiveJob
from runtime.archive.journal import Journal
from runtime.archive.output import Output
from runtime.archive.result import FileResult, Identity
from runtime.archive.summary import HourSummary
from runtime.archive.tables.table_file import check_output, open_table
from runtime.files import printable
from runtime.spec import ModelSpec

Engine = Callable[[ArchiveJob, Sequence[str]], Iterator[FileResult]]  # results in any order


@dataclass
class Archive:
    """A run over recordings.

    Args:
        job: how they are classified.
        spec: of the model.
        output: where the table goes.
        root: folder that all recordings lie in.

    Attributes:
        failed: results of the files that could not be classified, by path.
        summary: counts of the finished table.

    Example:
        >>> import tempfile
        >>> from runtime.archive.job import FileClassifier
        >>> model = load_model(model_path)
        >>> job = ArchiveJob.of(model)
        >>> output = Output.of(f"{tempfile.mkdtemp()}/table.csv")
        >>> with Archive(job, model.spec, output, root="/") as archive:
        ...     pending = archive.pending([str(wav_path)])
        ...     archive.collect(map(FileClassifier(job), pending))
        ...     archive.write_table()
        >>> len(output.table.read_text().splitlines())
        3
    """

    job: ArchiveJob
    spec: ModelSpec
    output: Output
    root: str
    failed: dict[str, FileResult] = field(default_factory=dict)
    summary: HourSummary = field(default_factory=HourSummary)

    def __enter__(self) -> Archive:
        """Open the journals, this run's and those of its shards."""
        check_output(self.output)
        settings = self.job.settings()
        with ExitStack() as stack:
            paths = [self.output.journal, *self.output.shard_journals()]
            self._journals = [stack.enter_context(Journal(path, settings)) for path in paths]
            self._stack = stack.pop_all()
        self._places: dict[str, Journal] = {}
        self._paths: frozenset[str] = frozenset()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the journals; one without results is not left behind."""
        if not len(self._journals[0]):
            self._journals[0].remove()
        self._stack.close()

    def pending(self, paths: Sequence[str]) -> dict[str, Identity]:
        """The files of this run's shard that no journal has, the largest first: one must not come last."""
        shard = self.output.shard
        left: dict[str, Identity] = {}
        self._paths = frozenset(paths)
        for path in dict.fromkeys(paths):
            if shard is not None and not shard.holds(path):
                continue
            identity = Identity.of(path)
            journal = next((journal for journal in self._journals if journal.has(path, identity)), None)
            if journal is None:
                left[path] = identity
            else:
                self._places[path] = journal
        return dict(sorted(left.items(), key=lambda item: (-item[1].size, item[0])))

    @property
    def done(self) -> int:
        """How many files the table will have."""
        return len(self._places)

    def collect(self, results: Iterator[FileResult]) -> None:
        """Put results into the journal as they come; those of failed files only into `failed`."""
        for result in results:
            self.add(result)

    def add(self, result: FileResult) -> None:
        """Put one result into the journal; that of a failed file only into `failed`."""
        if result.error is not None:
            self.failed[result.path] = result
            return
        self._journals[0].add(result)
        self._places[result.path] = self._journals[0]

    def write_table(self) -> None:
        """Write the table, files in the order of their names, and count it up."""
        self._journals[0].sync()
        labels = self.spec.labels if self.job.scores else ()
        with open_table(self.output, self.spec.frontend, labels, self.root) as table:
            for path in sorted(self._places, key=lambda path: (printable(path), path)):
                result = self._places[path].result(path)
                table.add(result)
                self.summary.add(result)

    def finish(self) -> dict[Path, int]:
        """Delete the journals; that of a shard stays for the run that puts the shards together.

        Returns:
            the journals that stay because they have other files, as those of a larger run that was killed
            and may be given again; how many of them.
        """
        if self.output.shard is not None:
            return {}
        others = {journal.path: journal.others(self._paths) for journal in self._journals}
        for journal in self._journals:
            if not others[journal.path]:
                journal.remove()
        return {path: count for path, count in others.items() if count}
