"""The engine that computes predictions: LiteRT for the convolutions, NumPy for the head.

The convolutions are in a file that `export` wrote, nearly always as int8. The head takes little
computation and determines the scores, so it is computed in float32. TensorFlow is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mlmodels.ml.head import head_logits
from mlmodels.ml.layers import feature_maps_shape

SIGNATURE = "serving_default"


class EngineError(Exception):
    """The file is not an engine that `export` wrote."""


@dataclass(frozen=True)
class Scores:
    """The network's output for one photo."""

    logits: np.ndarray
    """Float32 [labels]; `calibration.softmax` with the model's temperature turns them to scores."""
    embedding: np.ndarray
    """Float32 [512], 0 or more: the pooled features, from which a photo's novelty is measured."""


class LiteRTEngine:
    """A LiteRT interpreter and a head. Not thread-safe: each thread needs an engine of its own."""

    def __init__(
        self, interpreter: Interpreter, head: Mapping[str, np.ndarray], path: Path
    ) -> None:
        signatures = interpreter.get_signature_list()
        expected = {SIGNATURE: {"inputs": ["pixels"], "outputs": ["features"]}}
        found = {
            name: {kind: sorted(names) for kind, names in signature.items()}
            for name, signature in signatures.items()
        }
        if found != expected:
            raise EngineError(f"{path.name} has the signatures {found}, not {expected}.")
        runner = interpreter.get_signature_runner(SIGNATURE)
        pixels = runner.get_input_details()["pixels"]
        features = runner.get_output_details()["features"]
        shape = tuple(int(side) for side in pixels["shape"])
        if shape != (1, shape[1], shape[1], 3) or pixels["dtype"] != np.uint8:
            raise EngineError(f"{path.name} takes {shape}, not uint8 pixels [1, size, size, 3].")
        if tuple(pixels["quantization"]) not in {(1.0, 0), (0.0, 0)}:  # int8; not quantised
            raise EngineError(f"{path.name} must take pixels unscaled, from 0 to 255.")
        maps = tuple(int(side) for side in features["shape"])
        if maps != (1, *feature_maps_shape(shape[1])) or features["dtype"] != np.float32:
            raise EngineError(
                f"{path.name} returns {features['dtype'].__name__} {maps}, not float32 maps."
            )
        self._interpreter = interpreter
        self._head = head
        self._pixels = pixels["index"]
        self._features = features["index"]
        self.input_size = shape[1]
        """Pixels on each side of the photo that `score` takes."""

    @classmethod
    def load(cls, path: Path, head: Mapping[str, np.ndarray], num_threads: int = 1) -> LiteRTEngine:
        """Return the engine with the convolutions in the file at `path` and the given `head`.

        `head`: the dense layer's tensors, float32, by name. Raises `EngineError` when the file is
        not an engine that `export` wrote.
        """
        try:
            interpreter = Interpreter(str(path), num_threads=num_threads)
            interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"{path.name} can't be loaded as a LiteRT model: {error}") from error
        return cls(interpreter, head, path)

    def score(self, pixels: np.ndarray) -> Scores:
        """Return logits and embedding of one photo.

        `pixels`: uint8 RGB [size, size, 3], from `preprocessing.to_input`. Raises `ValueError` for
        another shape or dtype.
        """
        size = self.input_size
        if pixels.shape != (size, size, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"The engine takes uint8 pixels [{size}, {size}, 3], not {pixels.dtype} "
                f"{list(pixels.shape)}."
            )
        self._interpreter.set_tensor(self._pixels, pixels[None])
        self._interpreter.invoke()
        embedding = self._interpreter.get_tensor(self._features)[0].mean(axis=(0, 1))
        return Scores(logits=head_logits(embedding, self._head), embedding=embedding)
