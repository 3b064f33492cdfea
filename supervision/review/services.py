"""Records an administrator's review of a photo: what it shows, or its exclusion; and undoes it.

A repeated call changes nothing. None of them changes a frozen evaluation set. Each change is kept
with what it replaced (`PhotoReview`).
"""

from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from mlmodels.models import Species
from predictions.feedback_services import feedback_reopen
from predictions.import_services import genera_lock, is_genus_elsewhere
from predictions.labels import LABEL_FIELDS, REVIEWED, Label, OtherSpecies, label_of, label_set
from predictions.models import Photo
from predictions.selectors import evaluation_photos_like, served_inferences
from supervision.models import PhotoReview
from supervision.review.history import STATE_FIELDS, former_values, photo_state


def photo_label(*, photo: Photo, species: Species, by: User, decision: UUID | None = None) -> Photo:
    """Record the species that an administrator says a photo shows; return the updated photo.

    The label counts as confirmed if it is the species believed so far (the photo's label, else the
    newest answer of a model), and as corrected otherwise. The photo becomes a training photo,
    whatever it scored and even if it was excluded, unless it resembles an evaluation photo or shows
    the same find: then it belongs to no split. An evaluation photo stays one. Photos of one
    decision have the same `decision`; None is a decision about this photo alone.
    """
    return _label(photo, species, by, decision)


def photo_label_other(
    *, photo: Photo, other: OtherSpecies, by: User, decision: UUID | None = None
) -> Photo:
    """Record that a photo shows none of the species that models know; return the updated photo.

    It leaves the training photos of its species and becomes one of other species, as `photo_label`
    says, unless evaluation photos of other species include one of its genus: then it belongs to no
    split. `other` without a name leaves the one that the photo has.
    """
    return _label(photo, other, by, decision)


def _label(photo: Photo, label: Label, by: User, decision: UUID | None) -> Photo:
    with transaction.atomic():
        genera_lock()
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        before, former = photo_state(photo), label_of(photo)
        if label == OtherSpecies() and isinstance(former, OtherSpecies):
            label = former
        if former != label or photo.label_source not in REVIEWED:
            is_believed = label == (former or _answered(photo))
            source = Photo.LabelSource.CONFIRMED if is_believed else Photo.LabelSource.CORRECTED
            photo.label_source = source
        label_set(photo, label)
        photo.excluded = False
        if photo.split != Photo.Split.EVALUATION and (former != label or not photo.split):
            _choose_split(photo, label)
        is_other = isinstance(label, OtherSpecies)
        kind = PhotoReview.Kind.OTHER if is_other else PhotoReview.Kind.LABEL
        _save_review(photo, before, kind, by, decision)
    return photo


def photo_exclude(*, photo: Photo, by: User, decision: UUID | None = None) -> Photo:
    """Keep a photo out of training, or an evaluation photo out of the next frozen set.

    The exclusion lasts until `photo_label` or `photo_label_other` is called. An evaluation photo
    stays in its split: it never becomes a training photo. Returns the updated photo.
    """
    with transaction.atomic():
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        before = photo_state(photo)
        photo.excluded = True
        if photo.split == Photo.Split.TRAINING:
            photo.split, photo.split_at = Photo.Split.NONE, None
        _save_review(photo, before, PhotoReview.Kind.EXCLUDE, by, decision)
    return photo


def decision_undo(*, decision: UUID, by: User) -> tuple[list[Photo], list[Photo]]:
    """Undo a decision; return the photos that are as before it, and those that were left alone.

    Left alone is a photo that somebody has changed since, or whose former species is gone. One that
    would become a training photo again, but is near an evaluation photo by now, belongs to no
    split. Feedback that the decision answered waits again. Nothing is
    undone that was undone before, or that `by` did not decide.
    """
    undone, left = [], []
    with transaction.atomic():
        genera_lock()
        reviews = PhotoReview.objects.filter(decision=decision, by=by, undone_at=None)
        for review in reviews.select_for_update().order_by("photo_id"):
            photo = Photo.objects.select_for_update().get(pk=review.photo_id)
            if photo_state(photo) == review.after and _restore(photo, review.before):
                undone.append(photo)
                review.undone_at = timezone.now()
                review.save(update_fields=["undone_at"])
                feedback_reopen(photo=photo, by=by, since=review.created_at)
            else:
                left.append(photo)
    return undone, left


def _restore(photo: Photo, state: dict) -> bool:
    """Give a photo back its label, split and review; return False if its species is gone."""
    species = Species.objects.filter(name=state["species"] or "").first()
    if state["species"] and species is None:
        return False
    label = OtherSpecies(state["other_name"]) if state["is_other"] else species
    label_set(photo, label)
    for name, value in former_values(state).items():
        setattr(photo, name, value)
    if label and photo.split == Photo.Split.TRAINING:
        _choose_split(photo, label)
    _save(photo)
    return True


def _answered(photo: Photo) -> Species | None:
    """Return the species of the newest answer as the review shows it, or None if there is none."""
    newest = served_inferences().filter(photo=photo).order_by("-id")
    name = newest.values_list("best_species", flat=True).first()
    return Species.objects.filter(name=name).first() if name else None


def _choose_split(photo: Photo, label: Label) -> None:
    """Put a photo into training, unless its bytes are gone or it is near an evaluation photo.

    A reserved one belongs to no split either. Near means that it resembles one, or shows the same
    find or, of other species, the same genus.
    """
    is_near = is_genus_elsewhere(label, Photo.Split.TRAINING) or evaluation_photos_like(
        photo, label
    )
    if photo.is_reserved or not photo.file or is_near:
        photo.split, photo.split_at = Photo.Split.NONE, None
    elif not photo.split:
        photo.split, photo.split_at = Photo.Split.TRAINING, timezone.now()


def _save_review(photo: Photo, before: dict, kind: str, by: User, decision: UUID | None) -> None:
    """Save a photo and the review that changed it; do nothing if it is as before."""
    if photo_state(photo) == before:
        return
    photo.reviewed_by, photo.reviewed_at = by, timezone.now()
    _save(photo)
    PhotoReview.objects.create(
        photo=photo,
        decision=decision or uuid4(),
        kind=kind,
        by=by,
        before=before,
        after=photo_state(photo),
    )


def _save(photo: Photo) -> None:
    photo.save(update_fields=[*LABEL_FIELDS, *STATE_FIELDS])
