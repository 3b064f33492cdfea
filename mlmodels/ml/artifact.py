"""A model version as a folder: a card, the engine, and the weights that fine-tuning needs.

    card.json            the model's description, with the size and SHA-256 of the next two files
    engine.tflite        the convolutions that compute predictions (`engine.LiteRTEngine`)
    weights.safetensors  the layers changed by training: convolutions float16, head float32
    README.md            the card for human readers (`model_card`); never read by ChampiPy

No file holds executable code: JSON, a LiteRT graph and plain tensors. A folder with any other file,
or with content that contradicts the card, is refused.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.card import (
    CARD,
    ENGINE,
    FORMAT,
    WEIGHTS,
    ArtifactError,
    Card,
    FileRecord,
    read_card,
)
from mlmodels.ml.engine import EngineError, LiteRTEngine
from mlmodels.ml.layers import HEAD, Pooling, tensor_shapes
from mlmodels.ml.model_card import model_card
from mlmodels.ml.preprocessing import PREPROCESSING

DOCUMENTATION = frozenset({"README.md", "MODEL_CARD.md"})
"""Files that may be in the folder besides the three that are read."""
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Artifact:
    """A model version's folder that `read_artifact` has checked."""

    folder: Path
    card: Card
    head: dict[str, np.ndarray]
    """The head's tensors (`layers.tensor_shapes`), float32."""

    @property
    def engine_path(self) -> Path:
        return self.folder / ENGINE

    def load_engine(self, num_threads: int = 1) -> LiteRTEngine:
        """Return the engine, which computes with `num_threads` threads.

        Raises `ArtifactError` when the file is not an engine or its input size is not the card's.
        """
        try:
            engine = LiteRTEngine.load(self.engine_path, self.head, self.card.pooling, num_threads)
        except EngineError as error:
            raise ArtifactError(f"{self.folder}: {error}") from error
        if engine.input_size != self.card.input_size:
            raise ArtifactError(
                f"{self.folder}: the engine takes {engine.input_size} pixels a side; "
                f"the card says {self.card.input_size}."
            )
        return engine

    def load_weights(self) -> dict[str, np.ndarray]:
        """Return the tensors of the head and the changed layers, float32, by name.

        `training.StartingPoint` takes them as they are. Together with the backbone's tensors
        (``{**backbone, **artifact.load_weights()}``) they are the whole network, as
        `network.build_network` takes it. Raises `ArtifactError` when the file no longer fits the
        card.
        """
        tensors = _read_tensors(self.folder / WEIGHTS, self.card)
        return {name: array.astype(np.float32) for name, array in tensors.items()}


