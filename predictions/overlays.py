"""Draws an explanation over its photo: orange speaks for a species, blue against it.

Orange and blue stay apart for every common kind of colour blindness; the photo below is muted, so
that no colour of its own is taken for one of them. Nothing here needs Django.
"""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageEnhance

SIDE: Final = 640
"""The longer side of the picture, in pixels."""
FOR: Final = (255, 128, 0)
AGAINST: Final = (0, 96, 255)
MUTED: Final = 0.12
"""Share of its colour that the photo keeps."""
MAX_OPACITY: Final = 0.7
"""Of the strongest cell, from 0 to 1: the photo stays visible below it."""
FAINT: Final = 0.1
"""Share of full strength below which nothing is drawn."""
MIN_SCALE: Final = 0.3
"""Log odds of a cell that are drawn in full strength even where no cell has more. Weaker evidence
than this looks weak."""


def picture_size(width: int, height: int) -> tuple[int, int]:
    """Return the size in pixels, (width, height), of a photo's picture."""
    longer = max(width, height)
    return max(1, round(width * SIDE / longer)), max(1, round(height * SIDE / longer))


def overlay(image: Image.Image, values: np.ndarray) -> bytes:
    """Return a PNG of the photo with `values` [rows, columns] drawn over it, without metadata.

    `image`: RGB. The grid of the values covers the whole photo; between the middles of the cells
    they are interpolated. The picture has the photo's proportions.
    """
    size = picture_size(*image.size)
    photo = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    muted = ImageEnhance.Color(photo).enhance(MUTED)
    field = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    scale = max(float(np.abs(values).max()), MIN_SCALE)
    strength = np.clip(np.asarray(field) / scale, -1, 1)
    opacity = MAX_OPACITY * np.maximum(np.abs(strength) - FAINT, 0) / (1 - FAINT)
    colours = np.where(strength[..., None] > 0, FOR, AGAINST)
    drawn = Image.fromarray(
        np.dstack([colours, np.rint(255 * opacity)]).astype(np.uint8), mode="RGBA"
    )
    muted.paste(drawn, mask=drawn)
    png = io.BytesIO()
    muted.save(png, "PNG", compress_level=3)
    return png.getvalue()
