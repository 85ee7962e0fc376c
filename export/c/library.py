"""Writes the C library of a model: the fixed sources beside this file, and what follows from the model."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from export.c.c_text import array, exported_array, real, string
from export.c.front_end.fixed import FixedFrontEnd
from export.c.front_end.fixed_source import fixed_source, fixed_values
from export.c.front_end.float_tables import check_front_end, float_source
from export.c.front_end.self_test import front_end_self_test
from export.c.front_end.stream import StreamSizes, config_values, probability_table
from export.c.layout import FRONT_ENDS, arduino_layout, plain_layout
from export.c.network_source import network_source, packed_bytes, wide_scratch_bytes
from export.c.operators import Network
from export.c.read_graph import read_network
from export.c.reference import logits
from export.c.schedule import MAX_KERNEL_HEIGHT, Plan, Step, make_steps, plan_memory
from runtime.errors import ModelFileError, TinysceneError
from runtime.files import make_folder
from runtime.model.model_file import read_model
from runtime.model.self_test import allowed_steps, make_input
from runtime.spec import ModelSpec, SelfTestVector

LAYOUTS = {"plain": plain_layout, "arduino": arduino_layout}
_SLACK = 64  # bytes that SIMD kernels may read after a tensor
_PROBABILITY_BITS = 31  # after the point, in fixed point
_HEAD = "/* Written by `python -m export c`. */\n"
_CONFIG = "model_config.h"  # begins with _HEAD: a folder that holds it is of an earlier call


def write_library(
    model: Path,
    folder: Path,
    hop_s: float | None = None,
    layout: str = "plain",
    fixed_point: bool = False,
) -> Plan:
    """Write a self-contained C library for an INT8 file.

    Args:
        model: an .onnx file of ``export onnx``.
        folder: files of an earlier call in it are replaced, once all are written; other files stay.
        hop_s: seconds from one window to the next in a stream; see `StreamSizes.of` for None.
        layout: a key of `LAYOUTS`.
        fixed_point: compute the log-mel in integers, for processors without an FPU.

    Returns:
        where the tensors lie in the arena.

    Raises:
        ModelFileError: where the file or its front end cannot become C, or its self-test vectors do not come
            out of the integer arithmetic; it says why.
        TinysceneError: where the folder cannot be written, or files of the same names are not of an earlier
            call.
    """
    file = read_model(model)
    network = read_network(onnx.load_from_string(file.data))
    return write_network(network, file.spec, folder, hop_s, layout, fixed_point)


def write_network(
    network: Network,
    spec: ModelSpec,
    folder: Path,
    hop_s: float | None = None,
    layout: str = "plain",
    fixed_point: bool = False,
) -> Plan:
    """Write the library of a network that is parsed already; see `write_library`."""
    check_front_end(spec.frontend)
    vectors = _own_vectors(network, spec)
    _check_vectors(vectors, spec, network.logits.scale)
    spec = replace(spec, self_test_vectors=vectors)
    steps = make_steps(network)
    plan = plan_memory(network, steps)
    fixed = None
    if fixed_point:
        fixed = FixedFrontEnd(spec.frontend, network.log_mel.scale, network.log_mel.zero)
    texts = _texts(spec, network, fixed)
    texts[_CONFIG] = _config(spec, network, steps, plan, StreamSizes.of(spec, hop_s), fixed)
    texts["model_network.c"] = network_source(network, steps, plan)
    _write(LAYOUTS[layout](texts, FRONT_ENDS[fixed_point]), folder)
    return plan


def _own_vectors(network: Network, spec: ModelSpec) -> tuple[SelfTestVector, ...]:
    """The self-test vectors of a spec with the logits of the integer arithmetic: what every kernel gives."""
    vectors = spec.self_test_vectors or (SelfTestVector("patches", 1, (0.0,) * len(spec.labels)),)
    inputs = [make_input(vector.formula, vector.seed, spec.input_shape) for vector in vectors]
    return tuple(
        replace(vector, logits=tuple(logits(network, log_mel)[0].tolist()))
        for vector, log_mel in zip(vectors, inputs, strict=True)
    )


def _check_vectors(own: tuple[SelfTestVector, ...], spec: ModelSpec, step: float) -> None:
    """Compare the logits of the integer arithmetic with those of the file's self-test vectors.

    Raises:
        ModelFileError: where a logit differs by more steps than roundings can explain.
    """
    for vector, expected in zip(own, spec.self_test_vectors, strict=False):  # a file may have none
        steps = float(np.abs(np.subtract(vector.logits, expected.logits)).max() / step)
        if round(steps) > allowed_steps(spec):
            raise ModelFileError(
                f"The integer arithmetic is off by {steps:.0f} steps from the file's self-test vectors: "
                "export the model again."
            )


def _texts(spec: ModelSpec, network: Network, fixed: FixedFrontEnd | None) -> dict[str, str]:
    """Files that follow from the model, by name."""
    probability = "float" if fixed is None else "uint32_t"
    return {
        "model_network.h": _HEAD
        + '#ifndef MODEL_NETWORK_H\n#define MODEL_NETWORK_H\n\n#include "model_config.h"\n'
        '#include "ts_network.h"\n\nextern const ts_network model_network;\n'
        f"extern const {probability} model_probability[256];\n\n#endif\n",
        "model_front_end.c": float_source(spec.frontend) if fixed is None else fixed_source(fixed),
        "model_tables.c": _tables(spec, network, fixed),
        "model_self_test.c": _self_test(spec, network, fixed),
        "model_spec.c": f'{_HEAD}#include "model_spec.h"\n\nconst char model_spec[] =\n{_literal(spec)};\n',
    }


def _config(
    spec: ModelSpec,
    network: Network,
    steps: list[Step],
    plan: Plan,
    sizes: StreamSizes,
    fixed: FixedFrontEnd | None,
) -> str:
    convolutions = sum(len(getattr(step.operator, "convolutions", ())) for step in steps)
    values = {"FIXED_POINT": str(int(fixed is not None))} | config_values(spec, sizes)
    values |= fixed_values(fixed) if fixed else {}
    values |= {
        "INPUT_SCALE": real(network.log_mel.scale), "INPUT_ZERO": str(network.log_mel.zero),
        "OUTPUT_SCALE": real(network.logits.scale), "OUTPUT_ZERO": str(network.logits.zero),
        "INPUT_OFFSET": str(plan.offsets[network.log_mel.name]),
        "OUTPUT_OFFSET": str(plan.offsets[network.logits.name]),
        "ARENA_BYTES": str(-(-plan.arena_bytes // _SLACK) * _SLACK),
        "WIDE_SCRATCH_BYTES": str(wide_scratch_bytes(steps)),
        "PACKED_BYTES": str(packed_bytes(steps)), "CONVOLUTIONS": str(convolutions),
        "MAX_KERNEL_HEIGHT": str(MAX_KERNEL_HEIGHT),
    }  # fmt: skip
    lines = [f"#define MODEL_{key} {value}" for key, value in values.items()]
    return _HEAD + "#ifndef MODEL_CONFIG_H\n#define MODEL_CONFIG_H\n\n" + "\n".join(lines) + _CONFIG_TAIL


_CONFIG_TAIL = """

