"""Out-of-fold logits of the head, on embeddings drawn from a known distribution."""

import numpy as np
import pytest

from mlmodels.ml.calibration import softmax
from mlmodels.ml.head import out_of_fold_logits


@pytest.fixture
def photos():
    """Return embeddings, labels and groups of 60 photos of three species, two of each find.

    The embeddings have two views.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    means = 4.0 * np.eye(3, 512)[labels]
    embeddings = np.abs(means + rng.normal(0, 0.1, (2, 60, 512))).astype(np.float32)
    return embeddings, labels, [str(index // 6 * 3 + index % 3) for index in range(60)]


def test_heads_recognise_photos_that_they_were_not_fitted_to(photos):
    embeddings, labels, groups = photos
    logits = out_of_fold_logits(embeddings, labels, groups, regularisation=1.0)
    assert logits.shape == (60, 3)
    assert (logits.argmax(axis=1) == labels).all()


def test_no_head_was_fitted_to_a_photo_of_the_find_that_it_scores(photos):
    embeddings, labels, groups = photos
    # The photos of one find resemble no others: only a head fitted to them could know their label.
    odd = np.array(groups) == groups[0]
    embeddings[:, odd] = 0
    embeddings[:, odd, 100] = 50
    logits = out_of_fold_logits(embeddings, labels, groups, regularisation=1.0)
    assert softmax(logits)[odd, labels[0]].max() < 0.7


def test_the_seed_draws_the_folds(photos):
    embeddings, labels, groups = photos
    once, again, other = (
        out_of_fold_logits(embeddings, labels, groups, 1.0, seed) for seed in (0, 0, 1)
    )
    assert (once == again).all()
    assert (once != other).any()


def test_a_label_whose_photos_are_all_in_one_fold_has_no_logit_there(photos):
    embeddings, labels, groups = photos
    groups = ["one find" if label == 2 else group
              for label, group in zip(labels, groups, strict=True)]  # fmt: skip
    logits = out_of_fold_logits(embeddings, labels, groups, regularisation=1.0)
    assert np.isneginf(logits[labels == 2, 2]).all()
    assert np.isfinite(logits[:, :2]).all()
