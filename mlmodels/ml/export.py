"""From the float network to an int8 LiteRT file.

Post-training full-integer quantisation, per channel for the weights, per tensor for activations,
whose ranges are measured on about a hundred training photos (Jacob et al. 2018, arXiv:1712.05877).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (  # no public name yet
    convert_variables_to_constants_v2,
)

from mlmodels.ml.files import write_atomically
from mlmodels.ml.network import build_network

CALIBRATION_PHOTOS = 100
SIGNATURE = "serving_default"


def export_engine(
    weights: Mapping[str, np.ndarray],
    calibration_photos: Sequence[np.ndarray],
    input_size: int,
    path: Path,
) -> None:
    """Write the network as an int8 engine: uint8 pixels in, float32 logits and embedding out.

    `weights`: all of the network's tensors (backbone and head), float32.
    `calibration_photos`: uint8 RGB [size, size, 3], from the training set, about a hundred; more
    bring nothing. The file appears at `path` whole or not at all. Its signature has one input,
    ``pixels`` [1, size, size, 3], and the outputs ``logits`` [1, labels], ``embedding`` [1, 512].
    """
    network = build_network(weights, input_size)
    write_atomically(path, [quantise(network, calibration_photos, input_size)])


def quantise(
    model: keras.Model, calibration_photos: Sequence[np.ndarray], input_size: int
) -> bytes:
    """The model, whose input is pixels, as a LiteRT file with int8 weights and activations."""
    if not calibration_photos:
        raise ValueError("Quantisation needs calibration photos; none were given.")

    signature = [tf.TensorSpec([1, input_size, input_size, 3], tf.float32, name="pixels")]
    names = sorted(model.output) if isinstance(model.output, dict) else ["features"]

    @tf.function(input_signature=signature)
    def forward(pixels: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(model(pixels, training=False))  # a dictionary's in order of names

    # Keras's variables as constants: the converter's calibration can't read variables.
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())

    @tf.function(input_signature=signature)
    def serve(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, tf.nest.flatten(frozen(pixels)), strict=True))

    def calibration() -> object:
        # One pixel black and one white make the input's scale exactly 1 and its zero point 0, so
        # that the engine takes pixels as they are.
        for photo in calibration_photos:
            pixels = photo.astype(np.float32)[None]
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 255.0
            yield {"pixels": pixels}

    module = tf.Module()
    module.serve = serve
    with tempfile.TemporaryDirectory(prefix="champipy-export-") as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
        with warnings.catch_warnings():
            # The converter's calibration uses the interpreter that TensorFlow is about to drop.
            warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
            return bytes(converter.convert())
