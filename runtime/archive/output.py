"""Where the table, its journals and its picture lie."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.archive.formats import FORMATS
from runtime.archive.shard import Shard
from runtime.errors import ConfigError
from runtime.files import refuse_to_replace

_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".selections.txt": "raven"}


@dataclass(frozen=True)
class Output:
    """The files that a run writes.

    Attributes:
        path: of the table; of a folder of label tracks for Audacity.
        format: one of `runtime.archive.formats.FORMATS`.
        shard: where only a part of the files is classified.

    Example:
        >>> output = Output.of("birds/table.csv", shard=Shard(3, 8))
        >>> output.format, output.table.name, output.journal.name
        ('csv', 'table.3-of-8.csv', 'table.csv.3-of-8.journal')
    """

    path: Path
    format: str
    shard: Shard | None = None

    @classmethod
    def of(cls, path: str, format_name: str | None = None, shard: Shard | None = None) -> Output:
        """The output at a path, of the format that its ending says where none is given.

        Raises:
            ConfigError: where it says none, or the path has no name of its own.
        """
        endings = ", ".join(_SUFFIXES)
        if not path:
            raise ConfigError(f"The name behind -o is empty: name a table that ends with {endings}.")
        found = next((name for ending, name in _SUFFIXES.items() if path.lower().endswith(ending)), None)
        if (format_name := format_name or found) is None:
            raise ConfigError(
                f"'{path}' ends with none of {endings}: name a table such as results.csv, or give --format "
                f"({', '.join(FORMATS)})."
            )
        if Path(path).name in ("", ".."):  # the journal lies beside it, under its name
            raise ConfigError(f"'{path}' has no name of its own: name a file or a folder such as labels.")
        return cls(Path(path), format_name, shard)

    @property
    def table(self) -> Path:
        """What is written in the end."""
        if self.shard is None or self.format == "audacity":
            return self.path
        return self.path.with_name(f"{self.path.stem}.{self.shard.name}{self.path.suffix}")

    @property
    def journal(self) -> Path:
        """What holds the results until then."""
        middle = "" if self.shard is None else f".{self.shard.name}"
        return self.path.with_name(f"{self.path.name}{middle}.journal")

    @property
    def picture(self) -> Path:
        """The summary by class and hour."""
        return self.table.with_name(f"{self.table.name}.hours.png")  # a user's own file is hardly named so

    def check_inputs(self, inputs: Iterable[str]) -> None:
        """Refuse to replace a file that the run reads, by whatever name.

        Args:
            inputs: files that the run reads.

        Raises:
            ConfigError: where the table or the picture would take the place of one.
        """
        names = tuple(inputs)
        for written in (self.table, self.picture):
            refuse_to_replace(names, written)

    def shard_journals(self) -> list[Path]:
        """Journals that runs with ``--shard`` left for this one to put together."""
        pattern = f"{glob.escape(self.path.name)}.*-of-*.journal"
        return [] if self.shard else sorted(self.path.parent.glob(pattern))


def common_folder(names: Iterable[str]) -> str:
    """The innermost folder that all named files and folders lie in; a folder lies in itself."""
    folders = [name if os.path.isdir(name) else os.path.dirname(name) for name in names]  # noqa: PTH112, PTH120
    return os.path.commonpath([os.path.abspath(folder) for folder in folders])  # noqa: PTH100 - keeps links
