"""audit_labels: photos in the wrong species' folder come first."""

import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from predictions.models import Photo
from supervision.datasets.selectors import TooFewPhotos
from supervision.models import LabelDoubt
from supervision.review.label_audit import FOLDS, labels_audit, out_of_fold_probabilities
from tests.support.labelled_photos import ten_species

pytestmark = pytest.mark.django_db
EACH = 24
"""Real photos of each of the ten species."""


def misplaced_folders(source: Path, folder: Path) -> set[str]:
    """Copy photos of each species, one in six into the next species' folder; return their names."""
    misplaced = set()
    species = sorted(path for path in source.iterdir() if path.is_dir())
    for number, of_species in enumerate(species):
        files = sorted(of_species.iterdir())
        chosen = files[:: len(files) // EACH][:EACH]
        for index, file in enumerate(chosen):
            # Into each of the others in turn, as by many hands.
            other = species[(number + 1 + index % (len(species) - 1)) % len(species)]
            is_misplaced = index % 6 == 0
            into = folder / (other if is_misplaced else of_species).name
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, into / file.name)
            if is_misplaced:
                misplaced.add(file.name)
    return misplaced


def drawn_features(labels: np.ndarray, seed: int) -> np.ndarray:
    """Features in which each label has a direction of its own, in much noise."""
    generator = np.random.default_rng(seed)
    directions = generator.uniform(0, 20, (int(labels.max()) + 1, 512))
    return directions[labels] + generator.uniform(0, 20, (len(labels), 512))


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


def test_photos_of_one_find_do_not_vouch_for_each_other() -> None:
    """Two photos alike, both mislabelled: fitted on one of them, a head would believe the other."""
    truth = np.repeat(np.arange(3), 20)
    features, labels = drawn_features(truth, 2), truth.copy()
    features[1] = features[0]
    labels[:2] = 2
    alone = [str(index) for index in range(60)]
    together = ["find", "find", *alone[2:]]
    vouched = out_of_fold_probabilities(features, labels, alone)[0, 2]
    audited = out_of_fold_probabilities(features, labels, together)[0, 2]
    assert audited < vouched


def test_a_species_of_too_few_finds_is_no_matter_for_an_audit() -> None:
    with pytest.raises(TooFewPhotos, match=f"{FOLDS} finds of two species"):
        labels_audit()
    with pytest.raises(CommandError, match="import_photos"):
        call_command("audit_labels")
    assert LabelDoubt.objects.count() == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_most_misplaced_real_photos_are_in_the_first_quarter(
    real_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    misplaced = misplaced_folders(real_photos / "train", tmp_path)
    ten_species()  # tests that commit leave none behind
    call_command("import_photos", str(tmp_path), "--split", "training", stdout=StringIO())
    photos = Photo.objects.count()
    assert photos > 9 * EACH
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
    # Again, from the cache: the same.
    labels_audit()
    again = LabelDoubt.objects.order_by("-doubt").values_list("photo__origin", flat=True)
    assert list(again) == ranked
