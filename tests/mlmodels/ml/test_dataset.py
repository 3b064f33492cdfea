from collections import Counter

import pytest

from mlmodels.ml.dataset import Dataset, LabelledPhoto, group_photos, split_by_group
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
