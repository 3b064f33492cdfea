"""The JSON of API2 for each kind of object, at detail low and high.

False and empty values are left out, as Mushroom Observer does.
"""

from datetime import datetime
from typing import Any

from tests.support.mushroom_observer.pictures import SIZES
from tests.support.mushroom_observer.world import (
    Comment,
    Image,
    Name,
    Naming,
    Observation,
    User,
    World,
)

Json = dict[str, Any]
REASONS = {
    1: "Recognized by sight",
    2: "Used references",
    3: "Based on microscopic features",
    4: "Based on chemical features",
}


def filled(**values: Any) -> Json:
    """Return the values that are neither None, False nor empty. A number 0 stays."""
    return {
        key: value
        for key, value in values.items()
        if value is not None and value is not False and value not in ("", [], {})
    }


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def user_json(user: User) -> Json:
    return filled(id=user.id, type="user", login_name=user.login, legal_name=user.legal_name)


def _name_within(name: Name) -> Json:
    return filled(
        id=name.id,
        name=name.text,
        author=name.author,
        rank=name.rank,
        deprecated=name.deprecated,
        synonym_id=name.synonym_id,
    )


def _naming_within(naming: Naming) -> Json:
    return filled(
        id=naming.id,
        type="naming",
        name=_name_within(naming.name),
        owner=user_json(naming.owner),
        confidence=naming.confidence,
        reasons=[
            filled(reason=REASONS[number], notes=notes)
            for number, notes in sorted(naming.reasons.items())
        ],
    )


def naming_json(observation: Observation, naming: Naming, *, is_high: bool) -> Json:
    answer = _naming_within(naming) | filled(
        observation_id=observation.id,
        owner_id=naming.owner.id,
        created_at=_time(naming.created_at),
        updated_at=_time(naming.updated_at),
    )
    if is_high:
        answer |= filled(votes=_votes(naming))
    else:
        del answer["owner"]
    return answer


def _votes(naming: Naming) -> list[Json]:
    return [
        filled(
            id=vote.id,
            type="vote",
            confidence=vote.value,
            naming_id=naming.id,
            owner=user_json(vote.user),
        )
        for vote in naming.votes
    ]


def observation_json(observation: Observation, base_url: str, *, is_high: bool) -> Json:
    name, confidence = observation.consensus
    answer = filled(
        id=observation.id,
        type="observation",
        date=observation.seen_on.isoformat(),
        confidence=confidence,
        created_at=_time(observation.created_at),
        updated_at=_time(observation.updated_at),
        notes=f"<p>{observation.notes}</p>" if observation.notes else "",
    )
    images = observation.images
    if not is_high:
        return answer | filled(
            owner_id=observation.owner.id,
            consensus_id=name and name.id,
            consensus_name=name and name.text,
            location_name=observation.place,
            primary_image_id=images[0].id if images else None,
        )
    return answer | filled(
        owner=user_json(observation.owner),
        consensus=_name_within(name) if name else None,
        location_name=observation.place,
        namings=[_naming_within(naming) for naming in observation.namings],
        votes=[vote for naming in observation.namings for vote in _votes(naming)],
        primary_image=image_json(images[0], base_url, is_high=False) if images else None,
        images=[image_json(image, base_url, is_high=False) for image in images[1:]],
        comments=[
            comment_json(observation, comment, is_high=True) for comment in observation.comments
        ],
    )


def image_json(image: Image, base_url: str, *, is_high: bool) -> Json:
    urls = [f"{base_url}/images/{size}/{image.id}.jpg" for size in SIZES]
    answer = filled(
        id=image.id,
        type="image",
        date=f"{image.year}-06-01",
        copyright_holder=image.holder,
        quality="2.5",
        ok_for_export=image.ok_for_export,
        license=image.licence,
        content_type="image/jpeg",
        width=image.width,
        height=image.height,
        original_url=urls[-1],
    )
    if is_high:
        return answer | filled(owner=user_json(image.owner), files=urls)
    return answer | filled(owner_id=image.owner.id)


def name_json(world: World, name: Name, *, is_high: bool) -> Json:
    answer = _name_within(name) | filled(
        type="name",
        misspelled=name.correct_spelling_id is not None,
        parents=[filled(name=text, rank=rank) for text, rank in name.parents],
    )
    if is_high:
        answer |= filled(synonyms=[_name_within(each) for each in world.synonyms(name)])
    return answer


def comment_json(observation: Observation, comment: Comment, *, is_high: bool) -> Json:
    answer = filled(
        id=comment.id,
        type="comment",
        summary=comment.summary,
        content=comment.content,
        created_at=_time(comment.created_at),
        object_type="Observation",
        object_id=observation.id,
    )
    if is_high:
        return answer | filled(owner=user_json(comment.owner))
    return answer | filled(owner_id=comment.owner.id)
