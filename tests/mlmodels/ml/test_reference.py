"""The numbers that come with ChampiPy fit the network that uses them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mlmodels.ml.answer_calibration import MIN_OTHERS
from mlmodels.ml.head import MAX_FOLDS
from mlmodels.ml.layers import AVERAGE, DEFAULT_POOLING, Pooling, projection_name, tensor_shapes
from mlmodels.ml.reference import group_text, load_others, load_projections


def test_the_projections_have_the_shapes_that_the_head_needs():
    tensors = load_projections(DEFAULT_POOLING)
    assert set(tensors) == {"head/projection", "head/projection4"}
    for name, tensor in tensors.items():
        assert tensor.shape == tensor_shapes("head", 2, DEFAULT_POOLING)[name]
        assert tensor.dtype == np.float32


@pytest.mark.parametrize("block", [4, 5])
def test_the_projections_are_orthonormal_up_to_float16(block):
    projection = load_projections(DEFAULT_POOLING)[projection_name(block)].astype(np.float64)
    assert projection.T @ projection == pytest.approx(np.eye(128), abs=2e-3)


def test_fewer_dimensions_are_the_first_components():
    few = load_projections(Pooling((5,), second_order=8))["head/projection"]
    assert np.array_equal(few, load_projections(DEFAULT_POOLING)["head/projection"][:, :8])


@pytest.mark.parametrize("pooling", [AVERAGE, Pooling((4, 5))], ids=str)
def test_a_pooling_without_second_order_has_no_projection(pooling):
    assert load_projections(pooling) == {}


def test_the_embeddings_of_other_species_are_of_the_default_pooling():
    others = load_others()
    copies, photos, size = others.values.shape
    assert (copies, size) == (4, DEFAULT_POOLING.size)
    assert others.values.dtype == np.float32
    assert np.isfinite(others.values).all()
    start = 0
    for segment in DEFAULT_POOLING.segments:
        values = others.values[..., start : start + segment.size]
        start += segment.size
        if segment.is_second_order:
            assert np.linalg.norm(values, axis=-1) == pytest.approx(1, abs=1e-2)
        else:
            assert values.min() >= 0
    assert len(others.groups) == photos


def test_the_embeddings_of_other_species_can_be_of_a_part_of_the_default_pooling():
    part = replace(DEFAULT_POOLING, blocks=(3, 5), second_order_blocks=(5,))
    values = load_others().values
    expected = values[..., DEFAULT_POOLING.columns(part)]
    assert load_others(part).values.shape[-1] == part.size
    assert np.array_equal(load_others(part).values, expected)


def test_other_species_are_enough_to_learn_and_to_measure_scope():
    groups = Counter(load_others().groups)
    assert groups.total() >= MIN_OTHERS
    assert len(groups) >= MAX_FOLDS, "too few to leave some out"
    assert all(name.strip() == name.lower() == name != "" for name in groups)


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("agaricus", "Agaricus"),
        ("other agaricus", "Agaricus"),
        ("Xerocomus", "Xerocomus"),
        ("lilly", "lily (no fungus)"),
        ("other daisy", "daisy (no fungus)"),
        ("find of 0123456789ab", "find of 0123456789ab"),
        ("", ""),
    ],
)
def test_a_group_is_told_as_a_genus_or_as_no_fungus(group, text):
    assert group_text(group) == text


def test_the_copies_of_a_photo_resemble_each_other():
    values = load_others().values
    centred = values - values.mean(axis=(0, 1))
    centred /= np.linalg.norm(centred, axis=-1, keepdims=True)
    of_same = (centred[0] * centred[1]).sum(axis=-1).mean()
    of_another = (centred[0] * np.roll(centred[1], 1, axis=0)).sum(axis=-1).mean()
    assert of_same > of_another + 0.3
