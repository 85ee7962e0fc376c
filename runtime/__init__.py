"""Hears: from a waveform, a file or a microphone to labels, with numpy and ONNX Runtime alone."""
