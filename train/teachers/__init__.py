"""Networks too large to ship, one file per family, trained by the same ``fit`` as students.

A teacher takes and gives what a student does, so model.pt, recipes and reports serve both.
"""

from torch import nn

from train.teachers.cp_resnet import CPResNet
from train.teachers.mobilenet import MobileNet

__all__ = ["TEACHERS", "CPResNet", "MobileNet"]

TEACHERS: dict[str, type[nn.Module]] = {"cp_resnet": CPResNet, "mobilenet": MobileNet}
