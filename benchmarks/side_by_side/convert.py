"""Conversions that need torch: ``python -m benchmarks.side_by_side.convert NAME MODEL.PT FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from train.checkpoints.model_pt import Checkpoint, load


def executorch(checkpoint: Checkpoint, folder: Path) -> None:
    """Write ``fp32.pte``, lowered to XNNPACK."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(checkpoint.build(), (torch.randn(checkpoint.input_shape),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (folder / "fp32.pte").write_bytes(lowered.to_executorch().buffer)


def torch_int8(checkpoint: Checkpoint, folder: Path) -> None:
    """Write ``torch_int8.pt2``: PT2E with the quantizer that torch's inductor takes on x86."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    example = (torch.randn(checkpoint.input_shape),)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(checkpoint.build(), example).module(), quantizer)
    with torch.no_grad():
        for window in torch.split(checkpoint.calibration[:256].float(), 1):
            prepared(window)
    converted = convert_pt2e(prepared)
    torch.export.save(torch.export.export(converted, example), folder / "torch_int8.pt2")


if __name__ == "__main__":
    {"executorch": executorch, "torch_int8": torch_int8}[sys.argv[1]](load(sys.argv[2]), Path(sys.argv[3]))
