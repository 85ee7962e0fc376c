"""Corpora in their official layouts and the one data module that turns any of them into batches.

A new corpus is one file here: a subclass of `Corpus` with three methods, listed below.
"""

from train.data.corpus import Clip, Corpus
from train.data.esc50 import ESC50
from train.data.module import Batch, ClipData
from train.data.synthetic import Synthetic

__all__ = ["ESC50", "Batch", "Clip", "ClipData", "Corpus", "Synthetic"]
