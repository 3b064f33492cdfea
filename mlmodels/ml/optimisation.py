"""Training the layers above the cut by gradient descent.

AdamW (Loshchilov & Hutter 2019) with a cosine rate, label smoothing (Szegedy et al. 2016), mixup at
the cut (Zhang et al. 2018, Verma et al. 2019), and an exponential average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

WARM_UP = 0.05
"""The share of the training in which the rate rises to its full height."""


def supports_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU computes in bfloat16 (twice as fast there, many times slower elsewhere).

    False where the flags can't be read.
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
    """The share of the full rate when the share `done` (0 to 1) of the training is behind us."""
    if done < WARM_UP:
        return (done + 0.01) / (WARM_UP + 0.01)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (done - WARM_UP) / (1 - WARM_UP)))))


class Optimiser:
    """Trains a tail (`network.build_tail`) in place, and keeps an average of its weights."""

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
        features: np.ndarray,
        targets: np.ndarray,
        partners: np.ndarray,
        mix: float,
        done: float,
    ) -> float:
        """One step on a batch; returns its loss in nats.

        `features` [n, …]; `targets` one-hot float32 [n, k]; `partners` [n], which photo of the
        batch each is mixed with; `mix`, the share (0 to 1) of the photo itself; `done`, the share
        of the training that is behind us, which sets the rate.
        """
        self._steps += 1
        self._adamw.learning_rate.assign(self._learning_rate * cosine_rate(done))
        # As in tf.train.ExponentialMovingAverage: a short memory at first.
        averaging = min(self._averaging, self._steps / (self._steps + 10))
        loss = self._step(
            tf.constant(features),
            tf.constant(targets),
            tf.constant(partners, tf.int32),
            tf.constant(mix, tf.float32),
            tf.constant(averaging, tf.float32),
        )
        return float(loss)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, the tail has the averaged weights in place of those that are being trained."""
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
        features: tf.Tensor,
        targets: tf.Tensor,
        partners: tf.Tensor,
        mix: tf.Tensor,
        averaging: tf.Tensor,
    ) -> tf.Tensor:
        x = tf.cast(features, tf.float32)
        x = mix * x + (1 - mix) * tf.gather(x, partners)
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
    load: Callable[[int, int], np.ndarray],
    count: int,
    batch_size: int,
) -> dict[str, np.ndarray]:
    """The tail's outputs for `count` photos: ``logits`` [count, k], ``embedding`` [count, 512].

    `load(start, stop)` gives the features of those photos.
    """
    batches = [
        tail(tf.cast(load(start, min(start + batch_size, count)), tf.float32), training=False)
        for start in range(0, count, batch_size)
    ]
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}
