"""Drawn photos and networks of random weights, to test training without downloads."""

import hashlib
import io

import numpy as np
from PIL import Image

from mlmodels.ml.dataset import Dataset, LabelledPhoto, OtherPhoto
from mlmodels.ml.layers import CONVOLUTIONS, HEAD, Pooling, projection_name, tensor_shapes

SMALLEST_INPUT = 32  # pixels; VGG16's five poolings reduce it to 1 x 1
LABELS = ("Red stripes", "Green dots", "Blue plain")
STATISTICS = Pooling((3, 4, 5), 8, second_order_blocks=(4, 5), centre=0.45)
"""As `layers.DEFAULT_POOLING`, but of fewer dimensions."""


def drawn_photo(label: int, number: int, side: int = 48) -> bytes:
    """Return a PNG whose colour and texture show its label, with noise seeded with `number`."""
    rng = np.random.default_rng(1000 * label + number)
    y, x = np.mgrid[:side, :side]
    x, y = x + rng.uniform(0, 20), y + rng.uniform(0, 20)
    pattern = [np.sin(x / 2), np.sin(x / 3) * np.sin(y / 3), np.zeros((side, side))][label]
    cast = rng.normal(110, 10, 3)  # hides much of the label's effect on the colour
    pixels = rng.normal(cast, 25, (side, side, 3))
    pixels[..., label] += 40 + 50 * pattern
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def drawn_other(number: int, side: int = 48) -> OtherPhoto:
    """Return a photo of none of the labels: grey rings, of a genus that every sixth one shares."""
    rng = np.random.default_rng(10_000 + number)
    y, x = np.mgrid[:side, :side] - rng.uniform(0, side, (2, 1, 1))
    pixels = rng.normal(rng.normal(110, 10), 25, (side, side, 3))
    pixels += 50 * np.sin(np.hypot(x, y) / 2)[..., np.newaxis]
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    data = buffer.getvalue()
    return OtherPhoto(hashlib.sha256(data).hexdigest(), f"Genus {number % 6}", lambda: data)


def drawn_dataset(training: int, validation: int, labels: tuple[str, ...] = LABELS) -> Dataset:
    """Return a dataset with `training` and `validation` photos of each label."""

    def photo(label: int, number: int) -> LabelledPhoto:
        data = drawn_photo(label, number)
        sha256 = hashlib.sha256(data).hexdigest()
        return LabelledPhoto(sha256, label, f"{label}-{number}", lambda: data)

    numbers = range(training + validation)
    photos = [photo(label, number) for number in numbers for label in range(len(labels))]
    split = training * len(labels)
    return Dataset(labels, tuple(photos[:split]), tuple(photos[split:]))


def random_backbone(seed: int = 0) -> dict[str, np.ndarray]:
    """Return random tensors of VGG16's shapes that keep the scale of signals (He et al. 2015).

    Only the first layer reduces it, from about 60 for pixels to about 1.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    for layer in CONVOLUTIONS:
        deviation = np.sqrt(2 / (9 * layer.inputs)) / (60 if layer.inputs == 3 else 1)
        shape = (3, 3, layer.inputs, layer.outputs)
        kernel = rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        weights[f"{layer.name}/kernel"] = kernel
        weights[f"{layer.name}/bias"] = np.zeros(layer.outputs, np.float32)
    return weights


def random_head(n_outputs: int, pooling: Pooling, seed: int = 1) -> dict[str, np.ndarray]:
    """Return random tensors of the head; the projections keep the scale of signals."""
    rng = np.random.default_rng(seed)
    head = {
        name: rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in tensor_shapes(HEAD, n_outputs, pooling).items()
    }
    if not pooling.is_average:
        head[f"{HEAD}/mean"] = np.abs(head[f"{HEAD}/mean"])
        head[f"{HEAD}/scale"] = 1 + head[f"{HEAD}/scale"]
    for block in pooling.projected:
        projection = head[projection_name(block)]
        projection *= np.float32(10 / np.sqrt(len(projection)))
    return head
