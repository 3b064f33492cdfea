"""Registering, exporting and promoting model versions."""

import hashlib
import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from safetensors.numpy import load_file, save_file

from mlmodels.ml.artifact import ArtifactError, read_artifact
from mlmodels.ml.card import FORMAT
from mlmodels.models import ModelVersion, StageTransition
from mlmodels.selectors import production_version, version_artifact
from mlmodels.services import (
    PRETRAINED,
    version_export,
    version_promote,
    version_register,
)
from tests.support.files import files_of
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db


def copied_version(version: ModelVersion) -> ModelVersion:
    """Return a second version with the same files."""
    other = ModelVersion.objects.get(pk=version.pk)
    other.pk, other.version, other.stage = None, version.version + 1, "Staging"
    other.save()
    shutil.rmtree(files_of(other), ignore_errors=True)
    shutil.copytree(files_of(version), files_of(other))
    return other


def test_the_first_version_goes_into_production(db: None) -> None:
    out = StringIO()
    call_command("register_model", "--pretrained", stdout=out)
    assert "is in production" in out.getvalue()
    version = production_version()
    assert (version.name, version.version) == ("VGG16", 1)
    assert len(version.labels) == 10
    assert StageTransition.objects.get().to_stage == "Production"


def test_an_unreadable_version_in_production_is_replaced(production) -> None:
    """After an upgrade to another artifact format, predictions go on."""
    other = another_version(temperature=2.0)
    version_promote(version=other, by=None, reason="test")
    call_command("register_model", "--pretrained", stdout=StringIO())
    assert production_version() == other, "a readable version stays in production"
    card = files_of(other) / "card.json"
    card.write_text(card.read_text().replace(FORMAT, "champipy-model-1"))
    out = StringIO()
    call_command("register_model", "--pretrained", stdout=out)
    assert production_version() == production
    assert "can't be read" in out.getvalue()
    assert "champipy-model-1" in StageTransition.objects.first().reason


def test_registering_again_only_repairs_damaged_files(production) -> None:
    (files_of(production) / "engine.tflite").write_bytes(b"damaged")
    version, is_new = version_register(folder=PRETRAINED)
    assert (version, is_new) == (production, False)
    read_artifact(files_of(production))
    assert ModelVersion.objects.count() == 1


def test_an_exported_version_can_be_registered(production, tmp_path: Path) -> None:
    version_export(version=production, folder=tmp_path / "out")
    assert version_register(folder=tmp_path / "out") == (production, False)
    with pytest.raises(FileExistsError):
        version_export(version=production, folder=tmp_path / "out")


def test_a_folder_with_an_unknown_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(PRETRAINED, tmp_path / "version")
    (tmp_path / "version" / "model.keras").write_bytes(b"code")
    with pytest.raises(CommandError, match=r"model\.keras"):
        call_command("register_model", str(tmp_path / "version"))
    assert ModelVersion.objects.count() == 0


def test_a_folder_with_a_damaged_engine_is_refused(tmp_path: Path) -> None:
    shutil.copytree(PRETRAINED, tmp_path / "version")
    engine = tmp_path / "version" / "engine.tflite"
    damaged = bytearray(engine.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    engine.write_bytes(damaged)
    with pytest.raises(ArtifactError):
        version_register(folder=tmp_path / "version")
    assert ModelVersion.objects.count() == 0


def test_promotion_archives_the_previous_version_and_is_recorded(production, users) -> None:
    successor = copied_version(production)
    version_promote(version=successor, by=users["bob"], reason="better")
    production.refresh_from_db()
    assert production.stage == "Archived"
    assert production_version() == successor
    newest = StageTransition.objects.first()
    assert (newest.by.username, newest.from_stage, newest.to_stage, newest.reason) == (
        "bob",
        "Staging",
        "Production",
        "better",
    )


def test_a_version_with_missing_files_is_not_promoted(production) -> None:
    successor = copied_version(production)
    (files_of(successor) / "engine.tflite").unlink()
    with pytest.raises(ArtifactError):
        version_promote(version=successor, by=None, reason="broken")
    assert production_version() == production


def test_two_versions_cannot_be_in_production(production) -> None:
    successor = copied_version(production)
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(pk=successor.pk).update(stage="Production")


def test_exporting_an_unknown_version_lists_the_known_ones(production, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="VGG16 1"):
        call_command("export_model", "99", str(tmp_path / "out"))


def test_files_of_another_version_are_detected_and_replaced(production, tmp_path: Path) -> None:
    """A new database on an old home: the folder of version 1 holds another, intact version."""
    version_export(version=production, folder=tmp_path / "other")
    card = json.loads((tmp_path / "other" / "card.json").read_text())
    weights = tmp_path / "other" / "weights.safetensors"
    tensors = load_file(weights)
    tensors["head/bias"] = tensors["head/bias"] + 1
    save_file(tensors, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card["files"]["weights.safetensors"]["sha256"] = digest
    (tmp_path / "other" / "card.json").write_text(json.dumps(card))
    shutil.rmtree(files_of(production))
    shutil.copytree(tmp_path / "other", files_of(production))
    with pytest.raises(ArtifactError, match="another model"):
        version_artifact(production)
    assert version_register(folder=PRETRAINED) == (production, False)
    assert version_artifact(production).card.files != card["files"]
