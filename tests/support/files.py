"""Where the storages of tests have their files, which are files under CHAMPIPY_HOME."""

from pathlib import Path

from django.conf import settings

from mlmodels.models import ModelVersion


def incoming_path(prediction_id: int) -> Path:
    """Return the path of a pending prediction's photo."""
    return Path(settings.CHAMPIPY_HOME) / "incoming" / str(prediction_id)


def files_of(version: ModelVersion) -> Path:
    """Return the folder of a version's files."""
    return Path(settings.CHAMPIPY_HOME) / "models" / version.files_name
