"""Views of a photo: what it might have looked like, had it been taken a little differently.

View 0 is the photo itself. The others are drawn from the view's number and the photo's SHA-256, so
that features computed from them can be cached: the same photo and view are always the same pixels.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image, ImageEnhance

VERSION = "views-1"
"""Changes whenever the views do, so that cached features of older views are not taken for new."""

CROP_AREA = (0.45, 1.0)
CROP_ASPECT = (0.75, 1.33)
ROTATION_DEGREES = 20.0
COLOUR_STRENGTH = 0.25
MIN_COARSE_SIDE = 120
"""Some views are made coarser, as half of the photos are small thumbnails; never below this."""


def augmented_view(image: Image.Image, sha256: str, view: int) -> Image.Image:
    """View number `view` (0 or more) of an RGB photo, in its own size; view 0 is the photo.

    In this order: rotation by up to 20 degrees (half of the views), a crop of 45 to 100 % of the
    area, left and right changed (half), brightness, contrast and saturation changed by up to 25 %,
    and a coarser resolution (a third).
    """
    if view == 0:
        return image
    seed = hashlib.sha256(f"{VERSION}:{sha256}:{view}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    if rng.random() < 0.5:
        image = _rotated(image, rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES))
    image = image.crop(_crop_box(image.size, rng))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        factor = rng.uniform(1 - COLOUR_STRENGTH, 1 + COLOUR_STRENGTH)
        image = enhancer(image).enhance(factor)
    coarser = rng.uniform(0.5, 1.0)
    if rng.random() < 1 / 3 and min(image.size) * coarser >= MIN_COARSE_SIDE:
        size = (round(image.width * coarser), round(image.height * coarser))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return image


def _rotated(image: Image.Image, degrees: float) -> Image.Image:
    """The photo turned about its middle, cut to the largest upright part without empty corners."""
    angle = np.deg2rad(abs(degrees))
    width, height = image.size
    # The largest scale at which an upright rectangle of the same aspect fits into the turned one.
    scale = 1 / (np.cos(angle) + np.sin(angle) * max(width, height) / min(width, height))
    turned = image.rotate(degrees, Image.Resampling.BILINEAR)
    margin_x, margin_y = (1 - scale) * width / 2, (1 - scale) * height / 2
    return turned.crop(
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
