"""Networks too large to ship, one file per family, trained by the same ``fit`` as students.

A teacher takes and gives what a student does, so model.pt, recipes and reports serve both.
"""

from torch import nn

from train.teachers.ast import AST
from train.teachers.beats import BEATs
from train.teachers.ced import CED
from train.teachers.cp_resnet import CPResNet
from train.teachers.mobilenet import MobileNet
from train.teachers.narrow_resnet import NarrowResNet
from train.teachers.passt import PaSST

__all__ = ["AST", "CED", "TEACHERS", "BEATs", "CPResNet", "MobileNet", "NarrowResNet", "PaSST"]

TEACHERS: dict[str, type[nn.Module]] = {
    "ast": AST,
    "beats": BEATs,
    "ced": CED,
    "cp_resnet": CPResNet,
    "mobilenet": MobileNet,
    "narrow_resnet": NarrowResNet,
    "passt": PaSST,
}
