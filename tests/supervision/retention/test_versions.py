"""Retention of versions: which former versions lose their files."""

from pathlib import Path

import pytest
from django.utils import timezone

from mlmodels.ml.artifact import ArtifactError
from mlmodels.models import ModelVersion, StageTransition, TrainingRun
from mlmodels.selectors import file_records, version_artifact
from mlmodels.services import (
    PRETRAINED,
    version_files_delete,
    version_promote,
    version_register,
    version_rollback,
)
from supervision.evaluations.promotion import PromotionRefused, rollback_request
from supervision.retention.selectors import Amount, Subject, old_versions, prunable
from supervision.retention.services import prune, versions_prune
from tests.support.files import files_of
from tests.support.rows import version_row
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings, tmp_path: Path) -> Path:
    settings.CHAMPIPY_HOME = tmp_path
    return tmp_path


def former_version(number: int, stage: str = "Archived", **fields: object) -> ModelVersion:
    """Create a version with a file of 10 bytes that was put into production."""
    version = version_row(number, stage)
    ModelVersion.objects.filter(pk=version.pk).update(**fields)
    files_of(version).mkdir(parents=True)
    (files_of(version) / "engine.tflite").write_bytes(b"0123456789")
    StageTransition.objects.create(
        model_version=version, from_stage="Staging", to_stage="Production", reason="r"
    )
    return version


def stored(home: Path) -> list[int]:
    return sorted(int(path.name) for path in (home / "models" / "VGG16").iterdir())


def test_the_five_that_were_in_production_last_keep_their_files(home) -> None:
    for number in range(1, 9):
        former_version(number)
    former_version(9, "Production")
    StageTransition.objects.create(  # again in production, after the others
        model_version=ModelVersion.objects.get(version=1), from_stage="Archived",
        to_stage="Production", reason="r",
    )  # fmt: skip
    StageTransition.objects.create(
        model_version=ModelVersion.objects.get(version=9), from_stage="Archived",
        to_stage="Production", reason="r",
    )  # fmt: skip
    assert prunable(timezone.now())[-1] == Amount(Subject.VERSIONS, 3, 30)
    assert versions_prune() == Amount(Subject.VERSIONS, 3, 30)
    assert stored(home) == [1, 5, 6, 7, 8, 9]
    assert ModelVersion.objects.count() == 9
    with pytest.raises(ArtifactError):
        version_artifact(ModelVersion.objects.get(version=2))
    assert versions_prune() == Amount(Subject.VERSIONS, 0)
    assert prune()[-1] == Amount(Subject.VERSIONS, 0)


def test_versions_that_anything_needs_keep_their_files(home, settings) -> None:
    settings.CHAMPIPY_KEEP_VERSIONS = 1
    former_version(1)  # nothing needs it
    former_version(2, "Staging")
    files_of(version_row(3, "Archived")).mkdir()  # was never in production
    of_run = former_version(4)
    TrainingRun.objects.create(kind="finetune", parameters={}, parent=of_run)
    grandparent = former_version(5)
    parent = former_version(6, parent=grandparent)
    former_version(7, "None", parent=parent)
    records = file_records_of_shipped()
    former_version(8, files=records)
    former_version(9)
    former_version(10, "Production")
    former_version(11)  # the one kept
    StageTransition.objects.create(  # a rollback: 9 was in production before 10
        model_version=ModelVersion.objects.get(version=10), from_stage="Archived",
        to_stage="Production", reason="r", gate={"rollback": True},
    )  # fmt: skip
    assert [version.version for version in old_versions()] == [1]
    assert versions_prune().count == 1
    assert stored(home) == list(range(2, 12))


def file_records_of_shipped() -> dict:
    from mlmodels.ml.artifact import read_artifact

    return file_records(read_artifact(PRETRAINED))


def test_a_rollback_still_finds_its_version(home, settings) -> None:
    settings.CHAMPIPY_KEEP_VERSIONS = 1
    versions = [another_version(temperature=1.5 + step) for step in range(4)]
    for version in versions:
        version_promote(version=version, by=None, reason="test")
    assert versions_prune().count == 2
    assert stored(home) == [3, 4]
    version_rollback(leaving=versions[3], by=None, reason="test")
    assert ModelVersion.objects.get(stage="Production") == versions[2]


def test_a_rollback_to_a_version_without_files_says_how_to_bring_them_back(
    home, settings, users
) -> None:
    settings.CHAMPIPY_KEEP_VERSIONS = 1
    versions = [another_version(temperature=1.5 + step) for step in range(4)]
    for version in versions:
        version_promote(version=version, by=None, reason="test")
    assert versions_prune().count == 2
    rollback_request(leaving=versions[3], by=users["bob"])
    with pytest.raises(PromotionRefused, match=r"no longer stored.*register_model FOLDER"):
        rollback_request(leaving=versions[2], by=users["bob"])
    assert ModelVersion.objects.get(stage="Production") == versions[2]


def test_a_process_that_dies_while_it_deletes_is_made_up_for(home) -> None:
    version = former_version(1)
    doomed = files_of(version).with_name(".1.deleted")
    files_of(version).rename(doomed)  # where the process died
    assert version_files_delete(version=version, is_unneeded=lambda: True) == 0
    assert not doomed.exists()


def test_a_version_that_is_needed_by_now_is_not_touched(home) -> None:
    version = former_version(1)
    assert version_files_delete(version=version, is_unneeded=lambda: False) == 0
    assert stored(home) == [1]


def test_registering_the_folder_brings_the_files_back(home, tmp_path) -> None:
    version, _ = version_register(folder=PRETRAINED)
    assert version_files_delete(version=version, is_unneeded=lambda: True) > 1_000_000
    assert stored(home) == []
    again, is_new = version_register(folder=PRETRAINED)
    assert (again, is_new) == (version, False)
    assert version_artifact(version)
