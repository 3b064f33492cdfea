"""Preprocessing of photos for training and serving, from the file's bytes to the network's input.

The bytes are untrusted. For any bytes, `decode_photo` returns an image or raises `PhotoError`,
within bounded time and memory. Neither Django nor TensorFlow is imported.
"""

import functools
import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_BYTES = 10_000_000
MAX_PIXELS = 25_000_000
MIN_SIDE = 16
"""Pixels; nobody can name a mushroom from fewer."""

PREPROCESSING = "rgb-squash-bicubic-v1"
"""Name of what `to_input` does, recorded by every model version. Another resize needs another name.
"""

DRAFT_SIDE = 1024
"""Pixels that both sides keep at least when a JPEG is decoded at 1/2, 1/4 or 1/8 of its size.

It is over four times the network's input, so `to_input` still averages, and decoding a 25-megapixel
photo takes a quarter of the time.
"""

NEAR_DUPLICATE_BITS = 8
"""Photos whose perceptual hashes differ in at most this many bits are copies of one picture.

Measured on 1,229 photos of the ten species (160 and 320 px). Of 300 copies saved at half or twice
the size, at JPEG quality 50 or 15 % brighter, all stayed within 6 bits; with 2 % cropped from each
side, 98 % stayed within 8. Of 754,606 pairs of different photos, 4 are within 8 bits (one of them
at 0: the same picture under two ids), 7 within 10 and 376 within 16. Only copies are found: two
photos of one find (157 pairs whose ids are at most 3 apart) differ in 30 bits at the median,
unrelated photos in 32. Finds must be grouped by the ids.
"""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_JPEG = b"\xff\xd8\xff"
# A damaged file that begins with one of these is reported as truncated, not as "not an image".
# (BMP's signature is missing because its two letters also begin words.)
_SIGNATURES = (_JPEG, b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_MAX_SCANS = 100  # of a progressive JPEG; about 10 are usual, and each covers the whole picture
_EXTRAS = {*range(0xE2, 0xEE), 0xEF, 0xFE}  # a JPEG's APP2 to APP13, APP15 and comments
_MIN_RANGE = 1e-35  # a picture of floats becomes black if half their range is smaller
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323
_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Set for the whole process, so that no other use of Pillow decodes a decompression bomb either.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class PhotoError(ValueError):
    """The bytes are not a usable photo.

    `code` is not_an_image, image_too_large or image_truncated. `text` and `parameters` are the
    message for the user, which this layer does not translate.
    """

    def __init__(self, code: str, text: str, **parameters: object) -> None:
        super().__init__(text % parameters)
        self.code = code
        self.text = text
        self.parameters = parameters


def _too_large() -> PhotoError:
    return PhotoError(
        "image_too_large",
        "The photo has more than %(megabytes)g MB or %(megapixels)g megapixels, or needs too much "
        "memory to decode. Send a smaller version of it.",
        megabytes=MAX_BYTES / 1e6,
        megapixels=MAX_PIXELS / 1e6,
    )


def decode_photo(data: bytes) -> Image.Image:
    """Return the picture in `data`: mode RGB, 8 bits a channel, upright, without metadata.

    The format is detected from the bytes: JPEG, PNG, WebP, GIF, BMP or TIFF. At most 10 MB and 25
    megapixels are allowed (checked by the header before decoding), and at least 16 pixels a side.
    From an animation or a file with several pictures, the first picture is returned. Transparency
    becomes white, 16-bit channels keep their high byte, and 32-bit values are scaled from their own
    range to 0 to 255. Large JPEGs are decoded at 1/2 to 1/8 of their size (`DRAFT_SIDE`).
    `.info["full_size"]` is the upright size (width, height) before that.

    Raises only PhotoError, with the code not_an_image (another format, or too small a picture),
    image_too_large (over a limit) or image_truncated (one of the formats, but incomplete or
    damaged).
    """
    image = _opened(data)
    try:
        full_size = image.size
        is_smaller = image.draft(None, (DRAFT_SIDE, DRAFT_SIDE)) and image.size != full_size
        image.load()
        orientation = _orientation(image)
        image = _to_rgb(image)
        if orientation in _TRANSPOSE_BY_ORIENTATION:
            image = image.transpose(_TRANSPOSE_BY_ORIENTATION[orientation])
    except Exception as exc:  # decoders raise nearly any exception on damaged files
        raise _photo_error(exc, is_recognised=True) from exc
    if not is_smaller:
        full_size = image.size
    elif orientation >= 5:  # width and height are swapped
        full_size = full_size[::-1]
    image.info = {"full_size": full_size}
    return image


def longer_side(data: bytes) -> int:
    """Return the pixels of the longer side of the photo in `data`, by its header alone.

    Whether the photo is upright makes no difference. Raises PhotoError as `decode_photo` does, but
    not for damage after the header.
    """
    return max(_opened(data).size)


def _opened(data: bytes) -> Image.Image:
    """Return the picture in `data`, of which only the header has been read and checked."""
    if len(data) > MAX_BYTES or (data.startswith(_JPEG) and data.count(b"\xff\xda") > _MAX_SCANS):
        raise _too_large()
    is_recognised = data.startswith(_SIGNATURES) or (data[:4] + data[8:12] == b"RIFFWEBP")
    try:
        pixels = _without_extras(data) if data.startswith(_JPEG) else data
        image = Image.open(io.BytesIO(pixels), formats=_FORMATS)
        is_recognised = True
        _check_size(image)
    except PhotoError:
        raise
    except Exception as exc:
        raise _photo_error(exc, is_recognised=is_recognised) from exc
    return image


def _photo_error(exc: Exception, *, is_recognised: bool) -> PhotoError:
    """Return what a decoder's error means; `is_recognised`: the file has one of the formats."""
    if isinstance(exc, Image.DecompressionBombError | Image.DecompressionBombWarning | MemoryError):
        return _too_large()
    if is_recognised:
        return PhotoError(
            "image_truncated",
            "The photo's file is incomplete or damaged. Send it again, or another one.",
        )
    return PhotoError(
        "not_an_image", "This is not a photo. Send a JPEG, PNG, WebP, GIF, BMP or TIFF file."
    )


def _without_extras(jpeg: bytes) -> bytes:
    """Return a JPEG without the segments that affect neither its pixels nor its orientation.

    They hold colour profiles, thumbnails, comments and indexes of further pictures. A damaged one
    would make Pillow refuse an intact picture.
    """
    kept, start = [jpeg[:2]], 2
    while jpeg[start : start + 1] == b"\xff" and jpeg[start + 1 : start + 2] not in {b"\xda", b""}:
        end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if jpeg[start + 1] not in _EXTRAS:
            kept.append(jpeg[start:end])
        start = end
    return b"".join([*kept, jpeg[start:]])


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    tags = getattr(image, "tag_v2", {})
    # A small TIFF may consist of one enormous tile, which is decoded as a whole.
    tile_pixels = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)
    if max(width * height, tile_pixels) > MAX_PIXELS:
        raise _too_large()
    if min(width, height) < MIN_SIDE:
        raise PhotoError(
            "not_an_image",
            "A photo of %(width)d x %(height)d pixels is too small. Send one with at least "
            "%(minimum)d pixels on each side.",
            width=width,
            height=height,
            minimum=MIN_SIDE,
        )


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if it is missing or can't be read.

    Call it after `load`, in which Pillow itself turns a TIFF upright and removes the tag.
    """
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not mean a damaged picture
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretched(np.array(image, dtype=np.float32))).convert("RGB")
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _stretched(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return `values` [height, width] scaled from their range to 0 to 255; NaN becomes 0.

    The computation changes `values` in place, because there may be 25 million of them, and halves
    them first, so that their range can't overflow.
    """
    finite = np.isfinite(values)
    low = float(values.min(where=finite, initial=math.inf)) / 2
    high = float(values.max(where=finite, initial=-math.inf)) / 2
    if not high - low > _MIN_RANGE:
        return np.zeros(values.shape, np.uint8)
    np.nan_to_num(values, copy=False, nan=2 * low, posinf=2 * high, neginf=2 * low)
    values /= 2
    values -= low
    values *= 255 / (high - low)
    return np.rint(values, out=values).astype(np.uint8)


