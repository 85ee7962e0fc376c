"""The networks that fit the budget: one file per architecture, read from top to bottom.

A student is an ``nn.Module`` from log-mel [batch, 1, mels, frames] to logits [batch, n_classes] whose
arguments are JSON values; `STUDENTS` is how model.pt and recipes name it. `train.networks` lists what a class
may have beside that.
"""

from torch import nn

from train.students.baseline_2024 import Baseline2024
from train.students.bc_resnet import BCResNet
from train.students.cnn3 import CNN3
from train.students.cp_mobile import CPMobile
from train.students.tf_sepnet import TFSepNet

__all__ = ["CNN3", "STUDENTS", "BCResNet", "Baseline2024", "CPMobile", "TFSepNet"]

STUDENTS: dict[str, type[nn.Module]] = {
    "baseline_2024": Baseline2024,
    "bc_resnet": BCResNet,
    "cnn3": CNN3,
    "cp_mobile": CPMobile,
    "tf_sepnet": TFSepNet,
}