def installed_versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`, which a training's result depends on."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}


def write_artifact(
    folder: Path,
    *,
    name: str,
    labels: Sequence[str],
    input_size: int,
    temperature: float,
    pooling: Pooling,
    calibration: AnswerCalibration | None,
    engine: Path,
    weights: Mapping[str, np.ndarray],
    changed_layers: Sequence[str],
    backbone: str,
    dataset_hash: str,
    seed: int,
    metrics: Mapping[str, Any],
    recipe: Mapping[str, Any],
) -> Artifact:
    """Write a model version to `folder`, which must not exist yet, and return it checked.

    `weights`: the network's tensors, float32 (`TrainedNetwork.weights`); only those of
    `changed_layers` are written. `engine`: the file that `export.export_engine` wrote; it is
    copied. `metrics` and `recipe`: anything that JSON can hold. The folder appears complete (it is
    written under a temporary name, then renamed) or not at all. Raises `ArtifactError` when
    `folder` exists, or when `read_artifact` would refuse the content.
    """
    if folder.exists():
        raise ArtifactError(f"{folder} already exists, and a model version is never overwritten.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        shutil.copyfile(engine, temporary / ENGINE)
        n_outputs = weights[f"{HEAD}/bias"].shape[0]
        tensors = {
            tensor: np.ascontiguousarray(weights[tensor], _dtype(layer))
            for layer in changed_layers
            for tensor in tensor_shapes(layer, n_outputs, pooling)
        }
        save_file(tensors, temporary / WEIGHTS)
        card = Card(
            format=FORMAT,
            name=name,
            labels=tuple(labels),
            input_size=input_size,
            preprocessing=PREPROCESSING,
            temperature=temperature,
            pooling=pooling,
            knows_others=n_outputs > len(labels),
            calibration=calibration,
            changed_layers=tuple(changed_layers),
            backbone=backbone,
            dataset_hash=dataset_hash,
            seed=seed,
            metrics=dict(metrics),
            recipe=dict(recipe),
            packages=installed_versions(),
            files={file: _record(temporary / file) for file in (ENGINE, WEIGHTS)},
        )
        text = json.dumps(card.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        (temporary / CARD).write_text(text + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(model_card(card), encoding="utf-8")
        (temporary / WEIGHTS).chmod(0o644)  # safetensors and mkdtemp admit only the owner
        temporary.chmod(0o755)
        artifact = read_artifact(temporary)
        artifact.load_engine()
        temporary.rename(folder)
    except (KeyError, ValueError, OSError) as error:
        raise ArtifactError(f"{folder} could not be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Artifact(folder, artifact.card, artifact.head)


def read_artifact(folder: Path) -> Artifact:
    """Return the model version in `folder`, after checking it.

    Checked are the files' names, sizes and SHA-256 (only regular files are allowed), the card's
    fields and their types, the labels, and the names, shapes and dtypes of the weights.
    `Artifact.load_engine` checks the engine's input and output. Raises `ArtifactError`, whose
    message says what is wrong.
    """
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder.")
    present = {entry.name for entry in folder.iterdir()}
    if missing := {CARD, ENGINE, WEIGHTS} - present:
        raise ArtifactError(f"{folder} has no {', '.join(sorted(missing))}.")
    if extra := present - {CARD, ENGINE, WEIGHTS} - DOCUMENTATION:
        raise ArtifactError(
            f"{folder} has files that do not belong to a model version: {sorted(extra)}. "
            "Remove them."
        )
    for entry in folder.iterdir():
        if entry.is_symlink() or not entry.is_file():
            raise ArtifactError(f"{entry} is not a regular file.")
    card = read_card(folder / CARD)
    for name, record in card.files.items():
        size = (folder / name).stat().st_size
        if size != record.size:
            raise ArtifactError(f"{folder / name} has {size} bytes; the card says {record.size}.")
        if _record(folder / name) != record:
            raise ArtifactError(f"{folder / name} does not have the SHA-256 in its card.")
    tensors = _read_tensors(folder / WEIGHTS, card)
    head = {name: tensors[name] for name in tensor_shapes(HEAD, card.n_outputs, card.pooling)}
    return Artifact(folder, card, head)


def _dtype(layer: str) -> type[np.floating]:
    """Return the dtype in which a layer's tensors are stored.

    The head is small and determines the scores, so it keeps full precision.
    """
    return np.float32 if layer == HEAD else np.float16


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        return FileRecord(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _read_tensors(path: Path, card: Card) -> dict[str, np.ndarray]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} can't be read as safetensors: {error}") from error
    expected = {
        name: (shape, np.dtype(_dtype(layer)))
        for layer in card.changed_layers
        for name, shape in tensor_shapes(layer, card.n_outputs, card.pooling).items()
    }
    if missing := expected.keys() - tensors.keys():
        raise ArtifactError(f"{path} lacks {sorted(missing)}.")
    if extra := tensors.keys() - expected.keys():
        raise ArtifactError(f"{path} has tensors that its card does not name: {sorted(extra)}.")
    for name, array in tensors.items():
        shape, dtype = expected[name]
        if array.shape != shape or array.dtype != dtype:
            raise ArtifactError(
                f"{path}: {name} is {array.dtype} {list(array.shape)}, "
                f"expected {dtype} {list(shape)}."
            )
        if not np.isfinite(array).all():
            raise ArtifactError(f"{path}: {name} has values that are not finite.")
    return tensors
