"""The int8 engine that answers predictions: numpy and LiteRT, no TensorFlow.

A file that `export.export_engine` wrote. Memory is allocated once, at loading.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mlmodels.ml.layers import EMBEDDING_SIZE

SIGNATURE = "serving_default"


class EngineError(Exception):
    """The file is no engine, or not one of ours."""


@dataclass(frozen=True)
class Scores:
    """What the network says about one photo."""

    logits: np.ndarray
    """Float32 [labels]; `calibration.softmax` with the model's temperature makes scores of them."""
    embedding: np.ndarray
    """Float32 [512], 0 or more: the pooled features, for telling how unusual a photo is."""


class LiteRTEngine:
    """One interpreter. Not for use by two threads at once: give each its own."""

    def __init__(self, interpreter: Interpreter, path: Path) -> None:
        signatures = interpreter.get_signature_list()
        expected = {SIGNATURE: {"inputs": ["pixels"], "outputs": ["embedding", "logits"]}}
        found = {
            name: {kind: sorted(names) for kind, names in signature.items()}
            for name, signature in signatures.items()
        }
        if found != expected:
            raise EngineError(f"{path.name} has the signatures {found}, not {expected}.")
        runner = interpreter.get_signature_runner(SIGNATURE)
        pixels = runner.get_input_details()["pixels"]
        outputs = runner.get_output_details()
        shape = tuple(int(side) for side in pixels["shape"])
        if shape != (1, shape[1], shape[1], 3) or pixels["dtype"] != np.uint8:
            raise EngineError(f"{path.name} takes {shape}, not uint8 pixels [1, size, size, 3].")
        if tuple(pixels["quantization"]) != (1.0, 0):
            raise EngineError(f"{path.name} does not take pixels as they are, 0 to 255.")
        logits = tuple(int(side) for side in outputs["logits"]["shape"])
        embedding = tuple(int(side) for side in outputs["embedding"]["shape"])
        if (
            logits[:-1] != (1,)
            or embedding != (1, EMBEDDING_SIZE)
            or any(output["dtype"] != np.float32 for output in outputs.values())
        ):
            raise EngineError(f"{path.name} answers with {logits} and {embedding}.")
        self._interpreter = interpreter
        self._pixels = pixels["index"]
        self._logits = outputs["logits"]["index"]
        self._embedding = outputs["embedding"]["index"]
        self.input_size = shape[1]
        """Pixels on a side of the photo that `score` takes."""
        self.n_labels = logits[1]

    @classmethod
    def load(cls, path: Path, num_threads: int = 1) -> LiteRTEngine:
        """The engine in the file at `path`; raises `EngineError` when it is none of ours."""
        try:
            interpreter = Interpreter(str(path), num_threads=num_threads)
            interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"{path.name} can't be loaded as a LiteRT model: {error}") from error
        return cls(interpreter, path)

    def score(self, pixels: np.ndarray) -> Scores:
        """Logits and embedding of one photo, uint8 RGB [size, size, 3] (`preprocessing.to_input`).

        Raises `ValueError` for another shape or dtype.
        """
        size = self.input_size
        if pixels.shape != (size, size, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"The engine takes uint8 pixels [{size}, {size}, 3], not {pixels.dtype} "
                f"{list(pixels.shape)}."
            )
        self._interpreter.set_tensor(self._pixels, pixels[None])
        self._interpreter.invoke()
        return Scores(
            logits=self._interpreter.get_tensor(self._logits)[0],
            embedding=self._interpreter.get_tensor(self._embedding)[0],
        )
