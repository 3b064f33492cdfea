"""From the bytes of a photo to what the network sees. Training and serving both go through here.

The bytes are a stranger's: whatever they are, `decode_photo` gives an image or a `PhotoError`, in
bounded time and memory. No Django and no TensorFlow is imported.
"""

import functools
import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_BYTES = 10_000_000
MAX_PIXELS = 25_000_000
MIN_SIDE = 16  # pixels; nobody names a mushroom from less

#: What `to_input` does. A model version records it: another resize needs another name.
PREPROCESSING = "rgb-squash-bicubic-v1"

#: JPEGs are decoded at 1/2, 1/4 or 1/8 where both sides keep at least this many pixels. Four times
#: the network's input: the resize below still averages, and a 25-megapixel photo costs a quarter.
DRAFT_SIDE = 1024

#: Two photos whose perceptual hashes differ in at most this many bits are one picture, saved anew.
#: Measured on 1,229 photos of the ten species (160 and 320 px). Saved anew at half or twice the
#: size, at JPEG quality 50 or 15 % brighter, 300 of 300 stayed within 6 bits; with 2 % cut off each
#: side 98 % stayed within 8. Of 754,606 pairs of different photos 4 are within 8 bits (one of them
#: at 0: the same picture under two ids), 7 within 10, 376 within 16. It finds the same picture
#: only: two views of one find (157 pairs whose ids are at most 3 apart) differ in 30 bits at the
#: median, strangers in 32. Grouping those takes the ids.
NEAR_DUPLICATE_BITS = 8

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_JPEG = b"\xff\xd8\xff"
# How files begin that are one of ours even when nothing else of them can be read. (BMP's two
# letters also begin words.)
_SIGNATURES = (_JPEG, b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_MAX_SCANS = 100  # of a progressive JPEG; about 10 are usual, each goes over the whole picture
_EXTRAS = {*range(0xE2, 0xEE), 0xEF, 0xFE}  # a JPEG's APP2 to APP13, APP15 and comments
_FLAT = 1e-35  # a range of floats below this is a plain area
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# For the whole process, so that no other use of Pillow in it decodes a bomb either.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class PhotoError(ValueError):
    """Why bytes are no usable photo.

    `code` is not_an_image, image_too_large or image_truncated; `detail` says it to the user.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def _too_large() -> PhotoError:
    detail = (
        f"The photo is over {MAX_BYTES / 1e6:g} MB or {MAX_PIXELS / 1e6:g} megapixels, or would "
        "unpack to that. Send a smaller version of it."
    )
    return PhotoError("image_too_large", detail)


def decode_photo(data: bytes) -> Image.Image:
    """Return the picture in `data`: mode RGB, 8 bits a channel, upright, without metadata.

    Goes by the bytes alone: JPEG, PNG, WebP, GIF, BMP or TIFF, at most 10 MB and 25 megapixels (by
    the header, before anything is decoded), at least 16 pixels a side. Of an animation or a
    multi-picture file it is the first picture; transparency becomes white; 16-bit channels keep
    their high byte; floats are stretched to their range. Large JPEGs come at 1/2 to 1/8 of their
    size (`DRAFT_SIDE`): the size in the file, turned upright, is in `.info["full_size"]`.

    Raises PhotoError, and nothing else:
    not_an_image: no such format, or a picture too small; image_too_large: beyond the limits;
    image_truncated: one of the formats, but cut off or damaged.
    """
    if len(data) > MAX_BYTES or (data.startswith(_JPEG) and data.count(b"\xff\xda") > _MAX_SCANS):
        raise _too_large()
    recognised = data.startswith(_SIGNATURES) or (data[:4] + data[8:12] == b"RIFFWEBP")
    try:
        image = _open(data)
        recognised = True
        _check_size(image)
        full_size = image.size
        is_smaller = image.draft(None, (DRAFT_SIDE, DRAFT_SIDE)) and image.size != full_size
        image.load()
        orientation = _orientation(image)
        image = _to_rgb(image)
        if orientation in _TURNS:
            image = image.transpose(_TURNS[orientation])
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as exc:
        raise _too_large() from exc
    except Exception as exc:  # decoders raise nearly everything on broken files
        if recognised:
            detail = "The photo's file is cut off or damaged. Send it again, or another one."
            raise PhotoError("image_truncated", detail) from exc
        detail = "This is no photo. Send a JPEG, PNG, WebP, GIF, BMP or TIFF file."
        raise PhotoError("not_an_image", detail) from exc
    if not is_smaller:
        full_size = image.size
    elif orientation >= 5:  # turned by a quarter
        full_size = full_size[::-1]
    image.info = {"full_size": full_size}
    return image


def _open(data: bytes) -> Image.Image:
    if data.startswith(_JPEG):
        data = _without_extras(data)
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _without_extras(jpeg: bytes) -> bytes:
    """Return a JPEG without the segments that say nothing about its picture or which way is up.

    Colour profiles, thumbnails, comments, indexes of further pictures: a broken one would have
    Pillow refuse a good picture.
    """
    kept, at = [jpeg[:2]], 2
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] not in {b"\xda", b""}:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] not in _EXTRAS:
            kept.append(jpeg[at:end])
        at = end
    return b"".join([*kept, jpeg[at:]])


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    tags = getattr(image, "tag_v2", {})
    # A small TIFF may consist of one enormous tile, which is unpacked whole.
    tile_pixels = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)
    if max(width * height, tile_pixels) > MAX_PIXELS:
        raise _too_large()
    if min(width, height) < MIN_SIDE:
        detail = f"A picture of {width} x {height} pixels is too small: {MIN_SIDE} a side at least."
        raise PhotoError("not_an_image", detail)


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 (upright) where there is none or it can't be read.

    Asked after `load`, by which Pillow itself has turned a TIFF and taken the tag out.
    """
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block says nothing about the picture
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretched(np.array(image, dtype=np.float32))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def _stretched(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return `values` [height, width] stretched to 0..255, changing them; NaN becomes 0.

    In place, and by halves so that nothing overflows: there may be 25 million of them.
    """
    finite = np.isfinite(values)
    low = float(values.min(where=finite, initial=math.inf)) / 2
    high = float(values.max(where=finite, initial=-math.inf)) / 2
    if not high - low > _FLAT:
        return np.zeros(values.shape, np.uint8)
    np.nan_to_num(values, copy=False, nan=2 * low, posinf=2 * high, neginf=2 * low)
    values /= 2
    values -= low
    values *= 255 / (high - low)
    return np.rint(values, out=values).astype(np.uint8)


def to_input(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Return `image` (from `decode_photo`) as the network takes it: uint8 RGB [size, size, 3].

    The whole picture is squashed to a square: cutting could lose the mushroom. Bicubic, averaging
    where it shrinks. This is `PREPROCESSING`: no model may be served with another resize than it
    was trained with.
    """
    square = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.array(square)


def perceptual_hash(image: Image.Image) -> int:
    """Return the 64-bit pHash of `image`, from 0 to 2**64 - 1.

    The signs, against their median, of the 8 x 8 lowest frequencies of the picture at 32 x 32 in
    grey. The same bits as `imagehash.phash`, which would load SciPy (31 MB resident).
    """
    grey = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    cosines = _cosines()
    # Rounded, so that a plain area has the same bits on every machine.
    low = (cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T).round(6)
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@functools.cache
def _cosines() -> npt.NDArray[np.float64]:
    """Return the first 8 of the 32 rows of the DCT-II, [8, 32]."""
    frequency, position = np.arange(8)[:, None], np.arange(32)[None, :]
    return np.cos(np.pi / 32 * (position + 0.5) * frequency)


def hamming_distance(a: int, b: int) -> int:
    """Return in how many bits two hashes differ, 0 to 64."""
    return (a ^ b).bit_count()
