"""Compares the int8 engine with Keras, with another version, and with a matrix product.

    .venv/bin/python -m benchmarks.engine [--version FOLDER] [--than FOLDER]

Keras's `model.predict` computes the same network, on one photo. The matrix product is int8, too,
and computed by the same library: the pace that these cores can reach. To build the float network,
it needs VGG16's weights, from `--weights`, Keras or the package index.
"""

import argparse
import os
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.timing import median_ms
from mlmodels.ml.artifact import Artifact, read_artifact
from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.network import build_network

VGG16_GMACS = 15.36
"""Billions of multiplications and additions of the convolutions, at 224 pixels."""
SIDE, WIDTH, LAYERS = 32, 1024, 4
PRODUCT_GMACS = SIDE**2 * WIDTH**2 * LAYERS / 1e9
PAIRS = 60
PROJECT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the median time per photo for Keras and for the engine with one and all threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="file with VGG16's weights")
    parser.add_argument("--version", type=Path, default=PROJECT / "mlmodels" / "pretrained")
    parser.add_argument("--than", type=Path, help="another version, timed in turn with the first")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    artifact = read_artifact(options.version)
    size = artifact.card.input_size
    backbone = load_backbone(PROJECT / "var" / "cache" / "backbone", weights_file=options.weights)
    weights = {**backbone, **artifact.load_weights()}
    network = build_network(weights, size, artifact.card.pooling)
    photo = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    pixels = {"maps": photo[None]}
    keras_ms = median_ms([partial(network.predict, pixels, verbose=0)] * options.repeats)
    print(f"Keras model.predict:        {keras_ms:7.1f} ms")
    for threads in sorted({1, os.cpu_count() or 1}):
        engine = artifact.load_engine(threads)
        engine_ms = median_ms([partial(engine.score, photo)] * options.repeats)
        ratio = keras_ms / engine_ms
        print(f"int8 engine, {threads} thread(s):   {engine_ms:7.1f} ms, {ratio:.1f} times faster")
        of_engine = VGG16_GMACS / engine_ms
        of_product = PRODUCT_GMACS / product_ms(threads, options.repeats)
        print(f"    {of_engine / of_product:.0%} of the pace of a matrix product")
        if options.than is not None:
            print(f"    {slower(artifact, read_artifact(options.than), threads):.2f} times as slow")


def slower(artifact: Artifact, other: Artifact, threads: int) -> float:
    """Return the median time of a photo, divided by that of another version, timed in turn."""
    engines = [version.load_engine(threads) for version in (artifact, other)]
    photo = np.zeros((artifact.card.input_size,) * 2 + (3,), np.uint8)
    times: list[list[float]] = [[], []]
    for _ in range(PAIRS):
        for engine, of_engine in zip(engines, times, strict=True):
            started = time.perf_counter()
            engine.score(photo)
            of_engine.append(time.perf_counter() - started)
    return float(np.median(times[0]) / np.median(times[1]))


def product_ms(threads: int, repeats: int) -> float:
    """Return the median time of LAYERS int8 products of [SIDE * SIDE, WIDTH] and [WIDTH, WIDTH]."""
    import keras

    from mlmodels.ml.export import quantise

    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    x = keras.layers.Conv2D(WIDTH, 1, activation="relu")(pixels)
    for _ in range(LAYERS):
        x = keras.layers.Conv2D(WIDTH, 1, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(4)]
    content = quantise(keras.Model(pixels, {"features": x}), photos, SIDE)
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], photos[0][None])
    return median_ms([interpreter.invoke] * repeats)


if __name__ == "__main__":
    main()
