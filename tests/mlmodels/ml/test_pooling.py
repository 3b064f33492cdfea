"""The pooling layer in NumPy, on maps whose statistics can be computed by hand."""

import numpy as np
import pytest

from mlmodels.ml.layers import AVERAGE, DEFAULT_POOLING, Pooling
from mlmodels.ml.pooling import place_weights, pool, second_order, statistics, triangle


def drawn_maps(side: int, channels: int, seed: int = 0) -> np.ndarray:
    maps = np.random.default_rng(seed).normal(0, 1, (side, side, channels))
    return np.maximum(maps, 0).astype(np.float32)  # as after a ReLU


def drawn_projection(dimensions: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.05, (512, dimensions)).astype(np.float32)


def test_statistics_are_roots_of_mean_maximum_and_deviation():
    maps = np.array([[[1, 0], [3, 0]], [[1, 0], [3, 4]]], np.float32)
    expected = np.sqrt([2, 1, 3, 4, 1, np.sqrt(3)])  # two means, maxima and deviations
    found = statistics(maps)
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.dtype == np.float32


def test_statistics_are_those_of_each_channel():
    maps = drawn_maps(7, 20)
    values = maps.reshape(-1, 20).astype(np.float64)
    expected = np.sqrt(np.concatenate([values.mean(0), values.max(0), values.std(0)]))
    assert statistics(maps) == pytest.approx(expected, abs=1e-4)


def test_maps_without_any_value_stay_finite():
    found = statistics(np.zeros((4, 4, 3), np.float32))
    assert np.isfinite(found).all()
    assert found == pytest.approx(0, abs=0.05)
    zeros = second_order(np.zeros((4, 4, 512), np.float32), drawn_projection(4))
    assert np.array_equal(zeros, np.zeros(10))


def test_second_order_by_hand():
    projection = np.zeros((512, 2), np.float32)
    projection[0, 0] = projection[1, 1] = 1
    maps = np.zeros((1, 2, 512), np.float32)
    maps[0, 0, :2] = 3, 1
    maps[0, 1, :2] = 0, 2
    maps[..., 2:] = 7  # the projection leaves these channels out
    # The sums over both positions: 3*3 + 0*0, 3*1 + 0*2 (once for both orders), 1*1 + 2*2.
    rooted = np.array([3, np.sqrt(3) * np.sqrt(2), np.sqrt(5)])
    expected = rooted / np.linalg.norm(rooted)
    assert second_order(maps, projection) == pytest.approx(expected, abs=1e-5)
    projection[1, 1] = -1
    expected[1] *= -1
    assert second_order(maps, projection) == pytest.approx(expected, abs=1e-5)


def test_the_products_of_the_triangle_are_those_of_the_whole_matrix():
    """The factor of sqrt(2) keeps inner products: each pair stands for two entries."""
    rows, columns, factors = triangle(5)
    rng = np.random.default_rng(0)
    first, second = (matrix + matrix.T for matrix in rng.normal(size=(2, 5, 5)))
    inner = (first[rows, columns] * factors) @ (second[rows, columns] * factors)
    assert inner == pytest.approx((first * second).sum())
    assert len(rows) == 15


def test_the_second_order_has_length_1_whatever_the_brightness():
    maps, projection = drawn_maps(7, 512), drawn_projection(16)
    found = second_order(maps, projection)
    assert np.linalg.norm(found) == pytest.approx(1, rel=1e-5)
    assert second_order(3 * maps, projection) == pytest.approx(found, abs=1e-4)
    assert found.dtype == np.float32


def test_the_second_order_does_not_depend_on_positions():
    maps, projection = drawn_maps(7, 512), drawn_projection(16)
    moved = np.random.default_rng(2).permutation(maps.reshape(49, 512)).reshape(7, 7, 512)
    assert second_order(moved, projection) == pytest.approx(
        second_order(maps, projection), abs=1e-4
    )


@pytest.mark.parametrize(
    "pooling",
    [AVERAGE, DEFAULT_POOLING, Pooling((4,)), Pooling((3,), 2), Pooling((3, 4, 5), 2)],
    ids=str,
)
def test_the_embedding_has_the_parts_in_their_order(pooling):
    maps = {3: drawn_maps(28, 256), 4: drawn_maps(14, 512), 5: drawn_maps(7, 512)}
    projections = {block: drawn_projection(pooling.second_order) for block in pooling.projected}
    embedding = pool({block: maps[block] for block in pooling.maps}, pooling, projections)
    assert embedding.shape == (pooling.size,)
    assert embedding.dtype == np.float32
    if pooling.is_average:
        assert embedding == pytest.approx(maps[5].reshape(-1, 512).mean(axis=0))
        return
    start = 0
    for segment in pooling.segments:
        found = embedding[start : start + segment.size]
        of_block = maps[segment.block]
        weights = place_weights(len(of_block), pooling.centre)
        if segment.is_second_order:
            expected = second_order(of_block, projections[segment.block], weights)
        else:
            expected = statistics(of_block, weights)
        assert np.array_equal(found, expected)
        start += segment.size
    assert start == pooling.size
    assert sum(segment.share for segment in pooling.segments) == pytest.approx(1)


def test_maps_of_some_blocks_give_their_part_of_the_embedding():
    maps = {3: drawn_maps(28, 256), 4: drawn_maps(14, 512), 5: drawn_maps(7, 512)}
    projections = {4: drawn_projection(128), 5: drawn_projection(128)}
    whole = pool(maps, DEFAULT_POOLING, projections)
    first = pool({3: maps[3], 4: maps[4]}, DEFAULT_POOLING, {4: projections[4]})
    assert len(first) == DEFAULT_POOLING.frozen_size(10)
    assert np.array_equal(first, whole[: len(first)])


def test_places_in_the_middle_count_more():
    weights = place_weights(14, 0.45).reshape(14, 14)
    assert weights.sum() == pytest.approx(1)
    assert np.array_equal(weights, weights[::-1])
    assert np.array_equal(weights, weights.T)
    # A place at 0.5 half sides: the density of a normal distribution there, beside the middle's.
    ratio = weights[3, 6] / weights[6, 6]
    assert ratio == pytest.approx(np.exp(-(0.5**2 - (1 / 14) ** 2) / (2 * 0.45**2)), rel=1e-5)
    assert place_weights(14, 0.0) is None


def test_equal_weights_change_nothing():
    maps, projection = drawn_maps(7, 512), drawn_projection(16)
    equal = np.full(49, 1 / 49, np.float32)
    assert statistics(maps, equal) == pytest.approx(statistics(maps), abs=1e-4)
    of_equal = second_order(maps, projection, equal)
    assert of_equal == pytest.approx(second_order(maps, projection), abs=1e-4)


def test_weighted_statistics_by_hand():
    maps = np.array([[[2.0], [6.0]]], np.float32)
    found = statistics(maps, np.array([0.75, 0.25], np.float32))
    mean, deviation = 3, np.sqrt(0.75 * 1 + 0.25 * 9)
    assert found == pytest.approx(np.sqrt([mean, 6, deviation]), abs=1e-5)
