"""What ``tinyscene`` offers of this package (`runtime.cli.tinyscene`)."""

from runtime.cli.tinyscene import Command

_MAIN = "complexity.cli"
COMMANDS = (
    Command("check", "hold models against the limits of a challenge or your own", _MAIN, "check"),
    Command("compare", "show the complexity of models side by side", _MAIN, "compare"),
)
