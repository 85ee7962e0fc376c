"""torchao's PT2E flow, imported without its complaints."""

from __future__ import annotations

import logging

from runtime.entry_point import require

# On import torchao complains of CUDA libraries that a CPU lacks, and of its own use of torch.
logging.getLogger("torchao").setLevel(logging.ERROR)
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
require("torchao", extra="train")

from torchao.quantization.pt2e import ObserverBase  # noqa: E402
from torchao.quantization.pt2e.quantize_pt2e import (  # noqa: E402
    convert_pt2e,
    prepare_pt2e,
    prepare_qat_pt2e,
)
from torchao.quantization.pt2e.quantizer import (  # noqa: E402
    DerivedQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

__all__ = [
    "DerivedQuantizationSpec", "ObserverBase", "QuantizationAnnotation", "QuantizationSpec", "Quantizer",
    "convert_pt2e", "prepare_pt2e", "prepare_qat_pt2e",
]  # fmt: skip
