"""The only file of the runtime that uses ONNX Runtime: threads, providers, telemetry, self-test at load.

The same INT8 file can give other numbers on another CPU, without an error: 16-bit intermediates
saturate in AVX2 kernels, and some releases miscompute on aarch64. So a session computes the self-test
vectors of its model first, and lowers ONNX Runtime's graph optimization level until they come out right.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.log_mel import LogMel
from runtime.errors import ConfigError, ModelFileError, TinysceneError
from runtime.model.model_file import ModelFile, read_model
from runtime.model.network_input import check_input, input_shape
from runtime.model.self_test import int8_tolerance, make_input

Array = npt.NDArray[np.float32]
Provider = str | tuple[str, dict[str, Any]]  # of ONNX Runtime: its name, or its name and options

INPUT, OUTPUT = "log_mel", "logits"
_LEVELS = ("ALL", "EXTENDED", "BASIC", "DISABLE_ALL")
FLOAT_TOLERANCE = 1e-3  # logits of a float32 network; sums in another order differ by about 1e-5
_TELEMETRY = "ORT_DISABLE_TELEMETRY"
# It would quantize the weights of a layer that export left in float between integer layers.
_DISABLED_OPTIMIZERS = ["WeightBiasQuantization"]


def _onnxruntime() -> Any:
    """Import ONNX Runtime with its telemetry off, which it only reads at import (1.29 and later)."""
    if "onnxruntime" in sys.modules and os.environ.get(_TELEMETRY) != "1":
        warnings.warn(
            "onnxruntime was imported before runtime, with its telemetry on: "
            f"set {_TELEMETRY}=1 in the environment.",
            stacklevel=3,
        )
    os.environ[_TELEMETRY] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # a signal came while the extension was loading
            raise error.__cause__ from None
        raise TinysceneError(
            f"onnxruntime cannot be imported ({error}): see `python -m runtime doctor`."
        ) from error
    return onnxruntime


def probe_import() -> list[str]:
    """A command line that imports ONNX Runtime and nothing else, telemetry off."""
    code = f"import os; os.environ['{_TELEMETRY}'] = '1'; import onnxruntime"
    return [sys.executable, "-c", code]


class Session:
    """A model that is loaded, checked and ready to run.

    Args:
        path: an .onnx file of `python -m export onnx`.
        threads: that one run of the network uses.
        providers: execution providers of ONNX Runtime in order of preference, by name or as (name, options);
            the CPU alone where None. The CPU stands behind them for operators that they lack.

    Attributes:
        spec: the description of the model in the file.
        optimization: ONNX Runtime's graph optimization level in use; ``ALL`` unless the self-test failed
            with it.
        self_test_error: the largest difference of a logit from that of a self-test vector.
        front_end: None: log-mels are computed in numpy.

    Raises:
        ModelFileError: where the file cannot be used, its graph does not fit its spec, or its self-test
            fails on this machine whatever the optimization level. An INT8 model must have self-test vectors;
            a float32 model without them is taken, because float kernels do not saturate.
        ConfigError: where ``threads`` is below 1 or a provider is not available.

    Example:
        >>> session = Session(model_path)
        >>> log_mel = np.zeros(session.spec.input_shape, np.float32)
        >>> session.logits(log_mel).shape == (1, len(session.spec.labels))
        True
    """

    def __init__(
        self, path: str | Path, threads: int = 1, providers: Sequence[Provider] | None = None
    ) -> None:
        if threads < 1:
            raise ConfigError(f"threads is {threads}: give 1 or more.")
        used = _check_providers(("CPUExecutionProvider",) if providers is None else providers)
        file = read_model(path)
        self.path = file.path
        self.spec = file.spec
        self.front_end: LogMel | None = None
        self._input_shape = input_shape(self.spec, self.path)
        tolerance = _tolerance(file)
        for level in _LEVELS:
            self.optimization = level
            self._session = _start(file, level, threads, used)
            self.self_test_error = error = self._measure_self_test_error()
            if error <= tolerance:
                break
            if level == _LEVELS[0]:
                warnings.warn(
                    f"{file.path} gives other numbers here than when it was exported (a logit is off by "
                    f"{error:.2g}, at most {tolerance:.2g} is fine): trying with fewer graph optimizations.",
                    stacklevel=2,
                )
        else:
            raise ModelFileError(
                f"{file.path} gives wrong answers with this CPU and this release of onnxruntime (a logit is "
                f"off by {error:.2g}, at most {tolerance:.2g} is fine): install another release of "
                "onnxruntime, or export the model again with `--quantize none`."
            )

    def logits(self, log_mel: Array) -> Array:
        """Run the network: float32 [batch, 1, n_mels, frames] -> float32 [batch, classes].

        Raises:
            ValueError: for another shape or dtype.
            ModelFileError: where ONNX Runtime cannot run the network.
        """
        check_input(log_mel, self._input_shape)
        try:
            result: Array = self._session.run([OUTPUT], {INPUT: log_mel})[0]
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise ModelFileError(
                f"{self.path} loads, but onnxruntime {_onnxruntime().__version__} cannot run it: export it "
                "again."
            ) from error
        return result

    def _measure_self_test_error(self) -> float:
        """The largest difference from an expected logit; infinite where a logit is not finite."""
        worst = 0.0
        for vector in self.spec.self_test_vectors:
            logits = self.logits(make_input(vector.formula, vector.seed, self._input_shape))[0]
            if not np.isfinite(logits).all():
                return float("inf")
            worst = max(worst, float(np.abs(logits - np.array(vector.logits)).max()))
        return worst


def _tolerance(file: ModelFile) -> float:
    """How far a logit may be from that of a self-test vector, by the model's number format."""
    if file.spec.quantization.get("scheme") in ("float32", "fp16"):  # fp16 weights, float32 arithmetic
        return FLOAT_TOLERANCE
    return int8_tolerance(file.spec, file.path)


