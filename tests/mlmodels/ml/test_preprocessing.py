"""The network's input and the perceptual hash."""

import subprocess
import sys

import imagehash
import numpy as np
import pytest
from PIL import Image

from mlmodels.ml.preprocessing import (
    NEAR_DUPLICATE_BITS,
    decode_photo,
    hamming_distance,
    perceptual_hash,
    to_input,
)
from tests.support.hostile_files import photo_bytes, picture


@pytest.mark.parametrize("size", [160, 224])
@pytest.mark.parametrize("shape", [(64, 48), (48, 64), (1000, 700), (3000, 16), (16, 3000)])
def test_input_is_a_square_of_bytes(shape, size):
    values = to_input(picture(*shape), size)
    assert values.shape == (size, size, 3)
    assert values.dtype == np.uint8
    assert values.flags.writeable


def test_input_shows_the_whole_picture():
    image = Image.new("RGB", (600, 300), "red")
    image.paste("blue", (300, 0, 600, 300))
    values = to_input(image, 100)
    assert np.array_equal(values[:, :48], np.full((100, 48, 3), (255, 0, 0)))
    assert np.array_equal(values[:, 52:], np.full((100, 48, 3), (0, 0, 255)))


def test_input_averages_where_it_shrinks():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    values = to_input(Image.fromarray(stripes), 100)
    assert np.abs(values.astype(int) - 127.5).max() <= 2


@pytest.mark.parametrize("shape", [(64, 48), (32, 32), (500, 333), (16, 2000)])
def test_hash_equals_that_of_imagehash(shape):
    for image in (picture(*shape), picture(*shape).rotate(31)):
        assert perceptual_hash(image) == int(str(imagehash.phash(image)), 16)


def test_hash_of_a_picture_of_one_colour():
    assert perceptual_hash(Image.new("RGB", (64, 64), "white")) == 1 << 63


def test_a_copy_of_a_picture_has_a_near_hash_and_another_picture_has_not():
    patches = np.random.default_rng(3).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    first = Image.fromarray(patches).resize((320, 240), Image.Resampling.BICUBIC)
    first_hash = perceptual_hash(first)
    copy = decode_photo(photo_bytes("JPEG", first.resize((160, 120)), quality=50))
    assert hamming_distance(first_hash, perceptual_hash(copy)) <= NEAR_DUPLICATE_BITS
    assert hamming_distance(first_hash, perceptual_hash(first.rotate(90))) > NEAR_DUPLICATE_BITS


def test_hamming_distance():
    assert hamming_distance(0, 2**64 - 1) == 64
    assert hamming_distance(0b1011, 0b0010) == 2


def test_preprocessing_loads_neither_django_nor_tensorflow_nor_scipy():
    code = (
        "import sys, mlmodels.ml.preprocessing as p, PIL.Image as i;"
        "p.perceptual_hash(i.new('RGB', (64, 64)));"
        "print({'django', 'tensorflow', 'scipy', 'imagehash'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
