"""What ``tinyscene`` offers of this package (`runtime.cli.tinyscene`)."""

from runtime.cli.tinyscene import Command

_SUMMARIES = {
    "fit": "train a student by a recipe, or on a folder of class folders (--sounds)",
    "qat": "go on training a model.pt with the rounding of INT8",
    "validate": "score a run's model.pt on the validation split",
    "test": "score a run's model.pt on the test split",
    "predict": "write a run's predictions for the test split as DCASE's output.csv",
    "teach": "store the logits of teachers for a corpus, for distillation",
    "sweep": "repeat a recipe with several seeds and values; one table",
    "pack": "decode and resample a recipe's corpus once, into one HDF5 file",
    "check-data": "find unreadable, silent, clipped and doubled clips, and splits that leak",
    "import": "make a model.pt from a published state_dict",
    "import-logits": "make a logit store from a published .pt tensor",
    "render": "write a WAV file of synthetic scenes",
    "tag": "print the most probable labels of recordings over time, by a model.pt",
}
COMMANDS = tuple(Command(name, summary, "train.cli.main", name) for name, summary in _SUMMARIES.items())