/* MODEL_STREAM 0 leaves out model_push and its buffers. */
#ifndef MODEL_STREAM
#define MODEL_STREAM 1
#endif

/* What a shared library exports. */
#if defined __ELF__ || defined __APPLE__
#define MODEL_API __attribute__((visibility("default")))
#else
#define MODEL_API
#endif

/* SIMD kernels for x86 are chosen at run time, those for 64-bit ARM when this is compiled; TS_NO_SIMD leaves
   them out. */
#if (defined __x86_64__ || defined __i386__) && !defined TS_NO_SIMD
#define TS_X86 1
#else
#define TS_X86 0
#endif
#if defined __aarch64__ && defined __ARM_NEON && !defined __ARM_BIG_ENDIAN && !defined TS_NO_SIMD
#define TS_NEON 1
#else
#define TS_NEON 0
#endif
#define TS_SIMD (TS_X86 || TS_NEON)
#define TS_SIMD_BYTES (TS_SIMD ? MODEL_WIDE_SCRATCH_BYTES + 64 : 64)

/* SIMD kernels compute the bands of four frames side by side. */
#define TS_SIDE_BY_SIDE (TS_SIMD ? 4 : 1)

/* The front end works in the bytes that the network uses later. */
#if MODEL_FIXED_POINT
#define MODEL_FRONT_END_BYTES (8 * (MODEL_N_FFT + 2) + MODEL_N_MELS)
#else
#define MODEL_WORK_FLOATS                                                                                  \\
    (MODEL_WIN_LENGTH + MODEL_N_MELS + TS_SIDE_BY_SIDE * (MODEL_N_FFT / 2 + 16 + MODEL_N_MELS) +           \\
     2 * MODEL_N_FFT + 16 + 1024)
