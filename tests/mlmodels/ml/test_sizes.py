"""Copies of photos in the sizes of other photos."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from mlmodels.ml.dataset import OtherPhoto
from mlmodels.ml.preprocessing import PhotoError, decode_photo, longer_side
from mlmodels.ml.sizes import QUALITY, ResizedPhoto, are_alike, longer_sides, two_sizes


def photo(data: bytes) -> OtherPhoto:
    return OtherPhoto(hashlib.sha256(data).hexdigest(), "a genus", lambda: data)


def png(width: int, height: int, orientation: int = 1) -> bytes:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def many(count: int) -> list[OtherPhoto]:
    """Return photos whose bytes are never read, with hashes like those of real ones."""
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    return [OtherPhoto(name, "a genus", lambda: b"") for name in names]


def opened(copy: ResizedPhoto) -> Image.Image:
    return Image.open(io.BytesIO(copy.read()))


def tables_of(image: Image.Image) -> object:
    """Return a JPEG's quantisation tables, which follow from its quality."""
    return getattr(image, "quantization")  # noqa: B009 - other formats have none


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400)])
def test_a_copy_is_a_jpeg_whose_longer_side_is_the_given_one(width, height):
    image = opened(ResizedPhoto(photo(png(width, height)), 200))
    assert (image.format, max(image.size), min(image.size)) == ("JPEG", 200, 150)
    expected = io.BytesIO()
    image.save(expected, "JPEG", quality=QUALITY)
    assert tables_of(image) == tables_of(Image.open(expected))


def test_a_small_photo_keeps_its_size_but_becomes_a_jpeg():
    image = opened(ResizedPhoto(photo(png(120, 90)), 200))
    assert (image.format, image.size) == ("JPEG", (120, 90))


def test_a_very_long_photo_keeps_at_least_a_pixel_of_its_shorter_side():
    assert opened(ResizedPhoto(photo(png(4000, 16)), 100)).size == (100, 1)


def test_a_copy_is_upright_without_its_orientation():
    image = opened(ResizedPhoto(photo(png(400, 300, orientation=6)), 200))
    assert image.size == (150, 200)
    assert image.getexif().get(0x0112, 1) == 1


def test_the_bytes_and_the_name_of_a_copy_follow_from_photo_and_size():
    data = png(400, 300)
    copies = [ResizedPhoto(photo(data), side) for side in (200, 200, 199)]
    assert copies[0].read() == copies[1].read()
    assert copies[0].sha256 == copies[1].sha256 != copies[2].sha256
    assert copies[0].sha256 != photo(data).sha256


def test_a_photo_that_can_not_be_decoded_raises_photo_error():
    broken = photo(b"no photo")
    with pytest.raises(PhotoError):
        longer_sides([broken])
    with pytest.raises(PhotoError):
        ResizedPhoto(broken, 100).read()


def test_longer_sides_are_in_pixels_of_the_whole_photo():
    sides = longer_sides([photo(png(400, 300)), photo(png(90, 120)), photo(png(4000, 30))])
    assert sides.tolist() == [400, 120, 4000]
    assert longer_sides([photo(png(400, 300, orientation=6))]).tolist() == [400]
    assert longer_sides([]).shape == (0,)


def test_sizes_are_told_by_the_headers_alone():
    """A thousand photos need not be decoded for it."""
    whole = photo(png(400, 300))
    assert longer_sides([photo(whole.read()[:2000])]).tolist() == [400]


@pytest.mark.parametrize("number", range(4))
def test_the_header_s_size_is_that_of_the_decoded_photo(number):
    image = Image.open(io.BytesIO(png(300 + number, 1200)))
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = (1, 6, 8, 3)[number]
    image.save(buffer, ("JPEG", "WEBP", "TIFF", "JPEG")[number], exif=exif)
    data = buffer.getvalue()
    assert longer_side(data) == max(decode_photo(data).info["full_size"]) == 1200


def test_both_sizes_are_distributed_as_the_given_ones():
    sides = np.array([160] * 30 + [320] * 60 + [960] * 10)
    copies = two_sizes(many(2000), sides)
    for of_size in copies:
        found = [copy.side for copy in of_size]
        assert set(found) == {160, 320, 960}
        for side, share in ((160, 0.3), (320, 0.6), (960, 0.1)):
            assert found.count(side) / 2000 == pytest.approx(share, abs=0.04)
        assert are_alike(sides, np.array(found))


def test_the_sizes_of_a_photo_are_half_of_the_distribution_apart():
    photos = many(500)
    first, second = two_sizes(photos, np.array([100, 1000]))
    assert {copy.side + other.side for copy, other in zip(first, second, strict=True)} == {1100}
    assert [copy.photo for copy in first] == [copy.photo for copy in second] == photos


def test_a_photo_has_the_same_sizes_whichever_photos_are_with_it():
    photos, sides = many(50), np.arange(100, 1000)
    together = [[copy.side for copy in of_size] for of_size in two_sizes(photos, sides)]
    backwards = [[copy.side for copy in of_size] for of_size in two_sizes(photos[::-1], sides)]
    assert together == [of_size[::-1] for of_size in backwards]


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (np.arange(100, 200), True),
        (np.arange(100, 200)[::-1], True),
        (np.arange(115, 215), True),  # 15 of 100 are larger than all
        (np.arange(125, 225), False),
        (np.array([150]), False),
        (np.arange(1100, 1200), False),
    ],
)
def test_mixtures_are_alike_if_no_share_below_a_size_differs_much(other, alike):
    assert are_alike(np.arange(100, 200), other) is alike
    assert are_alike(other, np.arange(100, 200)) is alike
