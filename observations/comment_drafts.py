"""Drafts of comments for Mushroom Observer: what ChampiPy says of an observation, in Textile."""

from dataclasses import dataclass

from django.utils import translation

from mlmodels.models import ModelVersion
from mlmodels.species_selectors import accepted_names
from observations.models import Observation
from predictions.verdicts import NOT_COVERED, verdict_sentence

MAX_CONTENT = 10_000
MARK = "Made with the help of ChampiPy"


@dataclass(frozen=True)
class Draft:
    """A comment to be edited. `mark` follows the content when it is posted, whatever was edited."""

    summary: str
    content: str
    mark: str


def comment_draft(observation: Observation) -> Draft:
    """Return the draft of a comment on an answered observation, with its photos and names loaded.

    The mark names the version that scored the photos, and the score of the best species. All of it
    is in English, as most comments there are.
    """
    assert observation.answer is not None, "only what is answered can be told"
    best, scope = observation.answer["predictions"][0], observation.answer["scope"]
    species = accepted_names().get(best["species"], best["species"])
    version = version_of(observation)
    scored_by = f" ({version})" if version else ""
    if scope is not None and not scope["in_scope"]:
        told = "none of the species that it knows"
        score = f"{told}; that it is one of them: {scope['score']:.2f} %"
        summary = f"ChampiPy: {told}"
    else:
        told = f"_{species}_"
        score = f"{told} {best['score']:.2f} %"
        summary = f"ChampiPy: {species}, {best['score']:.2f} %"
    count = len(observation.photos.all())
    lines = [f"ChampiPy looked at {count} photo{'s' if count != 1 else ''}: {score}."]
    with translation.override("en"):
        lines += [
            f"* {name.name}: {name.verdict}. {verdict_sentence(name.because)}"
            for name in observation.names.all()
            if name.because and name.verdict != NOT_COVERED
        ]
    return Draft(summary[:100], "\n".join(lines), f"{MARK}{scored_by}: {score}.")


def marked(content: str, mark: str) -> str:
    """Return the text to post: the edited content, with the mark as its last paragraph."""
    content = content.strip()
    return content if content.endswith(mark) else f"{content}\n\n{mark}"


def version_of(observation: Observation) -> ModelVersion | None:
    """Return the version that judged all photos together; None if they were deleted."""
    inferences = [photo.prediction.inference for photo in observation.photos.all()]
    versions = [each.model_version for each in inferences if each is not None]
    return max(versions, key=lambda each: each.pk, default=None)
