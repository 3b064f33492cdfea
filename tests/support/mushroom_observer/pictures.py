"""The replica's images in all sizes, made of real photos or of drawings of mushrooms."""

import functools
import io
from pathlib import Path

from PIL import Image as Picture

from tests.support.drawings import mushroom

SIZES = {"thumb": 160, "320": 320, "640": 640, "960": 960, "1280": 1280, "orig": 4000}
"""Pixels of the longer side, at most."""


@functools.lru_cache(maxsize=512)
def picture(source: str, size: str) -> bytes:
    """Return a JPEG. `source` is a file of the real photos, or the seed of a drawing."""
    is_drawing = source.isdecimal()
    data = mushroom(int(source)) if is_drawing else Path(source).read_bytes()
    with Picture.open(io.BytesIO(data)) as original:
        image = original.resize((1600, 1200)) if is_drawing else original
        image.thumbnail((SIZES[size], SIZES[size]))
        smaller = io.BytesIO()
        image.convert("RGB").save(smaller, "JPEG", quality=88)
    return smaller.getvalue()
