import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from mlmodels.ml.dataset import (
    Dataset,
    LabelledPhoto,
    group_photos,
    near_hashes,
    split_by_group,
)
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS


def photo(name, label=0, group=None):
    return LabelledPhoto(name, label, group or name, lambda: b"")


def test_ids_within_three_of_each_other_chain_into_one_group():
    groups = group_photos([0, 0, 0, 0], [100, 106, 103, 110], [None] * 4)
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_near_ids_of_two_species_are_two_groups():
    first, second = group_photos([0, 1], [100, 101], [None, None])
    assert first != second


def test_near_duplicates_are_one_group_whatever_their_labels():
    near, opposite = (1 << NEAR_DUPLICATE_BITS) - 1, (1 << 64) - 1
    # They differ from the first in the most bits that are near, in one more, and in all.
    groups = group_photos([0, 1, 0, 0], [None] * 4, [0, near, near << 30 | 1, opposite])
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def groups_by_all_pairs(labels, ids, hashes):
    """Return what `group_photos` must return, by comparing each photo with each."""
    groups = list(range(len(labels)))
    for i, j in combinations(range(len(labels)), 2):
        is_same_find = (
            None not in (ids[i], ids[j]) and labels[i] == labels[j] and abs(ids[i] - ids[j]) <= 3
        )
        looks_the_same = (
            None not in (hashes[i], hashes[j])
            and (hashes[i] ^ hashes[j]).bit_count() <= NEAR_DUPLICATE_BITS
        )
        if is_same_find or looks_the_same:
            groups = [groups[i] if group == groups[j] else group for group in groups]
    return groups


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_those_of_comparing_all_pairs(seed):
    generator = random.Random(seed)
    originals = [generator.getrandbits(64) for _ in range(15)]

    def copied() -> int | None:
        """Return one of few hashes with some bits flipped, so that many are about as near."""
        bits = generator.sample(range(64), generator.choice([0, 0, 4, 7, 8, 9, 10]))
        flipped = generator.choice(originals) ^ sum(1 << bit for bit in bits)
        return generator.choice([flipped, flipped, flipped, None])

    hashes = [copied() for _ in range(150)]
    ids = [generator.choice([None, generator.randrange(2000)]) for _ in hashes]
    labels = [generator.randrange(3) for _ in hashes]
    expected = groups_by_all_pairs(labels, ids, hashes)
    found = group_photos(labels, ids, hashes)
    assert 1 < len(set(expected)) < 140
    assert len(set(found)) == len(set(expected)) == len(set(zip(found, expected, strict=True)))


@pytest.mark.parametrize("distance", [0, 1, NEAR_DUPLICATE_BITS])
def test_near_hashes_are_found_whichever_bits_differ(distance):
    generator = np.random.default_rng(distance)
    values = generator.integers(0, 1 << 64, 50, dtype=np.uint64)
    for start in range(64 - distance):
        flipped = np.uint64(((1 << distance) - 1) << start)
        both = np.unique(np.concatenate([values, values ^ flipped]))
        pairs = set(near_hashes(both, distance))
        wanted = {
            (i, j) for i, j in combinations(range(len(both)), 2)
            if int(both[i] ^ both[j]).bit_count() <= distance
        }  # fmt: skip
        assert pairs == wanted
        assert len(pairs) == (50 if distance else 0)


def test_photos_without_id_and_hash_are_in_separate_groups():
    assert len(set(group_photos([0, 0], [None, None], [None, None]))) == 2


def test_a_split_keeps_groups_together_and_labels_in_proportion():
    labels = [i % 2 for i in range(200)]
    groups = [str(i // 4) for i in range(200)]
    training, validation = split_by_group(labels, groups, seed=0)
    assert sorted(training + validation) == list(range(200))
    assert not {groups[i] for i in training} & {groups[i] for i in validation}
    assert Counter(labels[i] for i in validation) == {0: 20, 1: 20}
    assert split_by_group(labels, groups, seed=0) == (training, validation)
    assert split_by_group(labels, groups, seed=1) != (training, validation)


@pytest.mark.parametrize(
    ("training", "validation", "message"),
    [
        ([photo("a"), photo("b", 1)], [photo("c")], "validation photos have none of: Two"),
        ([photo("a")], [photo("c"), photo("d", 1)], "training photos have none of: Two"),
        (
            [photo("a", 0, "g"), photo("b", 1)],
            [photo("c", 0, "g"), photo("d", 1)],
            "1 groups have photos in training and in validation",
        ),
        ([photo("a"), photo("b", 1), photo("e", 2)], [photo("c"), photo("d", 1)], "label index"),
        (
            [photo("a", 0, "g"), photo("b", 1)],
            [photo("a", 0, "h"), photo("d", 1)],
            "same photo",
        ),
    ],
)
def test_an_invalid_dataset_is_refused(training, validation, message):
    with pytest.raises(ValueError, match=message):
        Dataset(("One", "Two"), tuple(training), tuple(validation))
