"""Where a picture ends in its file."""

import pytest
from PIL import Image

from mlmodels.ml.picture_end import picture_length
from mlmodels.ml.preprocessing import PhotoError, decode_photo
from tests.support.hostile_files import expensive_files, hostile_files, photo_bytes, picture

WITH_AN_END = {
    "JPEG": photo_bytes(),
    "progressive JPEG": photo_bytes(progressive=True),
    "JPEG with restart markers": photo_bytes(restart_marker_blocks=1),
    "JPEG with a thumbnail": photo_bytes(exif=b"Exif\0\0" + photo_bytes()),
    "PNG": photo_bytes("PNG"),
    "GIF": photo_bytes("GIF"),
    "animated GIF": photo_bytes("GIF", save_all=True, append_images=[picture().rotate(90)]),
    "WebP": photo_bytes("WEBP"),
    "animated WebP": photo_bytes("WEBP", save_all=True, append_images=[picture().rotate(90)]),
}


@pytest.mark.parametrize("name", WITH_AN_END)
@pytest.mark.parametrize("more", [bytes(1000), photo_bytes(), b"\xff\xd9", b";"], ids=len)
def test_bytes_after_the_end_are_not_counted(name: str, more: bytes) -> None:
    data = WITH_AN_END[name]
    assert picture_length(data) == len(data)
    assert picture_length(data + more) == len(data)


@pytest.mark.parametrize("format", ["BMP", "TIFF"])
def test_other_formats_are_counted_whole(format: str) -> None:
    data = photo_bytes(format) + bytes(1000)
    assert picture_length(data) == len(data)


def _decoded(data: bytes) -> str | bytes:
    try:
        image = decode_photo(data)
    except PhotoError as error:
        return error.code
    return image.resize((64, 64), Image.Resampling.NEAREST).tobytes()


def test_the_counted_bytes_decode_like_the_whole_file() -> None:
    files = [(name, data) for name, data, _ in hostile_files()] + expensive_files()
    for name, data in files:
        length = picture_length(data)
        assert 0 <= length <= len(data)
        if length < len(data) <= 10_000_000:
            assert _decoded(data[:length]) == _decoded(data), name


@pytest.mark.parametrize("name", WITH_AN_END)
def test_a_cut_off_file_is_counted_whole(name: str) -> None:
    data = WITH_AN_END[name]
    for length in range(0, len(data), 7):
        assert picture_length(data[:length]) == length
