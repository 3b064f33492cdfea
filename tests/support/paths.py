"""Paths of the project, of the version that comes with it, and of the real photos (if any)."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PRETRAINED = PROJECT / "mlmodels" / "pretrained"
REAL_PHOTOS = Path(os.environ.get("CHAMPIPY_PHOTOS", PROJECT.parent / "shared" / "photos"))