def to_input(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Return `image` (from `decode_photo`) as the network's input: uint8 RGB [size, size, 3].

    The whole picture is squashed to a square, because a crop could lose the mushroom. The resize is
    bicubic and averages where it shrinks. `PREPROCESSING` names this method: a model must be served
    with the resize that it was trained with.
    """
    square = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.array(square)


def perceptual_hash(image: Image.Image) -> int:
    """Return the 64-bit pHash of `image`, from 0 to 2**64 - 1.

    Each bit says whether one of the 8 x 8 lowest frequencies of the picture, at 32 x 32 pixels in
    grey, is above their median. The bits are those of `imagehash.phash`, which would load SciPy
    (31 MB of resident memory).
    """
    grey = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    cosines = _cosines()
    # Rounded so that a picture of one colour has the same bits on every machine.
    low = (cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T).round(6)
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@functools.cache
def _cosines() -> npt.NDArray[np.float64]:
    """Return the first 8 of the 32 rows of the DCT-II matrix, float64 [8, 32]."""
    frequency, position = np.arange(8)[:, None], np.arange(32)[None, :]
    return np.cos(np.pi / 32 * (position + 0.5) * frequency)


def hamming_distance(a: int, b: int) -> int:
    """Return the number of bits in which two 64-bit hashes differ, 0 to 64."""
    return (a ^ b).bit_count()
