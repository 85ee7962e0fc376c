"""One part of the files, for arrays of jobs: which files belong to it depends on nothing but their paths."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass

from runtime.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, from 1.

    Example:
        >>> shards = [Shard.parse(text) for text in ("1/2", "2/2")]
        >>> sum(shard.holds("card/20240601_140505.WAV") for shard in shards)
        1
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/8``.

        Raises:
            ConfigError: where it is something else.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"'{text}' is no shard: write 3/8 for the third of eight.")
        return cls(int(match[1]), int(match[2]))

    def holds(self, path: str) -> bool:
        """Whether a file belongs to this part; files that come later do not move others."""
        return zlib.crc32(os.fsencode(path)) % self.count == self.index - 1

    @property
    def name(self) -> str:
        """For names of files, such as ``3-of-8``."""
        return f"{self.index}-of-{self.count}"
