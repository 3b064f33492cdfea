"""From the float network to LiteRT files of its convolutions: int8, or float16 weights.

int8: post-training full-integer quantisation, per channel for the weights, per tensor for
activations, whose ranges are measured on about a hundred training photos (Jacob et al. 2018,
arXiv:1712.05877). Pooling and head stay out of it: quantised too, they made every sixtieth answer
another one; in float32 they cost nothing.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (  # no public name yet
    convert_variables_to_constants_v2,
)

from common.files import write_atomically
from mlmodels.ml.layers import CONVOLUTIONS
from mlmodels.ml.network import build_stem, set_weights

CALIBRATION_PHOTOS = 100
SIGNATURE = "serving_default"


def export_engine(
    weights: Mapping[str, np.ndarray],
    calibration_photos: Sequence[np.ndarray],
    input_size: int,
    path: Path,
) -> None:
    """Write the convolutions as int8: uint8 pixels in, float32 feature maps out.

    `weights`: the network's tensors, float32. `calibration_photos`: uint8 RGB [size, size, 3], from
    the training set, about a hundred; more bring nothing. The file appears at `path` whole or not
    at all. Its signature has one input, ``pixels`` [1, size, size, 3], and one output, ``features``
    [1, h, w, 512]: `engine.LiteRTEngine`.
    """
    model = build_stem(len(CONVOLUTIONS), input_size)
    set_weights(model, weights)
    write_atomically(path, [quantise(model, calibration_photos, input_size)])


def export_float_engine(weights: Mapping[str, np.ndarray], input_size: int, path: Path) -> None:
    """Write the convolutions with float16 weights, computed in float32; else as `export_engine`.

    Several times slower to score with and twice as large: for a network that int8 does harm to.
    """
    model = build_stem(len(CONVOLUTIONS), input_size)
    set_weights(model, weights)
    with _converter(model, tf.TensorSpec([1, input_size, input_size, 3], tf.uint8)) as converter:
        converter.target_spec.supported_types = [tf.float16]
        write_atomically(path, [bytes(converter.convert())])


def quantise(
    model: keras.Model, calibration_photos: Sequence[np.ndarray], input_size: int
) -> bytes:
    """The model, pixels to features, as a LiteRT file with int8 weights and activations."""
    if not calibration_photos:
        raise ValueError("Quantisation needs calibration photos; none were given.")

    def calibration() -> object:
        # One pixel black and one white make the input's scale exactly 1 and its zero point 0, so
        # that the engine takes pixels as they are.
        for photo in calibration_photos:
            pixels = photo.astype(np.float32)[None]
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 255.0
            yield {"pixels": pixels}

    with (
        _converter(model, tf.TensorSpec([1, input_size, input_size, 3], tf.float32)) as converter,
        warnings.catch_warnings(),
    ):
        # The converter's calibration uses the interpreter that TensorFlow is about to drop.
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
        return bytes(converter.convert())


@contextmanager
def _converter(model: keras.Model, pixels: tf.TensorSpec) -> Iterator[tf.lite.TFLiteConverter]:
    """A converter of the model, from ``pixels`` to ``features``."""
    signature = [tf.TensorSpec(pixels.shape, pixels.dtype, name="pixels")]

    @tf.function(input_signature=signature)
    def forward(pixels: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(pixels, tf.float32), training=False)

    # Keras's variables as constants: the converter's calibration can't read variables.
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())

    @tf.function(input_signature=signature)
    def serve(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": tf.nest.flatten(frozen(pixels))[0]}

    module = tf.Module()
    module.serve = serve
    with tempfile.TemporaryDirectory(prefix="champipy-export-") as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        yield converter
