"""A model version as a folder: a card, the engine, and the weights that fine-tuning needs.

    card.json            what the model is, with the size and SHA-256 of the other two
    engine.tflite        the convolutions that answer predictions (`engine.LiteRTEngine`)
    weights.safetensors  the layers that are not ImageNet's: convolutions float16, head float32
    README.md            the card for people (`model_card`); not read

Nothing in it can run: JSON, a LiteRT graph and plain tensors. Anything else in the folder, or
anything that does not fit the card, is refused.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

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
from mlmodels.ml.layers import HEAD, tensor_shapes
from mlmodels.ml.model_card import model_card
from mlmodels.ml.preprocessing import PREPROCESSING

FOR_PEOPLE = frozenset({"README.md", "MODEL_CARD.md"})
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Artifact:
    """A folder that has been checked."""

    folder: Path
    card: Card
    head: dict[str, np.ndarray]
    """The dense layer's tensors, float32."""

    @property
    def engine_path(self) -> Path:
        return self.folder / ENGINE

    def load_engine(self, num_threads: int = 1) -> LiteRTEngine:
        """The engine, once its input and output have been found to fit the card."""
        try:
            engine = LiteRTEngine.load(self.engine_path, self.head, num_threads)
        except EngineError as error:
            raise ArtifactError(f"{self.folder}: {error}") from error
        if engine.input_size != self.card.input_size:
            raise ArtifactError(
                f"{self.folder}: the engine takes {engine.input_size} pixels; "
                f"the card says {self.card.input_size}."
            )
        return engine

    def load_weights(self) -> dict[str, np.ndarray]:
        """The changed layers' tensors as float32: what `training.train` takes as `initial`.

        Together with the backbone (``{**backbone, **artifact.load_weights()}``) they are the whole
        network, for `network.build_network`.
        """
        tensors = _read_tensors(self.folder / WEIGHTS, self.card)
        return {name: array.astype(np.float32) for name, array in tensors.items()}


def installed_versions() -> dict[str, str]:
    """The versions of the packages that a training's result depends on."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}


def write_artifact(
    folder: Path,
    *,
    name: str,
    labels: Sequence[str],
    input_size: int,
    temperature: float,
    engine: Path,
    weights: Mapping[str, np.ndarray],
    changed_layers: Sequence[str],
    backbone: str,
    dataset_hash: str,
    seed: int,
    metrics: Mapping[str, Any],
    recipe: Mapping[str, Any],
) -> Artifact:
    """Write a model version to `folder`, which must not exist yet, and read it back.

    `weights`: the network's tensors, float32 (`TrainedNetwork.weights`); those of `changed_layers`
    are kept. `engine`: the file that `export.export_engine` wrote, copied. `metrics` and `recipe`
    are anything JSON can hold. The folder appears whole (written beside it, then renamed) or not at
    all. Raises `ArtifactError` when it exists, or for content that `read_artifact` would refuse.
    """
    if folder.exists():
        raise ArtifactError(f"{folder} exists already, and a model version is never changed.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        shutil.copyfile(engine, temporary / ENGINE)
        tensors = {
            tensor: np.ascontiguousarray(weights[tensor], _dtype(layer))
            for layer in changed_layers
            for tensor in tensor_shapes(layer, len(labels))
        }
        save_file(tensors, temporary / WEIGHTS)
        card = Card(
            format=FORMAT,
            name=name,
            labels=tuple(labels),
            input_size=input_size,
            preprocessing=PREPROCESSING,
            temperature=temperature,
            changed_layers=tuple(changed_layers),
            backbone=backbone,
            dataset_hash=dataset_hash,
            seed=seed,
            metrics=dict(metrics),
            recipe=dict(recipe),
            packages=installed_versions(),
            files={file: _record(temporary / file) for file in (ENGINE, WEIGHTS)},
        )
        text = json.dumps(asdict(card), indent=2, ensure_ascii=False, allow_nan=False)
        (temporary / CARD).write_text(text + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(model_card(card), encoding="utf-8")
        (temporary / WEIGHTS).chmod(0o644)  # safetensors' and mkdtemp's are for the owner alone
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
    """Check a model version and give its card.

    Checked: which files there are (regular files only), their sizes and SHA-256, the card's fields
    and their types, labels, the weights' names, shapes and dtypes. The engine's own input and
    output are checked by `Artifact.load_engine`. Raises `ArtifactError`, which says what is wrong.
    """
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is no folder.")
    present = {entry.name for entry in folder.iterdir()}
    if missing := {CARD, ENGINE, WEIGHTS} - present:
        raise ArtifactError(f"{folder} has no {', '.join(sorted(missing))}.")
    if extra := present - {CARD, ENGINE, WEIGHTS} - FOR_PEOPLE:
        raise ArtifactError(
            f"{folder} has files that do not belong to a model version: {sorted(extra)}."
        )
    for entry in folder.iterdir():
        if entry.is_symlink() or not entry.is_file():
            raise ArtifactError(f"{entry} is no regular file.")
    card = read_card(folder / CARD)
    for name, record in card.files.items():
        size = (folder / name).stat().st_size
        if size != record.size:
            raise ArtifactError(f"{folder / name} has {size} bytes; the card says {record.size}.")
        if _record(folder / name) != record:
            raise ArtifactError(f"{folder / name} is not the file that the card describes.")
    tensors = _read_tensors(folder / WEIGHTS, card)
    head = {name: tensors[name] for name in tensor_shapes(HEAD, len(card.labels))}
    return Artifact(folder, card, head)


def _dtype(layer: str) -> type[np.floating]:
    """The head is small and decides the scores: it keeps its full precision."""
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
        for name, shape in tensor_shapes(layer, len(card.labels)).items()
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
            raise ArtifactError(f"{path}: {name} has numbers that are not finite.")
    return tensors
