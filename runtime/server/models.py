"""The models that the page offers, by name, and the card of each."""

from __future__ import annotations

import hashlib
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.classifier import Model, load_model, packaged_model
from runtime.errors import ModelFileError
from runtime.model.model_file import read_model


@dataclass
class Models:
    """Model files, of which each is loaded when it is first asked for.

    A client names a model by a key of `paths`: no text of a client becomes a path.

    Attributes:
        paths: name to file; the first is the default.
        temperature: in place of the one in the files.
        packaged: whether it is the packaged model alone, compiled if that is installed, see `load_model`.

    Example:
        >>> models = Models.find(model_path.parent)
        >>> models.names, models.load("tiny").labels
        (['tiny'], ('hum', 'dog', 'clock', 'rain'))
    """

    paths: dict[str, Path]
    temperature: float | None = None
    packaged: bool = False
    _loaded: dict[str, Model] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def find(cls, path: str | Path | None, temperature: float | None = None) -> Models:
        """The model at a path, all in a folder, or the packaged one.

        Files of a folder that cannot be used are named on stderr and left out.

        Raises:
            ModelFileError: where there is none.
        """
        if path is None or not Path(path).is_dir():
            file = packaged_model() if path is None else Path(path)
            return cls({file.stem: file}, temperature, packaged=path is None)
        paths = {}
        for file in sorted(Path(path).glob("*.onnx")):
            try:
                read_model(file)
                paths[file.stem] = file
            except ModelFileError as error:
                print(f"warning: {error}", file=sys.stderr, flush=True)
        if not paths:
            raise ModelFileError(f"There is no model in {path}: `python -m export onnx` makes one.")
        return cls(paths, temperature)

    @property
    def names(self) -> list[str]:
        """Of all models, the default first."""
        return list(self.paths)

    def load(self, name: str) -> Model:
        """A model, checked and ready.

        Raises:
            KeyError: where there is no such name.
            ModelFileError: where its file cannot be used.
        """
        with self._lock:
            if name not in self._loaded:
                path = None if self.packaged else self.paths[name]
                self._loaded[name] = load_model(path, self.temperature)
            return self._loaded[name]

    def card(self, name: str) -> dict[str, Any]:
        """Everything that the file says of the model, and what was checked; errors as `load`."""
        model = self.load(name)
        data, spec = self.paths[name].read_bytes(), model.spec
        return {
            "name": name,
            "labels": list(spec.labels),
            "task": spec.task,
            "clip_s": spec.clip_s,
            "complexity": spec.complexity,
            "quantization": spec.quantization,
            "temperature": spec.temperature,
            "thresholds": spec.thresholds,
            "frontend": spec.frontend.to_dict(),
            "provenance": spec.provenance,
            "self_test": {
                "vectors": len(spec.self_test_vectors),
                "passed": True,  # a model that does not pass is not loaded
                "largest_difference": model.session.self_test_error,
                "optimization": model.session.optimization,
            },
            "file_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
