"""API2 of the replica: which objects a call means, and what a write does."""

import functools
import itertools
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.support.mushroom_observer.answers import (
    Json,
    comment_json,
    image_json,
    name_json,
    naming_json,
    observation_json,
)
from tests.support.mushroom_observer.manners import Manners, distorted
from tests.support.mushroom_observer.parameters import ApiError, Parameters
from tests.support.mushroom_observer.world import Name, Naming, Observation, User, World

LOW_PAGE, HIGH_PAGE = 1000, 100
_MAX_SUMMARY = 100

Found = list[tuple[int, Callable[..., Json]]]
"""The objects of a call by id, each with what makes its JSON (`is_high=`)."""


class Api:
    """Answers calls. `writes` lists (method, path, parameters) of those that changed something."""

    def __init__(self, world: World, manners: Manners, base_url: str) -> None:
        self.world, self.manners, self.base_url = world, manners, base_url
        self.writes: list[tuple[str, str, dict[str, str]]] = []

    def answer(self, method: str, kind: str, values: Mapping[str, str]) -> Json | None:
        """Return the envelope, or None if there is no such endpoint."""
        kinds = {"observations", "images", "names", "comments"}
        if self.manners.has_namings:
            kinds.add("namings")
        if kind not in kinds:
            return None
        started = time.monotonic()
        user = self.world.user_with_key(values.get("api_key", ""))
        envelope: Json = {"version": 2.0, "run_date": datetime.now(UTC).isoformat()}
        if user is not None:
            envelope["user"] = user.id
        with self.world.lock:
            try:
                envelope |= self._outcome(method, kind, values, user)
            except ApiError as error:
                envelope["errors"] = [
                    {"code": error.code, "details": error.details, "fatal": "true"}
                ]
        envelope["run_time"] = self.manners.run_time_s or time.monotonic() - started
        return distorted(envelope, self.manners)

    def _outcome(
        self, method: str, kind: str, values: Mapping[str, str], user: User | None
    ) -> Json:
        if values.get("api_key") and user is None:
            raise ApiError("BadAPIKey", "Invalid API key.")
        detail = values.get("detail", "none")
        if detail not in {"none", "low", "high"}:
            raise ApiError("BadParameterValue", f"Invalid detail: {detail}")
        parameters = Parameters(values)
        if method == "GET":
            found = getattr(self, f"_{kind}")(parameters)
            if self.manners.refuses_unknown_ids:
                _refuse_unknown(kind, parameters.ids() or [], found)
        elif user is None:
            raise ApiError("MustAuthenticate", "Writing needs an API key.")
        else:
            found = getattr(self, f"_{method.lower()}_{kind}", self._no_such_action)(
                parameters, user
            )
            self.writes.append((method, kind, dict(values)))
        parameters.refuse_others()
        return self._page(kind, sorted(found, key=lambda each: each[0]), detail, values)

    def _no_such_action(self, parameters: Parameters, user: User) -> Found:
        raise ApiError("BadAction", "This action is not available here.")

    def _page(self, kind: str, found: Found, detail: str, values: Mapping[str, str]) -> Json:
        """Return a page of results. Without detail, all ids are on one page."""
        size = {"none": max(1, len(found)), "low": LOW_PAGE, "high": HIGH_PAGE}[detail]
        page = Parameters(values).integer("page") or 1
        if page < 1:
            raise ApiError("BadParameterValue", f"Invalid page: {page}")
        part = found[(page - 1) * size : page * size]
        return {
            "query": f"SELECT {kind}.id FROM {kind} ORDER BY {kind}.id ASC",
            "number_of_records": len(found),
            "number_of_pages": -(-len(found) // size),
            "page_number": page,
            "results": [
                object_id if detail == "none" else make(is_high=detail == "high")
                for object_id, make in part
            ],
        }

    # --- reading ---------------------------------------------------------------------------------

    def _observations(self, parameters: Parameters) -> Found:
        ids, names = parameters.ids(), self._names_wanted(parameters)
        updated, created = parameters.times("updated_at"), parameters.times("created_at")
        has_images, confidence = (
            parameters.boolean("has_images"),
            parameters.confidence("confidence"),
        )
        users = parameters.ids("user")
        parameters.refuse_others()
        found: Found = []
        for each in self.world.observations.values():
            name, value = each.consensus
            if (
                _is_in(each.id, ids)
                and (names is None or (name is not None and name.id in names))
                and _is_within(each.updated_at, updated)
                and _is_within(each.created_at, created)
                and (has_images is None or bool(each.images) == has_images)
                and (confidence is None or _rounded(value) == _rounded(confidence))
                and _is_in(each.owner.id, users)
            ):
                make = functools.partial(observation_json, each, self.base_url)
                found.append((each.id, make))
        return found

    def after_look(self, kind: str, results: list[Any]) -> None:
        """Let somebody vote on the observations that were looked at, where a test asked for it."""
        looked_at = {int(each["id"]) for each in results if isinstance(each, dict) and "id" in each}
        for observation_id in looked_at & self.manners.changes_after_look:
            self.manners.changes_after_look.discard(observation_id)
            if kind == "observations":
                observation = self.world.observations[observation_id]
                others = [user for user in self.world.users.values() if user.id != 201]
                self.world.vote(observation, observation.namings[0], others[-1], -3)

    def _images(self, parameters: Parameters) -> Found:
        ids, observations = parameters.ids(), parameters.ids("observation")
        parameters.refuse_others()
        wanted = {
            image.id
            for each in self.world.observations.values()
            if _is_in(each.id, observations)
            for image in each.images
        }
        return [
            (each.id, functools.partial(image_json, each, self.base_url))
            for each in self.world.images.values()
            if _is_in(each.id, ids) and each.id in wanted
        ]

    def _names(self, parameters: Parameters) -> Found:
        ids, wanted = parameters.ids(), self._names_wanted(parameters)
        parameters.refuse_others()
        return [
            (each.id, functools.partial(name_json, self.world, each))
            for each in self.world.names.values()
            if _is_in(each.id, ids) and (wanted is None or each.id in wanted)
        ]

    def _namings(self, parameters: Parameters) -> Found:
        ids, names = parameters.ids(), self._names_wanted(parameters, may_widen=False)
        observations, users = parameters.ids("observation"), parameters.ids("user")
        updated, created = parameters.times("updated_at"), parameters.times("created_at")
        confidence = parameters.confidence_range("confidence")
        parameters.refuse_others()
        return [
            self._found_naming(observation, each)
            for observation in self.world.observations.values()
            for each in observation.namings
            if _is_in(each.id, ids)
            and _is_in(observation.id, observations)
            and _is_in(each.owner.id, users)
            and (names is None or each.name.id in names)
            and _is_within(each.updated_at, updated)
            and _is_within(each.created_at, created)
            and (confidence is None or confidence[0] <= each.confidence <= confidence[1])
        ]

    def _found_naming(
        self, observation: Observation, naming: Naming
    ) -> tuple[int, Callable[..., Json]]:
        return naming.id, functools.partial(naming_json, observation, naming)

    def _comments(self, parameters: Parameters) -> Found:
        ids, target = parameters.ids(), parameters.text("target")
        parameters.refuse_others()
        return [
            (each.id, functools.partial(comment_json, observation, each))
            for observation in self.world.observations.values()
            if target is None or target == f"observation #{observation.id}"
            for each in observation.comments
            if _is_in(each.id, ids)
        ]

    def _names_wanted(self, parameters: Parameters, *, may_widen: bool = True) -> set[int] | None:
        """Return the ids of the names that `name` means, with synonyms where they are asked for."""
        texts = parameters.texts("name")
        has_synonyms = may_widen and parameters.boolean("include_synonyms")
        if texts is None:
            return None
        names = [self._name(text) for text in texts]
        wanted = {name.id for name in names}
        if has_synonyms:
            wanted |= {each.id for name in names for each in self.world.synonyms(name)}
        return wanted

    def _name(self, text: str) -> Name:
        name = self.world.names.get(int(text)) if text.isdecimal() else self.world.name_called(text)
        if name is None:
            raise ApiError("ObjectNotFoundByString", f"There is no name: {text}")
        return name

    # --- writing ---------------------------------------------------------------------------------

    def _post_namings(self, parameters: Parameters, user: User) -> Found:
        observation_id, name = parameters.integer("observation"), parameters.text("name")
        vote = parameters.confidence("vote")
        reasons = {number: parameters.text(f"reason_{number}") for number in range(1, 5)}
        parameters.refuse_others()
        if observation_id is None or name is None:
            raise ApiError("MissingParameter", "Missing parameter: observation or name")
        observation = self.world.observations.get(observation_id)
        if observation is None:
            raise ApiError("ObjectNotFoundById", f"There is no observation {observation_id}")
        naming = self.world.propose(
            observation,
            self._name(name),
            user,
            3 if vote is None else vote,
            reasons={number: notes for number, notes in reasons.items() if notes},
        )
        return [self._found_naming(observation, naming)]

    def _patch_namings(self, parameters: Parameters, user: User) -> Found:
        """Vote on every naming that matches, as the user with the key. Without `id`: on many."""
        vote = parameters.confidence("set_vote")
        if vote is None:
            raise ApiError("MissingSetParameters", "Nothing to set.")
        found = self._namings(parameters)
        for naming_id, _ in found:
            pair = self.world.naming_with_id(naming_id)
            assert pair is not None
            self.world.vote(*pair, user, vote)
        return found

    def _delete_namings(self, parameters: Parameters, user: User) -> Found:
        """Delete every naming of the user that matches."""
        for naming_id, _ in self._namings(parameters):
            pair = self.world.naming_with_id(naming_id)
            assert pair is not None
            if pair[1].owner.id == user.id:
                self.world.remove_naming(*pair)
        return []

    def _post_comments(self, parameters: Parameters, user: User) -> Found:
        target, summary = parameters.text("target"), parameters.text("summary")
        content = parameters.text("content")
        parameters.refuse_others()
        if not (target and summary and content):
            raise ApiError("MissingParameter", "Missing parameter: target, summary or content")
        if len(summary) > _MAX_SUMMARY:
            raise ApiError("StringTooLong", f"The summary is longer than {_MAX_SUMMARY}.")
        kind, _, number = target.partition(" #")
        observation = (
            self.world.observations.get(int(number))
            if kind == "observation" and number.isdecimal()
            else None
        )
        if observation is None:
            raise ApiError("ObjectNotFoundByString", f"There is no {target}")
        comment = self.world.comment(observation, user, summary, content)
        return [(comment.id, functools.partial(comment_json, observation, comment))]


def _refuse_unknown(kind: str, wanted: list[range], found: Found) -> None:
    for number in itertools.chain.from_iterable(wanted):
        if number not in {each for each, _ in found}:
            raise ApiError("ObjectNotFoundById", f"Couldn't find {kind} with id #{number}.")


def _is_in(number: int, ranges: list[range] | None) -> bool:
    return ranges is None or any(number in each for each in ranges)


def _is_within(at: datetime, times: tuple[datetime, datetime] | None) -> bool:
    return times is None or times[0] <= at <= times[1]


def _rounded(confidence: float) -> int:
    """Return the step of the scale of votes that a confidence is nearest to."""
    return max(-3, min(3, round(confidence)))
