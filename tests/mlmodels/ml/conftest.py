import numpy as np
import pytest

from mlmodels.ml.layers import AVERAGE
from tests.support.networks import (
    LABELS,
    SMALLEST_INPUT,
    STATISTICS,
    drawn_dataset,
    random_backbone,
    random_head,
)

POOLINGS = {"average": AVERAGE, "statistics": STATISTICS}


@pytest.fixture(scope="session")
def backbone():
    return random_backbone()


@pytest.fixture(scope="session")
def average_weights(backbone):
    """Return the tensors of a network that averages, for the three labels of `LABELS`."""
    return {**backbone, **random_head(len(LABELS), AVERAGE)}


@pytest.fixture(scope="session")
def statistics_weights(backbone):
    """Return the tensors of a network that pools statistics, for `LABELS` and other species."""
    return {**backbone, **random_head(len(LABELS) + 1, STATISTICS)}


@pytest.fixture(scope="module")
def training():
    """Return the module; only the tests that train import TensorFlow."""
    from mlmodels.ml import training

    return training


@pytest.fixture(scope="module")
def dataset():
    return drawn_dataset(training=16, validation=8)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    """Return the folder of a cache of features; the tests of a module share it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pixels():
    """Return eight random photos as the network takes them, uint8 [8, size, size, 3]."""
    return np.random.default_rng(2).integers(
        0, 256, (8, SMALLEST_INPUT, SMALLEST_INPUT, 3), dtype=np.uint8
    )


@pytest.fixture(scope="session")
def average_engine(tmp_path_factory, average_weights, pixels):
    """Return the path of a real engine with the smallest input size that VGG16 can have."""
    from mlmodels.ml.export import export_engine

    path = tmp_path_factory.mktemp("engine") / "engine.tflite"
    export_engine(average_weights, list(pixels), SMALLEST_INPUT, path)
    return path


@pytest.fixture(scope="session")
def statistics_engine(tmp_path_factory, statistics_weights, pixels):
    """Return the path of a real engine that returns the maps of three blocks."""
    from mlmodels.ml.export import export_engine

    path = tmp_path_factory.mktemp("engine") / "engine.tflite"
    export_engine(statistics_weights, list(pixels), SMALLEST_INPUT, path, STATISTICS)
    return path


@pytest.fixture(params=POOLINGS)
def pooling(request):
    """Return each pooling; the next two fixtures are of a network that has it."""
    return POOLINGS[request.param]


@pytest.fixture
def network_weights(request, pooling):
    return request.getfixturevalue(_named("weights", pooling))


@pytest.fixture
def engine_file(request, pooling):
    return request.getfixturevalue(_named("engine", pooling))


def _named(kind, pooling):
    return f"average_{kind}" if pooling.is_average else f"statistics_{kind}"
