"""A model version's card: its fields, and how to read them from untrusted JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from mlmodels.ml.answers import OTHER_CLASS, AnswerCalibration, read_calibration
from mlmodels.ml.layers import CONVOLUTIONS, HEAD, Pooling
from mlmodels.ml.preprocessing import PREPROCESSING

FORMAT = "champipy-model-3"
FORMAT_2 = "champipy-model-2"
"""The format before: the average of the last maps, and neither scope nor calibration."""
_SINCE_3: dict[str, Any] = {
    "pooling": {"blocks": [], "second_order": 0},
    "knows_others": False,
    "calibration": None,
}
"""The fields that format 2 lacks, with their values for it."""
_FORMER_POOLING = {"blocks", "second_order"}
"""The fields of a pooling before the second order could be of other blocks than the last."""
_POOLING = {field.name for field in fields(Pooling)}
CARD, ENGINE, WEIGHTS = "card.json", "engine.tflite", "weights.safetensors"
MAX_CARD_BYTES = 1_000_000
MAX_BYTES = 100_000_000
"""Limit for engine and weights together; with all 14 layers trained they take about 45 MB."""

_LAYERS = (*(layer.name for layer in CONVOLUTIONS), HEAD)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """The folder is not a model version, or does not match its card; the message says why."""


@dataclass(frozen=True)
class FileRecord:
    """A file's SHA-256 and size, as the card states them."""

    sha256: str
    """64 lowercase hexadecimal digits."""
    size: int
    """In bytes."""


@dataclass(frozen=True)
class Card:
    """A model version's description of itself."""

    format: str
    name: str
    labels: tuple[str, ...]
    """Species, in the order of the logits."""
    input_size: int
    """Pixels on each side of the input."""
    preprocessing: str
    """`preprocessing.PREPROCESSING` at the training."""
    temperature: float
    """The logits are divided by it before the softmax."""
    pooling: Pooling
    knows_others: bool
    """Whether the dense layer has an output for other species, after those of the labels."""
    calibration: AnswerCalibration | None
    """How outputs become answers; None: there are only scores."""
    changed_layers: tuple[str, ...]
    """The layers in ``weights.safetensors``; all others are ImageNet's."""
    backbone: str
    """`backbone.weights_digest` of the ImageNet tensors that the training started from."""
    dataset_hash: str
    seed: int
    metrics: dict[str, Any]
    recipe: dict[str, Any]
    packages: dict[str, str]
    files: dict[str, FileRecord]

    @property
    def n_outputs(self) -> int:
        """Return the number of the dense layer's outputs."""
        return len(self.labels) + self.knows_others

    def as_dict(self) -> dict[str, Any]:
        """Return the content of card.json."""
        calibration = None if self.calibration is None else self.calibration.as_dict()
        return {**asdict(self), "calibration": calibration}


