"""Stores the weights of a float graph as float16; the graph computes in float32.

Two bytes a parameter is what the rules of DCASE 2024 and 2025 count for such a model. ONNX Runtime has no
float16 kernels for most operators on CPUs and would insert casts of its own, differently in every release.
With one Cast after each weight it folds them when it loads the file, and all arithmetic is float32: the same
answer and the same speed as a float32 file whose weights are rounded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.errors import ModelFileError

_LARGEST = float(np.finfo(np.float16).max)


def store_as_float16(model: onnx.ModelProto) -> None:
    """Round every float32 initializer of more than one element to float16, in place.

    Single numbers, such as the epsilon of a normalization, stay float32: float16 would round them to zero.

    Raises:
        ModelFileError: where a weight is larger than float16 holds.
    """
    graph = model.graph
    for tensor in [tensor for tensor in graph.initializer if _is_weight(tensor)]:
        value: npt.NDArray[np.float32] = numpy_helper.to_array(tensor)
        if np.abs(value).max(initial=0.0) > _LARGEST:
            raise ModelFileError(
                f"A weight of '{tensor.name}' is {np.abs(value).max():.3g} and float16 holds {_LARGEST:g} at "
                "most: export with `--quantize none` or `--quantize ptq`."
            )
        stored = f"{tensor.name}:float16"
        cast = helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT)
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), stored))
        graph.node.insert(0, cast)
    onnx.checker.check_model(model, full_check=True)


def lint_float16(model: onnx.ModelProto) -> list[str]:
    """One sentence for each float32 weight, and for each float16 tensor that is not cast to float32."""
    casts = {node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    return [
        *(f"'{t.name}' is stored as float32" for t in model.graph.initializer if _is_weight(t)),
        *(
            f"'{t.name}' is float16 and is read without a Cast"
            for t in model.graph.initializer
            if t.data_type == TensorProto.FLOAT16 and t.name not in casts
        ),
    ]


def _is_weight(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) > 1
