"""What a model needs on a microcontroller, and whether a given one has it."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from complexity.microcontroller.c_writers import write_c
from complexity.microcontroller.firmware import (
    Firmware,
    Instructions,
    compile_firmware,
    count_instructions,
)
from complexity.microcontroller.targets import Target


@dataclass(frozen=True)
class Footprint:
    """A model on a target.

    Attributes:
        target: the processor.
        firmware: sizes of the example firmware with the model.
        instructions: None where there is no emulator.
        flash_limit, ram_limit: bytes that the microcontroller has; None where they were not given.
        fixed_point: whether the log-mel is computed in integers.
    """

    target: Target
    firmware: Firmware
    instructions: Instructions | None
    flash_limit: int | None = None
    ram_limit: int | None = None
    fixed_point: bool = False

    @property
    def flash_bytes(self) -> int:
        """Code, weights and tables."""
        return self.firmware.code_bytes + self.firmware.constant_bytes

    @property
    def ram_bytes(self) -> int:
        """Variables and stack."""
        return self.firmware.static_bytes + self.firmware.stack_bytes

    @property
    def within(self) -> bool:
        """Whether flash and RAM suffice, where they were given."""
        pairs = ((self.flash_bytes, self.flash_limit), (self.ram_bytes, self.ram_limit))
        return all(limit is None or size <= limit for size, limit in pairs)

    @property
    def window_cycles(self) -> int | None:
        """Estimated cycles of a window: see `Target.cycles_per_instruction`."""
        if self.instructions is None:
            return None
        return round(self.instructions.window * self.target.cycles_per_instruction)

    def to_dict(self) -> dict[str, Any]:
        """The footprint as JSON values.

        Keys:
            target: name of the processor.
            fixed_point: whether the log-mel is computed in integers.
            flash_bytes, ram_bytes: the sums of the next four.
            code_bytes, constant_bytes, static_bytes, stack_bytes: see `Firmware`.
            instructions: see `Instructions`; null where there is no emulator.
            window_cycles: an estimate; null likewise.
            limits: ``flash_bytes`` and ``ram_bytes`` as given, or null.
            within: whether the limits hold.
        """
        instructions = self.instructions and dataclasses.asdict(self.instructions)
        return {
            "target": self.target.name,
            "fixed_point": self.fixed_point,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            **dataclasses.asdict(self.firmware),
            "instructions": instructions,
            "window_cycles": self.window_cycles,
            "limits": {"flash_bytes": self.flash_limit, "ram_bytes": self.ram_limit},
            "within": self.within,
        }

    def lines(self, macs: int) -> list[str]:
        """The footprint as sentences.

        Args:
            macs: multiply-accumulates that the network executes.
        """
        firmware, name = self.firmware, self.target.name + (", in fixed point" if self.fixed_point else "")
        lines = [
            f"On {name}: flash {self.flash_bytes:,} bytes ({firmware.code_bytes:,} code, "
            f"{firmware.constant_bytes:,} weights and tables), RAM {self.ram_bytes:,} bytes "
            f"({firmware.static_bytes:,} static, {firmware.stack_bytes:,} stack; interrupts not counted).",
            self._describe_instructions(macs),
        ]
        for memory, size, limit in (
            ("flash", self.flash_bytes, self.flash_limit), ("RAM", self.ram_bytes, self.ram_limit),
        ):  # fmt: skip
            if limit is not None:
                relation = "fits" if size <= limit else f"is {size - limit:,} bytes over"
                kilobytes = f"{limit / 1024:,.2f}".rstrip("0").rstrip(".")
                lines.append(f"It {relation} the {kilobytes} KB of {memory}.")
        return lines

    def _describe_instructions(self, macs: int) -> str:
        counts = self.instructions
        if counts is None:
            return "Instructions were not counted: qemu-system-arm is not installed."
        return (
            f"A window takes {counts.window:,} instructions from samples to scores, "
            f"{counts.network:,} of them in the network ({counts.network / macs:.2f} a MAC), as QEMU counts; "
            f"at least about {(self.window_cycles or 0) / 1e6:,.0f} million cycles, by the "
            f"{self.target.cycles_per_instruction:.2f} cycles an instruction of CoreMark."
        )


def measure_footprint(
    model: Path,
    target: Target,
    *,
    flash_limit: int | None = None,
    ram_limit: int | None = None,
    fixed_point: bool = False,
) -> Footprint:
    """Write a model as C, compile it for a target, and run it there under QEMU where that is installed.

    Args:
        model: an INT8 .onnx file of ``export onnx``.
        target: the processor.
        flash_limit: bytes to compare with.
        ram_limit: bytes to compare with.
        fixed_point: compute the log-mel in integers, and compile for a processor without an FPU.

    Raises:
        ConfigError: where no other package writes such a file as C.
        ModelFileError: where the file cannot become C.
        TinysceneError: where a tool is missing or fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "c"
        write_c(model, folder, fixed_point=fixed_point)
        firmware, instructions = compile_firmware(folder, target), count_instructions(folder, target)
        return Footprint(target, firmware, instructions, flash_limit, ram_limit, fixed_point)