def read_card(path: Path) -> Card:
    """Return the card in the file at `path`; raise `ArtifactError` unless it is valid."""
    if path.stat().st_size > MAX_CARD_BYTES:
        raise ArtifactError(f"{path} is larger than {MAX_CARD_BYTES} bytes.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} can't be read as JSON: {error}") from error
    try:
        return _card(raw)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _card(raw: Any) -> Card:
    names = {field.name for field in fields(Card)}
    if isinstance(raw, dict) and raw.get("format") == FORMAT_2 and not raw.keys() & _SINCE_3:
        raw = {**raw, **_SINCE_3}
    if not isinstance(raw, dict) or raw.keys() != names:
        found = sorted(raw) if isinstance(raw, dict) else type(raw).__name__
        raise ArtifactError(f"the card must have the fields {sorted(names)}, not {found}.")
    _require(
        raw["format"] in (FORMAT, FORMAT_2),
        f"the format must be {FORMAT!r} or {FORMAT_2!r}, not {raw['format']!r}.",
    )
    _require(
        raw["preprocessing"] == PREPROCESSING,
        f"the model was trained with the preprocessing {raw['preprocessing']!r}; "
        f"this ChampiPy uses {PREPROCESSING!r}.",
    )
    for name in ("name", "backbone", "dataset_hash"):
        _require(isinstance(raw[name], str) and raw[name] != "", f"{name} must be non-empty text.")
    labels, changed = _strings(raw, "labels"), _strings(raw, "changed_layers")
    _require(
        len(labels) >= 2 and len(set(labels)) == len(labels) and all(labels),
        "there must be two or more labels, all different and none empty.",
    )
    _require(
        HEAD in changed and changed == tuple(name for name in _LAYERS if name in changed),
        "changed_layers must be layers of the network, in its order, including the head.",
    )
    _require(_is_int(raw["seed"]), "the seed must be an integer.")
    _require(
        _is_int(raw["input_size"]) and raw["input_size"] >= 32,
        "input_size must be an integer of at least 32.",
    )
    temperature = raw["temperature"]
    _require(
        _is_number(temperature) and math.isfinite(temperature) and temperature > 0,
        "the temperature must be a positive number.",
    )
    _require(isinstance(raw["knows_others"], bool), "knows_others must be true or false.")
    for name in ("metrics", "recipe", "packages"):
        _require(isinstance(raw[name], dict), f"{name} must be an object.")
    _require(
        all(isinstance(version, str) for version in raw["packages"].values()),
        "the versions of packages must be strings.",
    )
    calibration = _calibration(raw["calibration"], len(labels))
    _require(
        raw["knows_others"] or calibration is None or calibration.scope.method != OTHER_CLASS,
        "the calibration needs the output for other species, which knows_others denies.",
    )
    return Card(
        **{
            **raw,
            "labels": labels,
            "changed_layers": changed,
            "pooling": _pooling(raw["pooling"]),
            "calibration": calibration,
            "files": _files(raw["files"]),
        }
    )


def _pooling(raw: Any) -> Pooling:
    _require(
        isinstance(raw, dict)
        and raw.keys() in (_POOLING, _FORMER_POOLING)
        and all(
            isinstance(raw[name], list) and all(_is_int(block) for block in raw[name])
            for name in raw
            if name.endswith("blocks")
        )
        and _is_int(raw["second_order"])
        and _is_number(raw.get("centre", 0.0)),
        "the pooling must have blocks and second_order_blocks, lists of integers, second_order, an "
        "integer, and centre, a number.",
    )
    lists = {name: tuple(raw[name]) for name in raw if name.endswith("blocks")}
    try:
        return Pooling(**{**raw, **lists})
    except ValueError as error:
        raise ArtifactError(f"the pooling is not one that this ChampiPy knows: {error}") from error


def _calibration(raw: Any, n_labels: int) -> AnswerCalibration | None:
    if raw is None:
        return None
    try:
        return read_calibration(raw, n_labels)
    except ValueError as error:
        raise ArtifactError(f"the calibration is not valid: {error}") from error


def _files(raw: Any) -> dict[str, FileRecord]:
    _require(
        isinstance(raw, dict) and raw.keys() == {ENGINE, WEIGHTS},
        f"files must be {ENGINE} and {WEIGHTS}, and no others.",
    )
    for name, record in raw.items():
        _require(
            isinstance(record, dict)
            and record.keys() == {"sha256", "size"}
            and isinstance(record["sha256"], str)
            and _SHA256.fullmatch(record["sha256"]) is not None
            and _is_int(record["size"])
            and record["size"] > 0,
            f"{name} must have a sha256 (64 hexadecimal digits) and a size above 0.",
        )
    total = sum(record["size"] for record in raw.values())
    _require(total <= MAX_BYTES, f"the files have {total} bytes; at most {MAX_BYTES} are allowed.")
    return {name: FileRecord(**record) for name, record in raw.items()}


def _strings(raw: dict[str, Any], name: str) -> tuple[str, ...]:
    values = raw[name]
    _require(
        isinstance(values, list) and all(isinstance(value, str) for value in values),
        f"{name} must be a list of strings.",
    )
    return tuple(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_int(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ArtifactError(message)
