"""The engine that computes predictions: LiteRT for the convolutions, NumPy for the rest.

The convolutions are in a file that `export` wrote, nearly always as int8. Pooling and head take
little computation and determine the scores, so they are computed in float32. TensorFlow is not
imported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from mlmodels.ml.explanation import explain
from mlmodels.ml.head import head_logits, lognorm, projections
from mlmodels.ml.layers import BLOCK_ENDS, Pooling, maps_shape
from mlmodels.ml.pooling import pool

SIGNATURE = "serving_default"
_MAPS = tuple(f"block{block}" for block in BLOCK_ENDS)


class EngineError(Exception):
    """The file is not an engine that `export` wrote."""


@dataclass(frozen=True)
class Scores:
    """The network's output for one photo."""

    logits: np.ndarray
    """Float32 [labels], or [labels + 1] with the output of other species last."""
    embedding: np.ndarray
    """Float32 [`Pooling.size`], 0 or more: the pooled maps."""
    lognorm: float
    """`head.lognorm` of the embedding."""


class LiteRTEngine:
    """A LiteRT interpreter and a head. Not thread-safe: each thread needs an engine of its own.

    `twin` makes one.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        head: Mapping[str, np.ndarray],
        pooling: Pooling,
        path: Path,
        twin: Callable[[], LiteRTEngine],
    ) -> None:
        signatures = interpreter.get_signature_list()
        names = {block: f"block{block}" for block in pooling.maps}
        if pooling.is_average:  # named so before there was another pooling
            names = {5: "features"}
        expected = {SIGNATURE: {"inputs": ["pixels"], "outputs": sorted(names.values())}}
        found = {
            name: {kind: sorted(names) for kind, names in signature.items()}
            for name, signature in signatures.items()
        }
        # The stem of a pooling that has this one serves, too: it returns maps that are not used.
        unused = set(found.get(SIGNATURE, {}).get("outputs", ())) & set(_MAPS) - set(names.values())
        expected[SIGNATURE]["outputs"] = sorted({*names.values(), *unused})
        if found != expected:
            raise EngineError(f"{path.name} has the signatures {found}, not {expected}.")
        runner = interpreter.get_signature_runner(SIGNATURE)
        pixels = runner.get_input_details()["pixels"]
        shape = tuple(int(side) for side in pixels["shape"])
        if shape != (1, shape[1], shape[1], 3) or pixels["dtype"] != np.uint8:
            raise EngineError(f"{path.name} takes {shape}, not uint8 pixels [1, size, size, 3].")
        if tuple(pixels["quantization"]) not in {(1.0, 0), (0.0, 0)}:  # int8; not quantised
            raise EngineError(f"{path.name} must take pixels unscaled, from 0 to 255.")
        outputs = runner.get_output_details()
        for block, name in names.items():
            maps = tuple(int(side) for side in outputs[name]["shape"])
            of_block = (1, *maps_shape(BLOCK_ENDS[block], shape[1]))
            if maps != of_block or outputs[name]["dtype"] != np.float32:
                raise EngineError(
                    f"{path.name} returns {outputs[name]['dtype'].__name__} {maps}, "
                    f"not float32 {of_block}."
                )
        self.twin = twin
        """Returns another engine of the same file, which shares its bytes with this one."""
        self._interpreter = interpreter
        self._head = head
        self._pooling = pooling
        self._projections = projections(head, pooling)
        self._blas = ThreadpoolController().select(user_api="blas")
        self._pixels = pixels["index"]
        self._maps = {block: outputs[name]["index"] for block, name in names.items()}
        self.blocks = tuple(self._maps)
        """The blocks of `maps`."""
        self.input_size = shape[1]
        """Pixels on each side of the photo that `score` takes."""

    @classmethod
    def load(
        cls,
        path: Path,
        head: Mapping[str, np.ndarray],
        pooling: Pooling,
        num_threads: int = 1,
    ) -> LiteRTEngine:
        """Return the engine with the convolutions in the file at `path` and the given `head`.

        `head`: its tensors (`layers.tensor_shapes`), float32, by name. Raises `EngineError` when
        the file is not an engine that `export` wrote for this `pooling`.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EngineError(f"{path.name} can't be read: {error}") from error

        return cls._of(content, head, pooling, path, num_threads)

    @classmethod
    def _of(
        cls,
        content: bytes,
        head: Mapping[str, np.ndarray],
        pooling: Pooling,
        path: Path,
        num_threads: int,
    ) -> LiteRTEngine:
        try:
            interpreter = Interpreter(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{path.name} can't be loaded as a LiteRT model: {error}") from error
        twin = functools.partial(cls._of, content, head, pooling, path, num_threads)
        return cls(interpreter, head, pooling, path, twin)

    def score(self, pixels: np.ndarray) -> Scores:
        """Return logits and embedding of one photo; arguments and errors are those of `maps`."""
        maps = self.maps(pixels)
        # More threads would gain nothing here, and wait busily while the next photo is scored.
        with self._blas.limit(limits=1):
            embedding = pool(maps, self._pooling, self._projections)
            return Scores(
                logits=head_logits(embedding, self._head),
                embedding=embedding,
                lognorm=float(lognorm(embedding, self._head)),
            )

    def explain(
        self,
        pixels: np.ndarray,
        *,
        temperature: float,
        n_labels: int,
        species: int,
        against: int | None = None,
    ) -> np.ndarray:
        """Return how much each cell of one photo speaks for a species, float64 [rows, columns].

        `pixels` as for `maps`, the other arguments and errors are those of `explanation.explain`.
        """
        maps = self.maps(pixels)
        with self._blas.limit(limits=1):
            return explain(
                maps,
                self._pooling,
                self._head,
                temperature=temperature,
                n_labels=n_labels,
                species=species,
                against=against,
            )

    def maps(self, pixels: np.ndarray) -> dict[int, np.ndarray]:
        """Return the maps, float32 [h, w, channels], of each block that is pooled.

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
        return {
            block: self._interpreter.get_tensor(index)[0] for block, index in self._maps.items()
        }
