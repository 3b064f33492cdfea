"""Makes versions that differ from the shipped one, without training."""

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
    """Write a version with another temperature into `folder`, and return `folder`.

    Its engine is the shipped one. `shift` rotates its labels by that many places, so that it names
    another species than the shipped version.
    """
    shutil.copytree(PRETRAINED, folder)
    card = json.loads((folder / "card.json").read_text())
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    tensors["head/bias"] = tensors["head/bias"] + temperature  # other bytes make it another version
    save_file(tensors, weights)
    card["files"]["weights.safetensors"]["sha256"] = hashlib.sha256(
        weights.read_bytes()
    ).hexdigest()
    card["temperature"] = temperature
    if card["calibration"] is not None:  # it has the one that scores are made with
        card["calibration"]["temperature"] = temperature
    card["labels"] = card["labels"][shift:] + card["labels"][:shift]
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def another_version(*, temperature: float, shift: int = 0) -> "ModelVersion":
    """Register a version as `version_folder` makes it, in Staging, and return it."""
    from mlmodels.services import version_register  # late: benchmarks use this without Django

    with tempfile.TemporaryDirectory() as scratch:
        folder = version_folder(Path(scratch) / "version", temperature=temperature, shift=shift)
        version, is_new = version_register(folder=folder)
    assert is_new
    return version
