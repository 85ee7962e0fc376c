"""Corpora in their official layouts and the one data module that turns any of them into batches.

A new corpus is one file here: a subclass of `Corpus` with the methods `clips`, `read` and `describe`.
"""

from train.data.corpus import Clip, Corpus
from train.data.data_module import ClipData
from train.data.datasets.esc50 import ESC50
from train.data.datasets.folder import Folder, Unlabelled
from train.data.datasets.packed import Packed
from train.data.datasets.speech_commands import SpeechCommands
from train.data.datasets.synthetic import Synthetic
from train.data.datasets.table import Table
from train.data.datasets.tags import Tags
from train.data.datasets.tau2020 import TAU2020
from train.data.datasets.tau2022 import TAU2022
from train.data.datasets.tau_evaluation import TAUEvaluation
from train.data.datasets.with_negatives import WithNegatives
from train.data.windows import Batch, ClipWindows

__all__ = [
    "ESC50", "TAU2020", "TAU2022", "Batch", "Clip", "ClipData", "ClipWindows", "Corpus", "Folder",
    "Packed", "SpeechCommands", "Synthetic", "TAUEvaluation", "Table", "Tags", "Unlabelled",
    "WithNegatives",
]  # fmt: skip
