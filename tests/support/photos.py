"""Draws abstract photos."""

import io

import numpy as np
from PIL import Image


def drawn_photo(seed: int = 0, size: tuple[int, int] = (320, 240), format: str = "JPEG") -> bytes:
    """Return the bytes of a drawn photo. Each seed gives another photo."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, format)
    return data.getvalue()
