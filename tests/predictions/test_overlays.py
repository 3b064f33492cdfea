"""The picture of an explanation."""

import io

import numpy as np
import pytest
from PIL import Image

from predictions.overlays import SIDE, overlay, picture_size

GREY = Image.new("RGB", (300, 200), (120, 120, 120))


def drawn(values: list[list[float]], photo: Image.Image = GREY) -> np.ndarray:
    """Return the picture's pixels as signed numbers [height, width, 3]."""
    picture = Image.open(io.BytesIO(overlay(photo, np.array(values))))
    assert picture.format == "PNG"
    assert not picture.info, "no metadata"
    return np.asarray(picture).astype(int)


def test_orange_is_for_and_blue_against() -> None:
    pixels = drawn([[2.0, 0.0, -2.0]])
    assert pixels.shape == (427, 640, 3)
    for_, neither, against = pixels[200, 60], pixels[200, 320], pixels[200, 580]
    assert for_[0] > for_[1] + 20 > for_[2] + 40
    assert against[2] > against[1] + 20 > against[0] + 40
    assert np.ptp(neither) < 5


def test_strength_is_relative_to_the_strongest_cell_but_faint_evidence_stays_faint() -> None:
    strong = drawn([[5.0, 0.0]])
    assert np.array_equal(strong, drawn([[0.5, 0.0]]))
    assert np.array_equal(drawn([[0.0, 0.0]])[100, 100], [120, 120, 120])
    faint = drawn([[0.1, 0.0]])
    assert np.ptp(faint[200, 60]) < np.ptp(strong[200, 60]) / 2


def test_colours_of_the_photo_are_not_taken_for_evidence() -> None:
    pixels = drawn([[0.0, 0.0]], Image.new("RGB", (300, 200), (255, 128, 0)))
    assert np.ptp(pixels, axis=-1).max() < 40


@pytest.mark.parametrize(
    ("size", "expected"),
    [((160, 120), (640, 480)), ((3000, 4000), (480, 640)), ((16, 20000), (1, 640))],
)
def test_the_longer_side_is_always_the_same(size, expected) -> None:
    assert picture_size(*size) == expected
    assert max(expected) == SIDE