#define MODEL_FRONT_END_BYTES (4 * MODEL_WORK_FLOATS)
#endif
/* What SIMD kernels like best; the rest takes what a float needs. */
#if TS_SIMD
#define MODEL_ALIGNMENT 64
#define TS_ALIGNED __attribute__((aligned(64)))
#else
#define MODEL_ALIGNMENT (MODEL_FIXED_POINT ? 8 : 4)
#define TS_ALIGNED
#endif

#define MODEL_NETWORK_BYTES (MODEL_ARENA_BYTES + TS_SIMD_BYTES)
#define MODEL_WORKSPACE                                                                                    \\
    (MODEL_ALIGNMENT +                                                                                     \\
     (MODEL_NETWORK_BYTES > MODEL_FRONT_END_BYTES ? MODEL_NETWORK_BYTES : MODEL_FRONT_END_BYTES))

#endif
"""


def _tables(spec: ModelSpec, network: Network, fixed: FixedFrontEnd | None) -> str:
    labels = ",\n    ".join(string(label) for label in spec.labels)
    table = probability_table(spec, network.logits.scale, network.logits.zero)
    integers = np.rint(table * 2.0**_PROBABILITY_BITS).astype(np.uint32)
    text = f'{_HEAD}#include "model.h"\n#include "model_network.h"\n\n'
    text += f"const char *const model_labels[MODEL_CLASSES] = {{\n    {labels}}};\n\n"
    return text + exported_array("model_probability", integers if fixed else table.astype(np.float32))


def _self_test(spec: ModelSpec, network: Network, fixed: FixedFrontEnd | None) -> str:
    """Inputs and logits of the self-test vectors, and what the front end gives for noise."""
    vectors = spec.self_test_vectors
    parts = [f'{_HEAD}#include "model_self_test.h"\n']
    for index, vector in enumerate(vectors):
        log_mel = make_input(vector.formula, vector.seed, spec.input_shape)
        expected = np.rint(np.divide(vector.logits, network.logits.scale)) + network.logits.zero
        parts.append(array(f"input{index}", (log_mel * 64).astype(np.int32).astype(np.int16)))
        parts.append(array(f"expected{index}", expected.astype(np.uint8)))
    entries = ", ".join(f"{{input{index}, expected{index}}}" for index in range(len(vectors)))
    parts.append(f"const model_self_test_vector model_self_test_vectors[] = {{{entries}}};")
    parts.append(f"const int model_self_test_count = {len(vectors)};\n")
    parts.append(front_end_self_test(spec, network, fixed))
    return "\n".join(parts)


def _literal(spec: ModelSpec) -> str:
    """The JSON of the spec as lines of string literals; C99 promises 4,095 characters a literal."""
    text = spec.to_json()
    lines = [text[start : start + 500] for start in range(0, len(text), 500)]
    return "\n".join(f"    {string(line)}" for line in lines)


def _write(texts: dict[str, str], folder: Path) -> None:
    """Write into a folder inside it, which may be a mount point, then move every file to its place."""
    make_folder(folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
            partial = Path(name)
            for file, text in texts.items():
                make_folder((partial / file).parent)
                (partial / file).write_text(text)
            _refuse_in_the_way(texts, folder)  # before a file is replaced
            for file in texts:
                make_folder((folder / file).parent)
                (partial / file).replace(folder / file)
    except OSError as error:
        raise TinysceneError(f"Cannot write {folder}: {error.strerror}; name another folder.") from error


def _refuse_in_the_way(texts: dict[str, str], folder: Path) -> None:
    """Folders in the place of files, and files of another origin than an earlier library of ours."""
    for file in texts:
        if (folder / file).is_dir():
            raise TinysceneError(f"{folder / file} is a folder and has to be a file: remove it.")
    config = next(folder / file for file in texts if Path(file).name == _CONFIG)
    if config.is_file() and config.read_bytes().startswith(_HEAD.encode()):
        return
    for file, text in texts.items():
        path = folder / file
        if path.exists() and path.read_bytes() != text.encode():
            raise TinysceneError(
                f"{path} would be replaced and `export c` did not write it: name a new folder, or remove it."
            )
