"""Explanations, on maps whose evidence is known."""

import numpy as np
import pytest

from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.explanation import explain, log_odds
from mlmodels.ml.head import head_logits, projections
from mlmodels.ml.layers import (
    AVERAGE,
    DEFAULT_POOLING,
    HEAD,
    Pooling,
    maps_shape,
    tensor_shapes,
)
from mlmodels.ml.pooling import pool
from mlmodels.ml.preprocessing import decode_photo, to_input
from tests.support.networks import STATISTICS
from tests.support.paths import PRETRAINED
from tests.support.photos import drawn_photo

LABELS = 4
POOLINGS = [
    AVERAGE,
    Pooling((5,)),
    Pooling((3,)),
    Pooling((4,), 6),
    Pooling((3, 4, 5), 8),
    STATISTICS,
]
CONVOLUTIONS = {3: 7, 4: 10, 5: 13}


def drawn_maps(pooling: Pooling, input_size: int = 224) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = {block: maps_shape(CONVOLUTIONS[block], input_size) for block in pooling.maps}
    return {
        block: np.maximum(generator.normal(size=shape), 0).astype(np.float32)
        for block, shape in shapes.items()
    }


def drawn_head(pooling: Pooling, n_outputs: int = LABELS + 1) -> dict[str, np.ndarray]:
    """Return a random head with an output for other species."""
    generator = np.random.default_rng(1)
    shapes = tensor_shapes(HEAD, n_outputs, pooling)
    return {
        name: generator.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()
    }


@pytest.mark.parametrize("against", [None, 2])
@pytest.mark.parametrize("input_size", [224, 150])  # at 150, cells are not equally large
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_values_add_up_to_the_log_odds_that_the_network_gives(pooling, input_size, against) -> None:
    maps, head = drawn_maps(pooling, input_size), drawn_head(pooling)
    values = explain(
        *(maps, pooling, head),
        temperature=0.5,
        n_labels=LABELS,
        species=1,
        against=against,
        orders=4,
    )
    assert values.shape == (input_size // 32, input_size // 32)
    logits = head_logits(pool(maps, pooling, projections(head, pooling)), head)[:LABELS]
    if against is None:
        scores = np.exp(logits / 0.5) / np.exp(logits / 0.5).sum()
        expected = np.log(scores[1] / (1 - scores[1])) - np.log(1 / (LABELS - 1))
    else:
        expected = (logits[1] - logits[2]) / 0.5
    assert values.sum() == pytest.approx(expected, abs=2e-3)


def test_what_speaks_for_one_species_speaks_against_the_other() -> None:
    maps, head = drawn_maps(DEFAULT_POOLING), drawn_head(DEFAULT_POOLING)

    def values(species: int, against: int) -> np.ndarray:
        return explain(
            *(maps, DEFAULT_POOLING, head),
            temperature=1.0,
            n_labels=LABELS,
            species=species,
            against=against,
        )

    assert values(0, 3) == pytest.approx(-values(3, 0))
    assert np.array_equal(values(0, 3), values(0, 3)), "always the same"
    with pytest.raises(ValueError, match="against itself"):
        values(1, 1)


def test_the_cell_with_the_evidence_has_the_highest_value() -> None:
    """With average pooling and a head that reads one channel, only cells with it can speak."""
    maps = {5: np.zeros((7, 7, 512), np.float32)}
    maps[5][2, 5, 17], maps[5][4, 1, 30] = 8.0, 4.0
    kernel = np.zeros((512, 3), np.float32)
    kernel[17, 0] = 1.0  # speaks for species 0
    kernel[30, 1] = 1.0  # speaks for species 1
    head = {f"{HEAD}/kernel": kernel, f"{HEAD}/bias": np.zeros(3, np.float32)}
    values = explain(maps, AVERAGE, head, temperature=0.1, n_labels=3, species=0, against=1)
    assert np.unravel_index(values.argmax(), values.shape) == (2, 5)
    assert np.unravel_index(values.argmin(), values.shape) == (4, 1)
    assert values.sum() == pytest.approx((8 - 4) / 49 / 0.1, abs=1e-4)


def test_odds_are_those_of_the_scores() -> None:
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    assert log_odds(logits, 1.0, 0) == pytest.approx(np.log([0.7 / 0.3, 1 / 3]))
    assert log_odds(logits, 1.0, 0, 2) == pytest.approx(np.log([7, 0.5]))
    assert log_odds(logits, 2.0, 0, 2) == pytest.approx(np.log([7, 0.5]) / 2)


def test_the_shipped_engine_explains_its_own_scores() -> None:
    artifact = read_artifact(PRETRAINED)
    engine, card = artifact.load_engine(), artifact.card
    pixels = to_input(decode_photo(drawn_photo(3)), card.input_size)
    logits = engine.score(pixels).logits[: len(card.labels)]
    for species in (0, 7):
        values = engine.explain(
            pixels, temperature=card.temperature, n_labels=len(card.labels), species=species
        )
        expected = log_odds(logits, card.temperature, species) + np.log(len(card.labels) - 1)
        assert values.sum() == pytest.approx(expected, abs=0.01)
