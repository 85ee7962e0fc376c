"""Corpora in their official layouts and the one data module that turns any of them into batches.

A new corpus is one file here: a subclass of `Corpus` with the methods `clips`, `read` and `describe`.
"""

from train.data.corpus import Clip, Corpus
from train.data.esc50 import ESC50
from train.data.module import Batch, ClipData, ClipWindows
from train.data.own import Folder, Table, Unlabelled
from train.data.packed import Packed
from train.data.speech_commands import SpeechCommands
from train.data.synthetic import Synthetic
from train.data.tags import Tags
from train.data.tau2020 import TAU2020
from train.data.tau2022 import TAU2022
from train.data.tau_evaluation import TAUEvaluation

__all__ = [
    "ESC50", "TAU2020", "TAU2022", "Batch", "Clip", "ClipData", "ClipWindows", "Corpus", "Folder",
    "Packed", "SpeechCommands", "Synthetic", "TAUEvaluation", "Table", "Tags", "Unlabelled",
]  # fmt: skip
