"""Gradient descent for the layers after the cut.

AdamW (Loshchilov & Hutter 2019) with a cosine schedule of the learning rate, label smoothing
(Szegedy et al. 2016), mixup at the cut (Zhang et al. 2018, Verma et al. 2019), and an exponential
moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mlmodels.ml.features import Features

WARM_UP = 0.05
"""Share of the training during which the learning rate rises to its maximum."""


def supports_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the CPU computes in bfloat16, by the flags in the file `cpuinfo`.

    On such CPUs bfloat16 is twice as fast as float32, on others many times slower. Returns False
    when the file can't be read.
    """
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    flags = {
        flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()
    }
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def cosine_rate(done: float) -> float:
    """Return the learning rate as a share of its maximum, 0 to 1.

    `done` is the completed share of the training, from 0; values above 1 count as 1.
    """
    if done < WARM_UP:
        return (done + 0.01) / (WARM_UP + 0.01)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (done - WARM_UP) / (1 - WARM_UP)))))


class Optimiser:
    """Trains a tail (`network.build_tail`) in place and keeps a moving average of its weights.

    `learning_rate` is the maximum; `averaging` (0 to 1) is the share of the average that each step
    keeps.
    """

    def __init__(
        self,
        tail: keras.Model,
        *,
        learning_rate: float,
        weight_decay: float,
        label_smoothing: float,
        averaging: float,
    ) -> None:
        self._tail = tail
        self._learning_rate = learning_rate
        self._smoothing = label_smoothing
        self._averaging = averaging
        self._adamw = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
        self._adamw.exclude_from_weight_decay(var_names=["bias"])
        self._adamw.build(tail.trainable_variables)
        self._average = [tf.Variable(v.value) for v in tail.trainable_variables]
        self._steps = 0
        self._step = tf.function(self._train_step, reduce_retracing=True)

    def step(
        self,
        features: Features,
        targets: np.ndarray,
        partners: np.ndarray,
        mix: float,
        done: float,
    ) -> float:
        """Train on one batch and return its mean loss in nats.

        `features`, of n photos; `targets` one-hot float32 [n, k]; `partners` [n], the index in the
        batch of the photo that each is mixed with; `mix`, the share (0 to 1) of the photo itself;
        `done`, the completed share of the training (0 to 1), which sets the learning rate.
        """
        self._steps += 1
        self._adamw.learning_rate.assign(self._learning_rate * cosine_rate(done))
        # The first steps keep less of the average, as in tf.train.ExponentialMovingAverage.
        averaging = min(self._averaging, self._steps / (self._steps + 10))
        loss = self._step(
            {name: tf.constant(array) for name, array in features.items()},
            tf.constant(targets),
            tf.constant(partners, tf.int32),
            tf.constant(mix, tf.float32),
            tf.constant(averaging, tf.float32),
        )
        return float(loss)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the tail the averaged weights within the context, and its own back afterwards."""
        current = [tf.identity(variable.value) for variable in self._tail.trainable_variables]
        self._assign(self._average)
        try:
            yield
        finally:
            self._assign(current)

    def _assign(self, values: list[tf.Tensor]) -> None:
        for variable, value in zip(self._tail.trainable_variables, values, strict=True):
            variable.assign(value)

    def _train_step(
        self,
        features: dict[str, tf.Tensor],
        targets: tf.Tensor,
        partners: tf.Tensor,
        mix: tf.Tensor,
        averaging: tf.Tensor,
    ) -> tf.Tensor:
        x = {name: tf.cast(array, tf.float32) for name, array in features.items()}
        x = {name: mix * a + (1 - mix) * tf.gather(a, partners) for name, a in x.items()}
        n_labels = tf.cast(tf.shape(targets)[1], tf.float32)
        y = mix * targets + (1 - mix) * tf.gather(targets, partners)
        y = y * (1 - self._smoothing) + self._smoothing / n_labels
        variables = self._tail.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._tail(x, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, logits))
        self._adamw.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        for mean, variable in zip(self._average, variables, strict=True):
            mean.assign(averaging * mean + (1 - averaging) * variable.value)
        return loss


def predict(
    tail: keras.Model,
    load: Callable[[int, int], Features],
    count: int,
    batch_size: int,
) -> dict[str, np.ndarray]:
    """Return the tail's outputs: ``logits`` [count, k] and ``embedding`` [count, d], float32.

    `load(start, stop)` returns the features of the photos from `start` to `stop` - 1.
    """
    batches = []
    for start in range(0, count, batch_size):
        features = load(start, min(start + batch_size, count))
        inputs = {name: tf.cast(array, tf.float32) for name, array in features.items()}
        batches.append(tail(inputs, training=False))
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}
