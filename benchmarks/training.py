"""Compares a training from cached features with Keras's `model.fit` of the same network.

    ./champipy shell --verbosity 0 -c "from benchmarks.training import main; main()"

Both train the head, or block5 and the head, on the imported training photos with the same augmented
views, batches and optimiser. `model.fit` decodes, augments and runs the whole network for each
photo in each epoch, the simplest way to write it. It does so for PLAIN_PHOTOS photos, and its time
is scaled up. The time for the features is printed separately: they stay on disk, so a second
training (a fine-tuning, the trials of a search) starts with them.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

EPOCHS = 12
PHOTOS = 160
PLAIN_PHOTOS = 64


def main() -> None:
    """Print the seconds of both for PHOTOS photos and EPOCHS epochs, and their ratio."""
    from mlmodels.ml.backbone import load_backbone
    from mlmodels.ml.dataset import RECENT_PHOTOS, Dataset
    from mlmodels.ml.layers import DEFAULT_POOLING
    from mlmodels.ml.reference import load_projections
    from mlmodels.ml.training_types import TrainingParameters
    from supervision.datasets.selectors import training_dataset

    full = training_dataset(limit=RECENT_PHOTOS, seed=0)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(full.training))[:PHOTOS]
    one_per_label = {photo.label: photo for photo in full.validation}
    dataset = Dataset(
        labels=full.labels,
        training=tuple(full.training[i] for i in chosen),
        validation=tuple(one_per_label.values()),
    )
    backbone = load_backbone(Path(settings.CHAMPIPY_HOME) / "cache" / "backbone")
    backbone |= load_projections(DEFAULT_POOLING)
    for variables, name in ((1, "head alone"), (4, "block5 and head")):
        parameters = TrainingParameters(variables=variables, epochs=EPOCHS)
        plain = _plain_seconds(dataset, parameters, backbone)
        features, layers = _cached_seconds(dataset, parameters, backbone)
        print(f"{name}: {len(dataset.training)} photos, {EPOCHS} epochs, {parameters.views} views")
        print(f"  model.fit                       {plain:8.1f} s")
        print(f"  features, once                  {features:8.1f} s")
        print(f"  training from them              {layers:8.1f} s")
        print(f"  faster with features cached     {plain / layers:8.1f} times")
        print(f"  faster with features computed   {plain / (features + layers):8.1f} times")


def _cached_seconds(dataset: Any, parameters: Any, backbone: Any) -> tuple[float, float]:
    """Return the seconds for computing the features and for training on them."""
    from mlmodels.ml.layer_training import LayerTraining
    from mlmodels.ml.network import set_weights
    from mlmodels.ml.training import prepare
    from mlmodels.ml.training_session import TrainingSession

    def new_session(views: int) -> TrainingSession:
        changed = replace(parameters, views=views, minutes=600)
        return TrainingSession(dataset, changed, lambda _: None, lambda: False, time.monotonic)

    with tempfile.TemporaryDirectory() as folder:
        # Makes the stem. It does not depend on the photos and is made only once: not counted.
        prepare(new_session(views=1), backbone, Path(folder), None)
        views = parameters.views
        session = new_session(views)
        started = time.perf_counter()
        setup = prepare(session, backbone, Path(folder), None)
        features = (time.perf_counter() - started) * views / (views - 1)
        embeddings = session.embeddings(setup, dataset.photos, setup.views)
        head = session.fit_head(embeddings, dataset.training, None)
        set_weights(setup.tail, {**backbone, **head})
        started = time.perf_counter()
        LayerTraining(session, setup).fit()
        return features, time.perf_counter() - started


def _plain_seconds(dataset: Any, parameters: Any, backbone: Any) -> float:
    """Return the seconds of `model.fit` for all photos and epochs, estimated from one epoch.

    That epoch has PLAIN_PHOTOS photos.
    """
    import keras
    import tensorflow as tf

    from mlmodels.ml.features import photo_pixels
    from mlmodels.ml.layers import frozen_convolutions
    from mlmodels.ml.network import build_tail, set_weights

    network = build_tail(
        0,
        parameters.input_size,
        len(dataset.labels),
        frozen=frozen_convolutions(parameters.variables),
        dropout=parameters.dropout,
    )
    set_weights(network, backbone | {
        "head/kernel": np.zeros((512, len(dataset.labels)), np.float32),
        "head/bias": np.zeros(len(dataset.labels), np.float32),
    })  # fmt: skip
    model = keras.Model(network.input["maps"], network.output["logits"])
    model.compile(
        keras.optimizers.AdamW(parameters.learning_rate, weight_decay=parameters.weight_decay),
        keras.losses.CategoricalCrossentropy(True, label_smoothing=parameters.label_smoothing),
    )
    photos = dataset.training[:PLAIN_PHOTOS]

    def load(index: Any, view: Any) -> Any:
        return photo_pixels(photos[int(index)], parameters.input_size, int(view))

    def pair(index: Any, view: Any, label: Any) -> Any:
        pixels = tf.numpy_function(load, [index, view], tf.uint8)
        pixels.set_shape((parameters.input_size, parameters.input_size, 3))
        return tf.cast(pixels, tf.float32), tf.one_hot(label, len(dataset.labels))

    views = np.random.default_rng(0).integers(0, parameters.views, len(photos))
    labels = np.array([photo.label for photo in photos])
    data = (
        tf.data.Dataset.from_tensor_slices((np.arange(len(photos)), views, labels))
        .map(pair, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(parameters.batch_size)
        .prefetch(1)
    )
    model.fit(data.take(1), verbose=0)  # compiles the model
    started = time.perf_counter()
    model.fit(data, verbose=0)
    return (time.perf_counter() - started) * EPOCHS * len(dataset.training) / len(photos)
