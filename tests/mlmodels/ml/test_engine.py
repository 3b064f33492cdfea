import numpy as np
import pytest

from mlmodels.ml.engine import EngineError, LiteRTEngine
from mlmodels.ml.layers import AVERAGE
from tests.support.networks import SMALLEST_INPUT, STATISTICS


def test_int8_agrees_with_the_float_network(engine_file, network_weights, pooling, pixels):
    from mlmodels.ml.network import build_network

    network = build_network(network_weights, SMALLEST_INPUT, pooling)
    expected = {k: np.asarray(v) for k, v in network({"maps": pixels}).items()}
    engine = LiteRTEngine.load(engine_file, network_weights, pooling)
    scores = [engine.score(photo) for photo in pixels]
    logits = np.stack([score.logits for score in scores])
    embeddings = np.stack([score.embedding for score in scores])
    assert logits.shape == expected["logits"].shape
    assert embeddings.shape == (8, pooling.size)
    assert logits.dtype == embeddings.dtype == np.float32
    assert np.corrcoef(embeddings.ravel(), expected["embedding"].ravel())[0, 1] > 0.99
    assert np.abs(logits - expected["logits"]).max() < 0.1 * np.ptp(expected["logits"])


def test_the_float_engine_agrees_with_the_float_network(tmp_path, network_weights, pooling, pixels):
    from mlmodels.ml.export import export_float_engine
    from mlmodels.ml.network import build_network

    path = tmp_path / "engine.tflite"
    export_float_engine(network_weights, SMALLEST_INPUT, path, pooling)
    engine = LiteRTEngine.load(path, network_weights, pooling)
    expected = build_network(network_weights, SMALLEST_INPUT, pooling)({"maps": pixels})
    logits = np.stack([engine.score(photo).logits for photo in pixels])
    assert logits == pytest.approx(np.asarray(expected["logits"]), abs=0.01)


def test_the_head_in_numpy_agrees_with_the_network(network_weights, pooling):
    from mlmodels.ml.head import head_logits
    from mlmodels.ml.layers import CONVOLUTIONS
    from mlmodels.ml.network import build_tail, set_weights

    n_outputs = network_weights["head/bias"].shape[0]
    tail = build_tail(len(CONVOLUTIONS), SMALLEST_INPUT, n_outputs, pooling)
    set_weights(tail, network_weights)
    embeddings = np.random.default_rng(3).gamma(1, 2, (20, pooling.size)).astype(np.float32)
    expected = np.asarray(tail({"pooled": embeddings})["logits"])
    assert head_logits(embeddings, network_weights) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_the_lognorm_is_that_of_the_standardised_embedding(
    statistics_engine, statistics_weights, pixels
):
    score = LiteRTEngine.load(statistics_engine, statistics_weights, STATISTICS).score(pixels[0])
    standardised = score.embedding - statistics_weights["head/mean"]
    standardised *= statistics_weights["head/scale"]
    assert score.lognorm == pytest.approx(2 * np.log(np.linalg.norm(standardised)), rel=1e-5)


def test_an_engine_for_another_pooling_is_refused(
    average_engine, average_weights, statistics_engine, statistics_weights
):
    with pytest.raises(EngineError, match="block3"):
        LiteRTEngine.load(average_engine, statistics_weights, STATISTICS)
    with pytest.raises(EngineError, match="block3"):
        LiteRTEngine.load(statistics_engine, average_weights, AVERAGE)


def test_scores_do_not_depend_on_earlier_photos(engine_file, network_weights, pooling, pixels):
    engine = LiteRTEngine.load(engine_file, network_weights, pooling)
    first = engine.score(pixels[0])
    expected = first.logits.copy()
    engine.score(pixels[1])
    assert np.array_equal(first.logits, expected)
    assert np.array_equal(engine.score(pixels[0]).logits, expected)


def test_scores_do_not_depend_on_the_number_of_threads(
    engine_file, network_weights, pooling, pixels
):
    one, two = (LiteRTEngine.load(engine_file, network_weights, pooling, n) for n in (1, 2))
    assert np.array_equal(one.score(pixels[0]).logits, two.score(pixels[0]).logits)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((SMALLEST_INPUT, SMALLEST_INPUT, 3), np.float32),
        np.zeros((SMALLEST_INPUT + 1, SMALLEST_INPUT, 3), np.uint8),
        np.zeros((1, SMALLEST_INPUT, SMALLEST_INPUT, 3), np.uint8),
    ],
)
def test_pixels_of_another_shape_or_dtype_are_refused(average_engine, average_weights, photo):
    engine = LiteRTEngine.load(average_engine, average_weights, AVERAGE)
    with pytest.raises(ValueError, match="takes uint8 pixels"):
        engine.score(photo)


@pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(1000)])
def test_a_file_that_is_not_an_engine_is_refused(tmp_path, content):
    path = tmp_path / "engine.tflite"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"engine\.tflite"):
        LiteRTEngine.load(path, {}, AVERAGE)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(EngineError, match=r"engine\.tflite"):
        LiteRTEngine.load(tmp_path / "engine.tflite", {}, AVERAGE)
