"""Export of the float network's convolutions to LiteRT files, as int8 or with float16 weights.

int8 is post-training full-integer quantisation, per channel for the weights and per tensor for the
activations, whose ranges are measured on about a hundred training photos (Jacob et al. 2018,
arXiv:1712.05877). Pooling and head are not quantised: quantising them changed one answer in sixty,
and in float32 they take no noticeable time.
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
from tensorflow.python.framework.convert_to_constants import (  # not public yet
    convert_variables_to_constants_v2,
)

from common.files import write_atomically
from mlmodels.ml.layers import AVERAGE, CONVOLUTIONS, Pooling
from mlmodels.ml.network import build_stem, set_weights

CALIBRATION_PHOTOS = 100
"""Photos that `export_engine` needs to measure the ranges of the activations."""
SIGNATURE = "serving_default"


def export_engine(
    weights: Mapping[str, np.ndarray],
    calibration_photos: Sequence[np.ndarray],
    input_size: int,
    path: Path,
    pooling: Pooling = AVERAGE,
) -> None:
    """Write the convolutions as int8 to `path`: uint8 pixels in, float32 feature maps out.

    `weights`: the network's tensors, float32. `calibration_photos`: uint8 RGB [size, size, 3],
    about a hundred training photos; more do not improve the result. The file is written completely
    or not at all. Its signature, which `engine.LiteRTEngine` reads, has one input, ``pixels``
    [1, size, size, 3], and an output ``block3``, ``block4`` or ``block5`` [1, h, w, c] for each of
    `pooling.maps`; for the average, it is named ``features``. Raises `ValueError` without
    calibration photos.
    """
    model = _convolutions(weights, input_size, pooling)
    write_atomically(path, [quantise(model, calibration_photos, input_size)])


def export_float_engine(
    weights: Mapping[str, np.ndarray], input_size: int, path: Path, pooling: Pooling = AVERAGE
) -> None:
    """Write the convolutions with float16 weights and float32 computation to `path`.

    Scoring is several times slower than with int8 and the file twice as large: for a network whose
    accuracy int8 reduces. Arguments and signature are those of `export_engine`.
    """
    model = _convolutions(weights, input_size, pooling)
    with _converter(model, tf.TensorSpec([1, input_size, input_size, 3], tf.uint8)) as converter:
        converter.target_spec.supported_types = [tf.float16]
        write_atomically(path, [bytes(converter.convert())])


def _convolutions(
    weights: Mapping[str, np.ndarray], input_size: int, pooling: Pooling
) -> keras.Model:
    stem = build_stem(len(CONVOLUTIONS), input_size, pooling)
    set_weights(stem, weights)
    if pooling.is_average:
        return keras.Model(stem.input, {"features": stem.output["block5"]})
    return stem


def quantise(
    model: keras.Model, calibration_photos: Sequence[np.ndarray], input_size: int
) -> bytes:
    """Return a LiteRT file of `model`, pixels to named maps, with int8 weights and activations.

    `calibration_photos`: uint8 RGB [size, size, 3]. Raises `ValueError` when there are none.
    """
    if not calibration_photos:
        raise ValueError("Quantisation needs calibration photos; none were given.")

    def calibration() -> object:
        # One black and one white pixel make the input's scale exactly 1 and its zero point 0, so
        # that the engine takes pixels without conversion.
        for photo in calibration_photos:
            pixels = photo.astype(np.float32)[None]
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 255.0
            yield {"pixels": pixels}

    with (
        _converter(model, tf.TensorSpec([1, input_size, input_size, 3], tf.float32)) as converter,
        warnings.catch_warnings(),
    ):
        # The converter's calibration uses an interpreter that TensorFlow has deprecated.
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
    """Provide a converter of the model, from ``pixels`` to its outputs, by their names."""
    signature = [tf.TensorSpec(pixels.shape, pixels.dtype, name="pixels")]

    @tf.function(input_signature=signature)
    def forward(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(tf.cast(pixels, tf.float32), training=False)

    # Variables become constants because the converter's calibration can't read variables.
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())

    @tf.function(input_signature=signature)
    def serve(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        # The frozen function returns a list, in the order of the sorted names.
        return dict(zip(sorted(model.output), tf.nest.flatten(frozen(pixels)), strict=True))

    module = tf.Module()
    module.serve = serve
    with tempfile.TemporaryDirectory(prefix="champipy-export-") as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        yield converter
