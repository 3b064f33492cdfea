"""Views of a photo: random variations of framing, colour and resolution for training.

View 0 is the photo itself, view 1 its mirror image. The others are seeded with the view's number
and the photo's SHA-256: the same photo and view number always give the same pixels, so their
features can be cached.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image, ImageEnhance

VERSION = "views-2"
"""Part of the feature cache's key. Change it with the views, or old features are reused."""

CROP_AREA = (0.75, 1.0)
"""Smallest and largest share of the photo's area that a crop keeps."""
CROP_ASPECT = (0.75, 1.33)
"""Smallest and largest factor by which a crop changes the ratio of width to height."""
ROTATION_DEGREES = 20.0
COLOUR_STRENGTH = 0.25
MIN_COARSE_SIDE = 120
"""Pixels that the shorter side keeps when the resolution is reduced.

A third of the views are reduced because half of the photos are small thumbnails.
"""


def augmented_view(image: Image.Image, sha256: str, view: int) -> Image.Image:
    """Return view number `view` (0 or more) of an RGB photo; 0 is the photo, 1 its mirror image.

    The steps of the others, in this order: rotation by up to 20 degrees (half of the views), a crop
    to 75 to 100 % of the area, a horizontal flip (half), brightness, contrast and saturation
    changed by up to 25 %, and a lower resolution (a third). The view is not resized to a common
    size.
    """
    if view == 0:
        return image
    if view == 1:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    seed = hashlib.sha256(f"{VERSION}:{sha256}:{view}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    if rng.random() < 0.5:
        image = _rotate(image, rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES))
    image = image.crop(_crop_box(image.size, rng))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        factor = rng.uniform(1 - COLOUR_STRENGTH, 1 + COLOUR_STRENGTH)
        image = enhancer(image).enhance(factor)
    scale = rng.uniform(0.5, 1.0)
    if rng.random() < 1 / 3 and min(image.size) * scale >= MIN_COARSE_SIDE:
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return image


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Rotate a photo about its centre and crop it so that no corner is empty.

    The crop is the largest upright one with the photo's aspect ratio.
    """
    angle = np.deg2rad(abs(degrees))
    width, height = image.size
    # The largest scale at which an upright rectangle of that ratio fits into the rotated one.
    scale = 1 / (np.cos(angle) + np.sin(angle) * max(width, height) / min(width, height))
    rotated = image.rotate(degrees, Image.Resampling.BILINEAR)
    margin_x, margin_y = (1 - scale) * width / 2, (1 - scale) * height / 2
    return rotated.crop(
        (round(margin_x), round(margin_y), round(width - margin_x), round(height - margin_y))
    )


def _crop_box(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    width, height = size
    area = rng.uniform(*CROP_AREA)
    aspect = np.exp(rng.uniform(*np.log(CROP_ASPECT)))
    crop_width = min(width, max(1, round(width * np.sqrt(area * aspect))))
    crop_height = min(height, max(1, round(height * np.sqrt(area / aspect))))
    left = int(rng.integers(0, width - crop_width + 1))
    top = int(rng.integers(0, height - crop_height + 1))
    return (left, top, left + crop_width, top + crop_height)
