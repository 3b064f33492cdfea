"""Versions that differ from the shipped one, without any training."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.numpy import load_file, save_file

from tests.support.paths import PRETRAINED

if TYPE_CHECKING:
    from mlmodels.models import ModelVersion


def version_folder(folder: Path, *, temperature: float, shift: int = 0) -> Path:
    """Write a version that scores with another temperature, and return its folder.

    Its engine is the shipped one. With `shift` its labels are moved on by so many places, so that
    it names another species wherever the shipped one is right.
    """
    shutil.copytree(PRETRAINED, folder)
    card = json.loads((folder / "card.json").read_text())
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    tensors["head/bias"] = tensors["head/bias"] + temperature  # other bytes: another version
    save_file(tensors, weights)
    card["files"]["weights.safetensors"]["sha256"] = hashlib.sha256(
        weights.read_bytes()
    ).hexdigest()
    card["temperature"] = temperature
    card["labels"] = card["labels"][shift:] + card["labels"][:shift]
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def another_version(*, temperature: float, shift: int = 0) -> "ModelVersion":
    """Register such a version, in Staging."""
    from mlmodels.services import version_register  # late: benchmarks make folders without Django

    with tempfile.TemporaryDirectory() as scratch:
        folder = version_folder(Path(scratch) / "version", temperature=temperature, shift=shift)
        version, is_new = version_register(folder=folder)
    assert is_new
    return version
