"""The head: its fit, and its outputs for photos that it was not fitted to."""

import numpy as np
import pytest

from mlmodels.ml.head import (
    MAX_FOLDS,
    blank_head,
    fit_head,
    head_logits,
    lognorm,
    out_of_fold,
    standardised,
)
from mlmodels.ml.layers import AVERAGE, Pooling, tensor_shapes

POOLING = Pooling((3,), second_order=4)  # 768 statistics and 10 products
SIZE = POOLING.size
RIDGE = {"regularisation": 3e-4, "pooling": POOLING}


@pytest.fixture
def photos():
    """Return embeddings, labels and groups of 60 photos of three species, two of each find.

    The embeddings have two views.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    means = rng.uniform(0, 4, (3, SIZE))[labels]
    embeddings = np.abs(means + rng.normal(0, 0.5, (2, 60, SIZE))).astype(np.float32)
    return embeddings, labels, [str(index // 6 * 3 + index % 3) for index in range(60)]


@pytest.fixture
def others():
    """Return embeddings of 24 photos of six other genera, unlike the three species."""
    rng = np.random.default_rng(1)
    means = rng.uniform(0, 4, SIZE)
    values = np.abs(means + rng.normal(0, 0.5, (4, 24, SIZE))).astype(np.float32)
    return values, [f"genus {index % 6}" for index in range(24)]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("n_others", [0, 7])
def test_the_fit_is_that_of_a_direct_ridge_regression(n_others):
    embeddings, labels = draw(0, 30, SIZE), np.arange(30) % 3
    others = draw(1, n_others, SIZE) if n_others else None
    head = fit_head(embeddings, labels, 3, **RIDGE, others=others)

    rows = embeddings if others is None else np.concatenate([embeddings, others])
    features = standardised(rows, head).astype(np.float64)
    n, k = 30 + n_others, 4 if n_others else 3
    targets = np.eye(k)[[*labels, *[3] * n_others]]
    share = targets.mean(axis=0)
    normal = features.T @ features + 3e-4 * n * np.eye(SIZE)
    kernel = np.linalg.solve(normal, features.T @ (targets - share))
    assert head["head/kernel"] == pytest.approx(kernel, abs=1e-4 * np.abs(kernel).max())
    assert head["head/bias"] == pytest.approx(share)
    shapes = {n: s for n, s in tensor_shapes("head", k, POOLING).items() if n != "head/projection"}
    assert {name: tensor.shape for name, tensor in head.items()} == shapes
    assert {tensor.dtype for tensor in head.values()} == {np.dtype(np.float32)}


def test_all_parts_of_the_embedding_count_the_same():
    # The second part's numbers are a thousand times smaller, and there are 77 times fewer of them.
    embeddings = draw(0, 400, SIZE) + 5
    embeddings[:, 768:] /= 1000
    head = fit_head(embeddings, np.arange(400) % 3, 3, **RIDGE)
    squares = np.square(standardised(embeddings, head))
    assert squares[:, :768].sum(axis=1).mean() == pytest.approx(0.5, rel=0.05)
    assert squares[:, 768:].sum(axis=1).mean() == pytest.approx(0.5, rel=0.05)
    assert lognorm(embeddings, head).mean() == pytest.approx(0, abs=0.05)
    assert (lognorm(embeddings + 20, head) > 1).all(), "photos unlike those of the training"


def test_a_number_that_never_varies_has_no_effect_and_stays_finite():
    embeddings = draw(0, 30, SIZE)
    embeddings[:, 5] = 2
    head = fit_head(embeddings, np.arange(30) % 3, 3, **RIDGE)
    assert np.isfinite(np.concatenate([tensor.ravel() for tensor in head.values()])).all()
    assert head["head/kernel"][5] == pytest.approx(0, abs=1e-6)


def test_mean_and_scale_do_not_depend_on_other_species():
    embeddings, labels = draw(0, 30, SIZE), np.arange(30) % 3
    alone = fit_head(embeddings, labels, 3, **RIDGE)
    together = fit_head(embeddings, labels, 3, **RIDGE, others=draw(1, 9, SIZE) + 100)
    for name in ("head/mean", "head/scale"):
        assert np.array_equal(alone[name], together[name])


def test_the_specification_s_network_has_the_same_head_as_a_dense_layer_alone():
    embeddings, labels = draw(0, 40, 512) + 3, np.arange(40) % 3
    head = fit_head(embeddings, labels, 3, regularisation=3e-4, pooling=AVERAGE)
    assert set(head) == {"head/kernel", "head/bias"}
    assert (head_logits(embeddings, head).argmax(axis=1) == labels).all()
    assert head_logits(embeddings, head).sum(axis=1) == pytest.approx(1, abs=1e-3)


def test_a_blank_head_answers_0_for_all(photos):
    head = blank_head(4, POOLING)
    assert "head/projection" not in head
    assert (head_logits(photos[0], head) == 0).all()
    assert np.array_equal(standardised(photos[0], head), photos[0])
    assert set(blank_head(4, AVERAGE)) == {"head/kernel", "head/bias"}


def test_heads_recognise_photos_that_they_were_not_fitted_to(photos):
    embeddings, labels, groups = photos
    found = out_of_fold(embeddings, labels, groups, **RIDGE)
    assert found.logits.shape == (60, 3)
    assert (found.logits.argmax(axis=1) == labels).all()
    assert found.lognorms.shape == (60,)
    assert found.other_logits.shape == (0, 3)
    assert found.other_lognorms.shape == (0,)


def test_heads_recognise_other_species_that_they_were_not_fitted_to(photos, others):
    embeddings, labels, groups = photos
    values, genera = others
    found = out_of_fold(embeddings, labels, groups, **RIDGE, others=values, other_groups=genera)
    assert (found.logits.shape, found.other_logits.shape) == ((60, 4), (24, 4))
    assert (found.logits.argmax(axis=1) == labels).all()
    assert (found.other_logits.argmax(axis=1) == 3).all()
    assert np.isfinite(found.lognorms).all()
    assert np.isfinite(found.other_lognorms).all()


def test_no_head_was_fitted_to_a_photo_of_the_find_that_it_scores(photos):
    embeddings, labels, groups = photos
    # The photos of one find resemble no others: only a head fitted to them could know their label.
    odd = np.array(groups) == groups[0]
    embeddings[:, odd] = np.random.default_rng(2).uniform(0, 4, SIZE)
    found = out_of_fold(embeddings, labels, groups, **RIDGE)
    assert found.logits[odd, labels[0]].max() < 0.7
    fitted = fit_head(embeddings[0], labels, 3, **RIDGE)
    assert head_logits(embeddings[0, odd], fitted)[:, labels[0]].min() > 0.9


def test_no_head_was_fitted_to_a_photo_of_the_genus_that_it_scores(photos, others):
    embeddings, labels, groups = photos
    values, genera = others
    odd = np.array(genera) == "genus 2"
    values[:, odd] = np.random.default_rng(2).uniform(0, 4, SIZE)
    found = out_of_fold(embeddings, labels, groups, **RIDGE, others=values, other_groups=genera)
    assert found.other_logits[odd, 3].max() < 0.7
    assert found.other_logits[~odd, 3].min() > 0.7
    fitted = fit_head(embeddings[0], labels, 3, **RIDGE, others=values[0])
    assert head_logits(values[0, odd], fitted)[:, 3].min() > 0.9


def test_each_photo_is_scored_by_the_head_fitted_to_all_other_folds(photos, others, monkeypatch):
    """Record which rows each head was fitted to, by a number that is unique to each photo."""
    embeddings, labels, groups = photos
    values, genera = others
    embeddings[..., -1] = np.arange(60) + 1
    values[..., -1] = -np.arange(24) - 1
    fitted = []

    def recording(rows, *arguments, **options):
        head = fit_head(rows, *arguments, **options)
        fitted.append({*rows[:, -1], *options["others"][:, -1]})
        return head

    monkeypatch.setattr("mlmodels.ml.head.fit_head", recording)
    out_of_fold(embeddings, labels, groups, **RIDGE, others=values, other_groups=genera)
    assert len(fitted) == MAX_FOLDS
    numbers = {n + 1: group for n, group in enumerate(groups)}
    numbers |= {-n - 1: genus for n, genus in enumerate(genera)}
    left_out = [numbers.keys() - rows for rows in fitted]
    assert sorted(number for rows in left_out for number in rows) == sorted(numbers)
    for rows, held_out in zip(fitted, left_out, strict=True):
        assert not {numbers[n] for n in rows} & {numbers[n] for n in held_out}


def test_the_seed_draws_the_folds(photos):
    embeddings, labels, groups = photos
    once, again, other = (
        out_of_fold(embeddings, labels, groups, **RIDGE, seed=seed).logits for seed in (0, 0, 1)
    )
    assert (once == again).all()
    assert (once != other).any()


def test_others_of_fewer_genera_than_folds_are_left_out(photos, others):
    embeddings, labels, groups = photos
    values, _ = others
    genera = [f"genus {index % (MAX_FOLDS - 1)}" for index in range(24)]
    found = out_of_fold(embeddings, labels, groups, **RIDGE, others=values, other_groups=genera)
    assert (found.logits.shape, found.other_logits.shape) == ((60, 3), (0, 3))


def test_a_label_whose_photos_are_all_in_one_fold_has_no_logit_there(photos):
    embeddings, labels, groups = photos
    groups = ["one find" if label == 2 else group
              for label, group in zip(labels, groups, strict=True)]  # fmt: skip
    logits = out_of_fold(embeddings, labels, groups, **RIDGE).logits
    assert np.isneginf(logits[labels == 2, 2]).all()
    assert np.isfinite(logits[:, :2]).all()
