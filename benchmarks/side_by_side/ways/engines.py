"""Other engines for the network, each behind librosa's log-mel, which is the lightest that they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.side_by_side.ways.by_hand import Librosa
from benchmarks.side_by_side.ways.contestant import Array


class OpenVinoFp32(Librosa):
    """OpenVINO on one thread, in float32 and not in the bfloat16 that it would choose by itself."""

    file = "fp32.onnx"

    def _load(self, folder: Path) -> None:
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }  # fmt: skip
        model = openvino.Core().read_model(folder / self.file)
        model.reshape([1, 1, self._spec.n_mels, self._spec.frames(self._spec.sample_rate)])
        self._request = openvino.compile_model(model, "CPU", options).create_infer_request()

    def network(self, log_mel: Array) -> Array:
        """-> [classes]."""
        self._request.infer({0: log_mel}, share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data[0], np.float32)


class OpenVinoInt8(OpenVinoFp32):
    """The same with this project's INT8 graph."""

    file = "int8.onnx"


class Ncnn(Librosa):
    """ncnn on one thread, the file converted by pnnx."""

    def _load(self, folder: Path) -> None:
        import ncnn

        self._ncnn, self._net = ncnn, ncnn.Net()
        self._net.opt.num_threads = 1
        self._net.opt.use_vulkan_compute = False
        # float32 as the others have it; ncnn would store fp16 where the processor has it
        self._net.opt.use_fp16_packed = self._net.opt.use_fp16_storage = False
        self._net.opt.use_fp16_arithmetic = self._net.opt.use_bf16_storage = False
        self._net.load_param(str(folder / "fp32.ncnn.param"))
        self._net.load_model(str(folder / "fp32.ncnn.bin"))

    def network(self, log_mel: Array) -> Array:
        """-> [classes]."""
        extractor = self._net.create_extractor()
        extractor.input("in0", self._ncnn.Mat(log_mel[0]))
        return np.array(extractor.extract("out0")[1], np.float32).reshape(-1)


class LiteRt(Librosa):
    """LiteRT with its XNNPACK delegate on one thread, the file converted by onnx2tf."""

    def _load(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(folder / "fp32.tflite"), num_threads=1)
        self._interpreter.allocate_tensors()
        (entry,), (exit_,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._output, self._shape = entry["index"], exit_["index"], entry["shape"]

    def network(self, log_mel: Array) -> Array:
        """-> [classes]; one channel, so that the order of axes does not matter."""
        self._interpreter.set_tensor(self._input, log_mel.reshape(self._shape))
        self._interpreter.invoke()
        logits: Array = self._interpreter.get_tensor(self._output)[0]
        return logits
