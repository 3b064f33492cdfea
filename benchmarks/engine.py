"""Compares the int8 engine with Keras's `model.predict` of the same network, on one photo.

    .venv/bin/python -m benchmarks.engine

To build the float network, it needs VGG16's weights, from `--weights`, Keras or the package index.
"""

import argparse
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.timing import median_ms
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.network import build_network

PROJECT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the median time per photo for Keras and for the engine with one and all threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="file with VGG16's weights")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    artifact = read_artifact(PROJECT / "mlmodels" / "pretrained")
    size = artifact.card.input_size
    backbone = load_backbone(PROJECT / "var" / "cache" / "backbone", weights_file=options.weights)
    network = build_network({**backbone, **artifact.load_weights()}, size)
    photo = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    keras_ms = median_ms([partial(network.predict, photo[None], verbose=0)] * options.repeats)
    print(f"Keras model.predict:        {keras_ms:7.1f} ms")
    for threads in sorted({1, os.cpu_count() or 1}):
        engine = artifact.load_engine(threads)
        engine_ms = median_ms([partial(engine.score, photo)] * options.repeats)
        ratio = keras_ms / engine_ms
        print(f"int8 engine, {threads} thread(s):   {engine_ms:7.1f} ms, {ratio:.1f} times faster")


if __name__ == "__main__":
    main()
