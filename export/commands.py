"""What ``tinyscene`` offers of this package (`runtime.cli.tinyscene`)."""

from runtime.cli.tinyscene import Command

_MAIN = "export.cli.main"
COMMANDS = (
    Command("learn", "from a folder of sounds to one verified .onnx file, everything chosen", _MAIN, "learn"),
    Command("export", "turn a model.pt into one verified .onnx file", _MAIN, "onnx"),
    Command("verify", "verify an .onnx file", _MAIN, "verify"),
    Command("sensitivity", "list the values that INT8 changes most", _MAIN, "sensitivity"),
    Command("quantize", "quantize a float .onnx file of any toolkit", _MAIN, "quantize"),
    Command("sherpa", "write a CED tagger as sherpa-onnx's audio tagging reads it", _MAIN, "sherpa"),
    Command("c", "write an INT8 .onnx file as plain C", _MAIN, "c"),
    Command("submission", "write the inference package of DCASE 2025 Task 1", _MAIN, "submission"),
)
