"""The page at the end of ``learn``: what the file can do, what it cannot, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from shlex import quote

import complexity
from export.learn.data.negatives import ONE_IN
from export.learn.report.measure import Measured
from train.quantization.quality import Share

_WORST = 10  # clips that are named
_PAIRS = 5  # confusions that are named
_WEAK = 0.8  # lower end of the interval; a class below it should be recorded more
_FEW = 10  # held-out clips of a class; with fewer its interval is wide
_SELDOM = 0.5  # share of a class's clips that give an event; a class below it is named
_LOST = 0.1  # share of windows that a condition may cost before the page remarks on it


@dataclass(frozen=True)
class Page:
    """The results, and the sentences about them.

    Attributes:
        output: name of the file.
        measured: on held-out recordings, in INT8.
        cost: of the file.
        file_bytes: of the file.
        recordings: label to number of recordings that were trained on, and held out.
        microphones: whether impulse responses of microphones were at hand.
        cautions: what the split cannot show.
        comparison: with the earlier model, where there is one.
        next: commands to type next, each with what it does.
    """

    output: str
    measured: Measured
    cost: complexity.Report
    file_bytes: int
    recordings: dict[str, tuple[int, int]]
    microphones: bool
    cautions: Sequence[str] = ()
    comparison: str = ""
    next: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def to_text(self) -> str:
        """For a terminal."""
        return "\n\n".join(
            "\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in self._sections()
        )

    def to_markdown(self, pictures: Sequence[str]) -> str:
        """For a file.

        Args:
            pictures: names of PNG files beside it.
        """
        parts = [f"# {self.output}"]
        for title, lines in self._sections():
            parts.append(f"## {title[0].upper()}{title[1:]}\n\n```\n" + "\n".join(lines) + "\n```")
        wrong = [
            f"| {w.clip} | {w.true} | {w.predicted} | {w.probability:.2f} |" for w in self.measured.wrong
        ]
        if wrong:
            head = "| clip | label | predicted | probability of its label |\n|---|---|---|---|\n"
            parts.append("## Clips that are wrong, the worst first\n\n" + head + "\n".join(wrong))
        parts += [f"![{name}]({name})" for name in pictures]
        return "\n\n".join(parts) + "\n"

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        yield "the file", self._file()
        yield "on held-out recordings, INT8, with 95 % intervals", self._accuracy()
        if confusions := self._confusions():
            yield "confused", confusions
        if self.measured.wrong:
            worst = self.measured.wrong[:_WORST]
            yield (
                "worst clips",
                [f"{w.clip}: {w.predicted}, not {w.true} ({w.probability:.2f})" for w in worst],
            )
        yield "events, as `listen` reports them", list(self._events())
        yield "accuracy of windows under other conditions", self._robustness()
        yield "record more of", list(self._advice())
        if self.comparison:
            yield "compared with the earlier model", [self.comparison]
        yield "next", [f"{command}   # {why}" for command, why in self.next]

    def _file(self) -> list[str]:
        limits = "within" if self.cost.within else "over"
        return [
            f"{self.output}: {len(self.measured.labels)} classes, INT8, {self.file_bytes:,} bytes, verified",
            f"{self.cost.params:,} parameters, {self.cost.macs:,} multiply-accumulates for a second of sound "
            f"({self.cost.budget.name}: {limits} the limits)",
        ]

    def _accuracy(self) -> list[str]:
        width = max(map(len, [*self.measured.labels, "windows"]))
        rows = [("clips", self.measured.clips), ("windows", self.measured.windows)]
        lines = [f"{name:{width}}  {share}" for name, share in rows]
        for label, share in sorted(self.measured.per_class.items(), key=lambda item: item[1].value):
            trained, held_out = self.recordings[label]
            lines.append(f"{label:{width}}  {share}; {_count(held_out, 'recording')}, {trained} to train on")
        alarms = self.measured.false_alarms
        lines.append(f"other sounds taken for a class: {alarms} windows; the thresholds were fitted on them")
        return [*lines, *self.cautions]

    def _events(self) -> Iterator[str]:
        events = self.measured.events
        shares = events.own.values()
        own = Share(sum(share.count for share in shares), sum(share.total for share in shares))
        yield f"clips that give one of their class    {own}"
        yield f"clips that give one of another class  {events.another}"
        noise = f"synthetic noise; --negatives DIR with {ONE_IN} sounds or more tries others"
        others = noise if events.only_noise else "other sounds"
        yield f"{_count(events.of_others, 'event')} in {events.others_s:.0f} s of {others}"
        seldom = [
            (label, share)
            for label, share in sorted(events.own.items(), key=lambda item: item[1].value)
            if share.value < _SELDOM
        ]
        if seldom:
            named = ", ".join(f"{label} ({share.count} of {share.total})" for label, share in seldom[:_PAIRS])
            threshold = quote(f"{seldom[0][0]}=P")
            yield f"seldom reported: {named}; `listen --threshold {threshold}` takes another threshold"

    def _confusions(self) -> list[str]:
        labels, matrix = self.measured.labels, self.measured.confusion
        pairs = [
            (int(matrix[i, j]), labels[i], labels[j])
            for i in range(len(labels))
            for j in range(len(labels))
            if i != j and matrix[i, j]
        ]
        pairs.sort(key=lambda pair: -pair[0])
        return [f"{true} taken for {other}: {_count(n, 'clip')}" for n, true, other in pairs[:_PAIRS]]

    def _robustness(self) -> list[str]:
        found = self.measured.conditions
        width = max(map(len, found))
        clean = found["clean"].value
        lines = []
        for name, share in found.items():
            remark = f"  loses {clean - share.value:.0%}" if clean - share.value > _LOST else ""
            lines.append(f"{name:{width}}  {share}{remark}")
        if not self.microphones:
            lines.append(
                "other microphones were neither trained on nor measured: set MIC_IR_DIR to a folder of "
                "impulse responses, for example of micirp.blogspot.com"
            )
        return lines

    def _advice(self) -> Iterator[str]:
        weak = [
            (label, share)
            for label, share in sorted(self.measured.per_class.items(), key=lambda i: i[1].interval[0])
            if share.interval[0] < _WEAK
        ]
        wrong = [(label, share) for label, share in weak if share.count < share.total]
        for label, share in wrong[:_PAIRS]:
            taken = self._taken_for(label)
            yield f"{label}, which is right in {share.count} of {share.total}" + (
                f"; and of {taken}, which it is taken for, at the same places" if taken else ""
            )
        unsure = [label for label, share in weak if share.count == share.total and share.total < _FEW]
        if unsure:
            yield (
                f"{', '.join(unsure)}: all right, but of fewer than {_FEW} clips, which proves little; "
                "record on another day and place, so that more can be held out"
            )
        if self.measured.false_alarms.value > _LOST:
            yield "sounds of none of the classes, into the folder not_a_class"
        if not wrong and not unsure:
            yield "nothing urgent: every class is right in 80 % or more, with certainty"

    def _taken_for(self, label: str) -> str:
        row = self.measured.confusion[self.measured.labels.index(label)].copy()
        row[self.measured.labels.index(label)] = 0
        return self.measured.labels[int(row.argmax())] if row.any() else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def compare(old: dict[str, bool], new: dict[str, bool]) -> tuple[bool, str]:
    """Whether a new file is at least as good as the old one on the same clips, and a sentence about it."""
    before, after = (Share(sum(right.values()), len(right)) for right in (old, new))
    gained = sum(new[clip] and not old[clip] for clip in old)
    lost = sum(old[clip] and not new[clip] for clip in old)
    return after.count >= before.count, (
        f"the same {before.total} held-out clips: {before.value:.1%} right before, {after.value:.1%} now "
        f"({gained} gained, {lost} lost)"
    )
