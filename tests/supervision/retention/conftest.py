from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def media(settings, tmp_path: Path) -> Path:
    """Return an empty folder of photos, of this test alone, in a home of its own."""
    settings.CHAMPIPY_HOME = tmp_path
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return Path(settings.MEDIA_ROOT)
