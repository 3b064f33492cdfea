import numpy as np
import pytest
from PIL import Image

from mlmodels.ml.augmentation import _rotate, augmented_view


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(60, 200, (120, 160, 3), dtype=np.uint8))


def test_the_first_view_is_the_photo(image):
    assert augmented_view(image, "a" * 64, 0).tobytes() == image.tobytes()


def test_the_second_view_is_the_mirror_image_of_the_photo(image):
    mirrored = np.asarray(augmented_view(image, "a" * 64, 1))
    assert np.array_equal(mirrored, np.asarray(image)[:, ::-1])


def test_views_are_reproducible_and_all_different(image):
    views = [augmented_view(image, "a" * 64, view) for view in range(1, 9)]
    again = [augmented_view(image, "a" * 64, view) for view in range(1, 9)]
    assert [v.tobytes() for v in views] == [v.tobytes() for v in again]
    assert len({v.tobytes() for v in views}) == 8
    assert augmented_view(image, "b" * 64, 2).tobytes() != views[1].tobytes()


def test_views_have_a_reasonable_size_and_shape(image):
    for view in range(1, 40):
        augmented = augmented_view(image, "c" * 64, view)
        assert augmented.mode == "RGB"
        assert 0.15 * 120 * 160 < augmented.width * augmented.height <= 120 * 160
        assert 0.5 < augmented.width / augmented.height < 2.5


@pytest.mark.parametrize("degrees", [-20.0, -3.0, 12.5, 20.0])
@pytest.mark.parametrize("size", [(160, 120), (120, 160), (300, 300)])
def test_a_rotated_photo_has_no_empty_corners(degrees, size):
    white = Image.new("RGB", size, "white")
    assert np.asarray(_rotate(white, degrees)).min() > 200


def test_tiny_photos_can_be_augmented():
    image = Image.new("RGB", (16, 16), "red")
    for view in range(1, 20):
        assert min(augmented_view(image, "d" * 64, view).size) >= 1
