import math

import numpy as np
import pytest

from mlmodels.ml import layers
from mlmodels.ml.head import projections
from mlmodels.ml.pooling import pool
from tests.support.networks import SMALLEST_INPUT, STATISTICS


@pytest.fixture(scope="module")
def network():
    from mlmodels.ml import network

    return network


@pytest.fixture(scope="module")
def optimisation():
    from mlmodels.ml import optimisation

    return optimisation


def test_the_convolutions_are_those_of_keras_vgg16(network, average_weights, pixels):
    import keras

    keras_vgg16 = keras.applications.VGG16(
        weights=None, include_top=False, pooling="avg", input_shape=(SMALLEST_INPUT,) * 2 + (3,)
    )
    for convolution in layers.CONVOLUTIONS:
        name = convolution.name
        keras_vgg16.get_layer(name).set_weights(
            [average_weights[f"{name}/kernel"], average_weights[f"{name}/bias"]]
        )
    colours = keras.applications.vgg16.preprocess_input(pixels.astype(np.float32))
    outputs = network.build_network(average_weights, SMALLEST_INPUT)({"maps": pixels})
    assert np.asarray(outputs["embedding"]) == pytest.approx(
        np.asarray(keras_vgg16(colours)), rel=1e-3, abs=1e-4
    )


