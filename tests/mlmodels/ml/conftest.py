import numpy as np
import pytest

from mlmodels.ml.layers import EMBEDDING_SIZE
from tests.support.networks import LABELS, SMALLEST_INPUT, random_backbone


@pytest.fixture(scope="session")
def backbone():
    return random_backbone()


@pytest.fixture(scope="session")
def network_weights(backbone):
    """Return the tensors of the whole network, untrained, for the three labels of `LABELS`."""
    rng = np.random.default_rng(1)
    return {
        **backbone,
        "head/kernel": rng.normal(0, 0.1, (EMBEDDING_SIZE, len(LABELS))).astype(np.float32),
        "head/bias": np.array([0.5, -0.5, 0.0], np.float32),
    }


@pytest.fixture(scope="session")
def pixels():
    """Return eight random photos as the network takes them, uint8 [8, size, size, 3]."""
    return np.random.default_rng(2).integers(
        0, 256, (8, SMALLEST_INPUT, SMALLEST_INPUT, 3), dtype=np.uint8
    )


@pytest.fixture(scope="session")
def engine_file(tmp_path_factory, network_weights, pixels):
    """Return the path of a real engine with the smallest input size that VGG16 can have."""
    from mlmodels.ml.export import export_engine

    path = tmp_path_factory.mktemp("engine") / "engine.tflite"
    export_engine(network_weights, list(pixels), SMALLEST_INPUT, path)
    return path
