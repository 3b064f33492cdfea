"""audit_labels: photos in the folder of a wrong species come first."""

import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from mlmodels.ml.layers import DEFAULT_POOLING
from predictions.models import Photo
from supervision.datasets.selectors import TooFewPhotos
from supervision.models import LabelDoubt
from supervision.review.label_audit import MAX_FOLDS, audit_labels, out_of_fold_probabilities
from tests.support.labelled_photos import ten_species

pytestmark = pytest.mark.django_db
PHOTOS_PER_SPECIES = 24
"""Number of real photos of each of the ten species."""


def misplaced_folders(source: Path, folder: Path) -> set[str]:
    """Copy photos of each species, one in six into a wrong folder; return the names of those."""
    misplaced = set()
    species = sorted(path for path in source.iterdir() if path.is_dir())
    for number, own_folder in enumerate(species):
        files = sorted(own_folder.iterdir())
        chosen = files[:: len(files) // PHOTOS_PER_SPECIES][:PHOTOS_PER_SPECIES]
        for index, file in enumerate(chosen):
            # The wrong folders take turns, as if several people had made mistakes.
            other = species[(number + 1 + index % (len(species) - 1)) % len(species)]
            is_misplaced = index % 6 == 0
            target = folder / (other if is_misplaced else own_folder).name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / file.name)
            if is_misplaced:
                misplaced.add(file.name)
    return misplaced


def drawn_features(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return embeddings [n, d] in which each label has its own direction, with much noise."""
    generator, size = np.random.default_rng(seed), DEFAULT_POOLING.size
    directions = generator.uniform(0, 3, (int(labels.max()) + 1, size))
    return directions[labels] + generator.uniform(0, 20, (len(labels), size))


def test_wrong_labels_are_the_least_probable_ones() -> None:
    truth = np.repeat(np.arange(4), 20)
    labels = truth.copy()
    wrong = np.arange(0, 80, 8)
    labels[wrong] = (labels[wrong] + 1) % 4
    groups = [str(index) for index in range(80)]
    probabilities = out_of_fold_probabilities(drawn_features(truth, 1), labels, groups)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    given = probabilities[np.arange(80), labels]
    assert set(np.argsort(given)[: len(wrong)]) == set(wrong)


def test_photos_of_one_find_do_not_confirm_each_other() -> None:
    """Two equal photos are mislabelled: a head fitted on one would confirm the other's label."""
    truth = np.repeat(np.arange(3), 20)
    features, labels = drawn_features(truth, 2), truth.copy()
    features[1] = features[0]
    labels[:2] = 2
    separate = [str(index) for index in range(60)]
    together = ["find", "find", *separate[2:]]
    confirmed = out_of_fold_probabilities(features, labels, separate)[0, 2]
    audited = out_of_fold_probabilities(features, labels, together)[0, 2]
    assert audited < confirmed


def test_an_audit_needs_two_species_with_enough_finds() -> None:
    with pytest.raises(TooFewPhotos, match=f"two species with photos of {MAX_FOLDS} finds each"):
        audit_labels()
    with pytest.raises(CommandError, match="import_photos"):
        call_command("audit_labels")
    assert LabelDoubt.objects.count() == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_most_misplaced_real_photos_are_in_the_first_quarter(
    real_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    misplaced = misplaced_folders(real_photos / "train", tmp_path)
    ten_species()  # tests that commit delete them
    call_command("import_photos", str(tmp_path), "--split", "training", stdout=StringIO())
    photos = Photo.objects.count()
    assert photos > 9 * PHOTOS_PER_SPECIES
    out = StringIO()
    call_command("audit_labels", "--first", "5", stdout=out)
    assert len(out.getvalue().splitlines()) == 6
    assert f"{photos} photos audited" in out.getvalue()
    ranked = list(LabelDoubt.objects.order_by("-doubt").values_list("photo__origin", flat=True))
    assert len(ranked) == photos
    found = len(misplaced & set(ranked[: photos // 4]))
    with capsys.disabled():
        print(f"\nfirst quarter of {photos}: {found} of {len(misplaced)} misplaced photos")
    assert found >= 0.7 * len(misplaced)
    # A second audit, from the cache, gives the same ranking.
    audit_labels()
    again = LabelDoubt.objects.order_by("-doubt").values_list("photo__origin", flat=True)
    assert list(again) == ranked