def run_unoptimized(
    model: bytes, log_mel: Array, outputs: Sequence[str] = (OUTPUT,), input_name: str = INPUT
) -> list[Array]:
    """Run a serialized model as it is written, without any graph optimization: what export compares with.

    Args:
        model: an ONNX ModelProto; it needs no ModelSpec.
        log_mel: float32 [batch, 1, n_mels, frames].
        outputs: names of the graph outputs to return.
        input_name: of a model that is not ours.
    """
    return list(_session(model, _LEVELS[-1]).run(list(outputs), {input_name: log_mel}))


def run_optimized(model: bytes, log_mel: Array, outputs: Sequence[str] = (OUTPUT,)) -> list[Array]:
    """The same with all graph optimizations, as a `Session` runs it where its self-test passes."""
    return list(_session(model, _LEVELS[0]).run(list(outputs), {INPUT: log_mel}))


def _check_providers(providers: Sequence[Provider]) -> Sequence[Provider]:
    """The providers, all of which this build of ONNX Runtime has."""
    available = _onnxruntime().get_available_providers()
    for name in map(_provider_name, providers):
        if name not in available:
            raise ConfigError(
                f"This build of onnxruntime has no execution provider '{name}': choose from "
                f"{', '.join(available)}, or install a build that has it."
            )
    if not providers:
        raise ConfigError(f"providers is empty: name one of {', '.join(available)}, or leave it out.")
    return providers


def _provider_name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _start(file: ModelFile, level: str, threads: int, providers: Sequence[Provider]) -> Any:
    """A session for a file that was read, checked against its spec."""
    try:
        session = _session(file.data, level, threads, providers)
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise ModelFileError(
            f"{file.path} cannot be run by onnxruntime {_onnxruntime().__version__}: install a newer "
            "onnxruntime, or export the model again."
        ) from error
    # ONNX Runtime goes on without a provider that does not start, which only a log message says
    if missing := {_provider_name(provider) for provider in providers} - set(session.get_providers()):
        raise ConfigError(
            f"The execution provider {', '.join(sorted(missing))} does not start on this machine: install "
            "what it needs, or leave it out of providers."
        )
    _check_shapes(session, file)
    return session


def _session(
    model: bytes, level: str, threads: int = 1, providers: Sequence[Provider] = ("CPUExecutionProvider",)
) -> Any:
    """A session whose threads do not spin while they wait."""
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Arena and memory patterns stay on. Disabling the arena saves no memory; disabling the patterns makes a
    # run 2 to 3 % slower. The patterns, one for each batch size, cost 64 streams up to 25 MB, one nothing.
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{_ort_name(level)}")
    options.log_severity_level = 4  # what goes wrong comes as an exception; nothing else on stderr
    return ort.InferenceSession(
        model, options, providers=list(providers), disabled_optimizers=_DISABLED_OPTIMIZERS
    )


def _ort_name(level: str) -> str:
    return level if level == "DISABLE_ALL" else f"ENABLE_{level}"


def _check_shapes(session: Any, file: ModelFile) -> None:
    """Check the graph's input and output against the spec."""
    spec = file.spec
    expected = (INPUT, "tensor(float)", list(spec.input_shape[1:]))
    actual = [(tensor.name, tensor.type, tensor.shape[1:]) for tensor in session.get_inputs()]
    if actual != [expected]:
        raise ModelFileError(
            f"{file.path} takes {actual} where its front end makes {expected}: export it again."
        )
    outputs = [(tensor.name, tensor.type, tensor.shape[1:]) for tensor in session.get_outputs()]
    if outputs != [(OUTPUT, "tensor(float)", [len(spec.labels)])]:
        raise ModelFileError(
            f"{file.path} has {len(spec.labels)} labels, but its outputs are {outputs}: its label list has "
            "the wrong length; export it again."
        )