def test_the_head_is_a_dense_layer_on_the_pooled_features(network, average_weights, pixels):
    outputs = network.build_network(average_weights, SMALLEST_INPUT)({"maps": pixels})
    expected = np.asarray(outputs["embedding"]) @ average_weights["head/kernel"]
    expected += average_weights["head/bias"]
    assert np.asarray(outputs["logits"]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_head_standardises_statistics_before_its_dense_layer(
    network, statistics_weights, pixels
):
    outputs = network.build_network(statistics_weights, SMALLEST_INPUT, STATISTICS)(
        {"maps": pixels}
    )
    features = np.asarray(outputs["embedding"]) - statistics_weights["head/mean"]
    features *= statistics_weights["head/scale"]
    expected = features @ statistics_weights["head/kernel"] + statistics_weights["head/bias"]
    assert np.asarray(outputs["logits"]) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def tail_input(maps, cut, pooling, weights):
    """Return the tail's input from the stem's output for one batch, pooled by NumPy."""
    maps = {name: np.asarray(values) for name, values in maps.items()}
    pooled_by = pooling, projections(weights, pooling)
    features = {"maps": maps["features"]} if cut < 13 else {}
    frozen = [block for block in pooling.maps if layers.BLOCK_ENDS[block] <= cut]
    if frozen:
        blocks = {block: maps[f"block{block}"] for block in frozen}
        features["pooled"] = np.stack(
            [
                pool({block: of_block[photo] for block, of_block in blocks.items()}, *pooled_by)
                for photo in range(len(blocks[frozen[0]]))
            ]
        )
    return features


@pytest.mark.parametrize(
    ("cut", "winograd"), [(4, False), (7, False), (9, True), (10, False), (12, True)]
)
def test_stem_and_tail_together_equal_the_network(
    network, network_weights, pooling, pixels, cut, winograd
):
    whole = network.build_network(network_weights, SMALLEST_INPUT, pooling)
    expected = whole({"maps": pixels})
    n_outputs = network_weights["head/bias"].shape[0]
    stem = network.build_stem(cut, SMALLEST_INPUT, pooling)
    tail = network.build_tail(cut, SMALLEST_INPUT, n_outputs, pooling, winograd=winograd)
    network.set_weights(stem, network_weights)
    network.set_weights(tail, network_weights)
    features = tail_input(stem(pixels.astype(np.float32)), cut, pooling, network_weights)
    assert features["maps"].shape[1:] == layers.maps_shape(cut, SMALLEST_INPUT)
    assert features.get("pooled", np.zeros((8, 0))).shape[1] == pooling.frozen_size(cut)
    outputs = tail(features)
    for name, values in expected.items():
        assert np.asarray(outputs[name]) == pytest.approx(np.asarray(values), rel=1e-3, abs=1e-3)


def test_all_convolutions_and_numpy_pooling_equal_the_network(
    network, network_weights, pooling, pixels
):
    expected = network.build_network(network_weights, SMALLEST_INPUT, pooling)({"maps": pixels})
    stem = network.build_stem(13, SMALLEST_INPUT, pooling)
    network.set_weights(stem, network_weights)
    maps = {name: np.asarray(values) for name, values in stem(pixels.astype(np.float32)).items()}
    assert set(maps) == {f"block{block}" for block in pooling.maps}
    embeddings = np.stack(
        [
            pool(
                {block: maps[f"block{block}"][photo] for block in pooling.maps},
                pooling,
                projections(network_weights, pooling),
            )
            for photo in range(len(pixels))
        ]
    )
    assert embeddings.shape == (8, pooling.size)
    assert embeddings.dtype == np.float32
    # Near a square root's end at 0, rounding is larger than elsewhere.
    assert embeddings == pytest.approx(np.asarray(expected["embedding"]), rel=1e-3, abs=2e-3)
    n_outputs = network_weights["head/bias"].shape[0]
    tail = network.build_tail(13, SMALLEST_INPUT, n_outputs, pooling)
    network.set_weights(tail, network_weights)
    logits = np.asarray(tail({"pooled": np.asarray(expected["embedding"])})["logits"])
    assert logits == pytest.approx(np.asarray(expected["logits"]), rel=1e-4, abs=1e-4)


def test_maps_without_any_value_have_finite_embeddings_and_gradients(network):
    import tensorflow as tf

    for layer in (network.Statistics(0.45), network.SecondOrder(5, 4, 0.45)):
        maps = tf.Variable(np.zeros((2, 3, 3, 512), np.float32))
        with tf.GradientTape() as tape:
            embedding = layer(maps)
            loss = tf.reduce_sum(embedding)
        assert np.isfinite(embedding).all()
        assert np.isfinite(tape.gradient(loss, maps)).all()


def test_weights_are_read_back_unchanged(network, network_weights, pooling):
    model = network.build_network(network_weights, SMALLEST_INPUT, pooling)
    weights = network.get_weights(model)
    assert weights.keys() == network_weights.keys()
    assert all(np.array_equal(weights[name], network_weights[name]) for name in weights)


def test_the_error_names_weights_that_do_not_fit(network, average_weights):
    tail = network.build_tail(13, SMALLEST_INPUT, 3)
    with pytest.raises(ValueError, match="lack 'head/"):
        network.set_weights(tail, {})
    with pytest.raises(ValueError, match=r"'head/bias' has the shape \(4,\)"):
        network.set_weights(tail, {**average_weights, "head/bias": np.zeros(4, np.float32)})


def test_only_layers_after_the_frozen_ones_and_the_dense_layer_are_trained(network):
    tail = network.build_tail(10, SMALLEST_INPUT, 3, STATISTICS, frozen=12)
    trained = {variable.path for variable in tail.trainable_variables}
    assert trained == {"block5_conv3/kernel", "block5_conv3/bias", "head/kernel", "head/bias"}


@pytest.mark.parametrize(
    ("variables", "cut", "first"),
    [(1, 13, "head"), (2, 12, "block5_conv3"), (4, 10, "block5_conv1"), (14, 0, "block1_conv1")],
)
def test_layers_are_counted_from_the_output(variables, cut, first):
    assert layers.frozen_convolutions(variables) == cut
    assert layers.trained_layers(variables)[0] == first
    assert len(layers.trained_layers(variables)) == variables


@pytest.mark.parametrize("variables", [0, 15, -1])
def test_an_impossible_number_of_layers_is_refused(variables):
    with pytest.raises(ValueError, match="from 1 to 14"):
        layers.frozen_convolutions(variables)


@pytest.mark.parametrize(
    ("cut", "shape", "frozen"),
    [
        (0, (224, 224, 3), 0),
        (7, (28, 28, 256), 3 * 256),
        (10, (14, 14, 512), 3 * 768 + 36),
        (11, (14, 14, 512), 3 * 768 + 36),
        (13, (7, 7, 512), 3 * 1280 + 2 * 36),
    ],
)
def test_shapes_of_features(cut, shape, frozen):
    assert layers.maps_shape(cut, 224) == shape
    assert STATISTICS.frozen_size(cut) == frozen
    assert layers.AVERAGE.frozen_size(cut) == (512 if cut == 13 else 0)


@pytest.mark.parametrize(
    "pooling",
    [
        *[((5, 4), 0), ((2,), 0), ((5, 5), 0), ((5,), -1), ((5,), 513), ((), 8)],
        *[((5,), 8, ()), ((5,), 8, (3,)), ((5,), 8, (5, 4))],
        *[((5,), 8, (5,), -0.1), ((5,), 8, (5,), math.nan), ((), 0, (5,), 0.5)],
    ],
)
def test_an_impossible_pooling_is_refused(pooling):
    with pytest.raises(ValueError, match="not"):
        layers.Pooling(*pooling)


def test_the_second_order_needs_the_maps_of_its_blocks():
    assert layers.Pooling((3,), second_order=2).maps == (3, 5)
    assert layers.Pooling((3,), 2, second_order_blocks=(4, 5)).maps == (3, 4, 5)
    assert layers.Pooling((3,)).maps == (3,)
    assert layers.AVERAGE.maps == (5,)


def test_the_learning_rate_rises_and_then_falls_to_zero(optimisation):
    rates = [optimisation.cosine_rate(done) for done in (0.0, 0.05, 0.525, 1.0, 1.5)]
    assert rates == pytest.approx([1 / 6, 1.0, 0.5, 0.0, 0.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16 sse\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_vnni\n", False),
        ("model name\t: bf16 avx512_bf16\n", False),
    ],
)
def test_bfloat16_is_detected_by_the_cpu_flags(optimisation, tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert optimisation.supports_bfloat16(tmp_path / "cpuinfo") is expected
    assert optimisation.supports_bfloat16(tmp_path / "missing") is False


def test_mixup_mixes_photos_and_targets_equally(network, optimisation, average_weights):
    """Compare a step's loss on a mixed batch with the loss of the mixture computed manually."""
    features = np.random.default_rng(0).uniform(0, 2, (4, 512)).astype(np.float16)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    partners, mix, smoothing = np.array([1, 2, 3, 0]), 0.7, 0.1
    tail = network.build_tail(13, SMALLEST_INPUT, 3)
    network.set_weights(tail, average_weights)
    optimiser = optimisation.Optimiser(
        tail, learning_rate=0.1, weight_decay=0.0, label_smoothing=smoothing, averaging=0.9
    )
    loss = optimiser.step({"pooled": features}, targets, partners, mix, 0.5)

    mixed = mix * features.astype(np.float64) + (1 - mix) * features[partners]
    expected = mix * targets + (1 - mix) * targets[partners]
    expected = expected * (1 - smoothing) + smoothing / 3
    logits = mixed @ average_weights["head/kernel"] + average_weights["head/bias"]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-(expected * log_probabilities).sum(axis=1).mean(), rel=1e-4)
    assert math.isfinite(loss)


def test_averaged_weights_are_set_only_in_the_context(network, optimisation, average_weights):
    tail = network.build_tail(13, SMALLEST_INPUT, 3)
    network.set_weights(tail, average_weights)
    optimiser = optimisation.Optimiser(
        tail, learning_rate=0.1, weight_decay=0.0, label_smoothing=0.0, averaging=0.9
    )
    features = np.ones((4, 512), np.float16)
    optimiser.step(
        {"pooled": features}, np.eye(3, dtype=np.float32)[[0, 0, 0, 0]], np.arange(4), 1.0, 0.5
    )
    trained = network.get_weights(tail)["head/bias"]
    with optimiser.averaged():
        averaged = network.get_weights(tail)["head/bias"]
    before = average_weights["head/bias"]
    share = 1 / 11  # of the initial weights in the average after one step
    assert averaged == pytest.approx(share * before + (1 - share) * trained, abs=1e-6)
    assert np.array_equal(network.get_weights(tail)["head/bias"], trained)
    assert not np.array_equal(trained, before)
