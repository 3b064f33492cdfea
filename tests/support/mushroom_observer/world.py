"""What the replica of Mushroom Observer knows: names, users, images, observations. In memory."""

import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime


@dataclass
class User:
    id: int
    login: str
    legal_name: str
    api_key: str = ""
    weight: float = 1.0  # of their votes


@dataclass
class Name:
    id: int
    text: str
    author: str = ""
    rank: str = "species"
    deprecated: bool = False
    correct_spelling_id: int | None = None
    synonym_id: int | None = None  # shared by all names of one synonymy
    parents: tuple[tuple[str, str], ...] = ()  # (name, rank)


@dataclass
class Image:
    id: int
    owner: User
    holder: str
    year: int
    licence: str
    source: str  # what the picture is made of: a seed, or a file of the real photos
    ok_for_export: bool = True
    width: int = 320
    height: int = 240


@dataclass
class Vote:
    id: int
    user: User
    value: float


@dataclass
class Naming:
    id: int
    name: Name
    owner: User
    created_at: datetime
    updated_at: datetime
    votes: list[Vote] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """The weighted mean of the votes, pulled towards 0 where there are few; -3 to 3."""
        weight = sum(vote.user.weight for vote in self.votes)
        total = sum(vote.user.weight * vote.value for vote in self.votes)
        return round(total / (weight + 1), 4)


@dataclass
class Comment:
    id: int
    owner: User
    summary: str
    content: str
    created_at: datetime


@dataclass
class Observation:
    id: int
    owner: User
    seen_on: date
    place: str
    notes: str
    images: list[Image]  # the first is the primary one
    created_at: datetime
    updated_at: datetime
    namings: list[Naming] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)

    @property
    def consensus(self) -> tuple[Name | None, float]:
        """The name with the most support, synonyms pooled, and its confidence."""
        pools: dict[int, list[Naming]] = {}
        for naming in self.namings:
            name = naming.name
            pools.setdefault(name.synonym_id or -name.id, []).append(naming)
        best, confidence = None, -4.0
        for namings in pools.values():
            strongest: dict[int, Vote] = {}  # one vote a user, the strongest for any synonym
            for vote in itertools.chain.from_iterable(naming.votes for naming in namings):
                known = strongest.get(vote.user.id)
                if known is None or vote.value > known.value:
                    strongest[vote.user.id] = vote
            weight = sum(vote.user.weight for vote in strongest.values())
            total = sum(vote.user.weight * vote.value for vote in strongest.values())
            support = total / (weight + 1)
            if support > confidence:
                best, confidence = max(namings, key=lambda each: each.confidence).name, support
        return best, round(confidence, 4) if best else 0.0


class World:
    """All of it, and what changes it. Hold `lock` while reading several things together."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users: dict[int, User] = {}
        self.names: dict[int, Name] = {}
        self.images: dict[int, Image] = {}
        self.observations: dict[int, Observation] = {}
        self._ids = itertools.count(900_001)
        self.visitor = User(0, "visitor", "A visitor")  # who uses the pages' forms

    def add_users(self, users: Iterable[User]) -> None:
        self.users |= {user.id: user for user in users}

    def add_names(self, names: Iterable[Name]) -> None:
        self.names |= {name.id: name for name in names}

    def add_observation(self, observation: Observation) -> None:
        with self.lock:
            self.observations[observation.id] = observation
            self.images |= {image.id: image for image in observation.images}

    def user_with_key(self, key: str) -> User | None:
        return next((user for user in self.users.values() if key and user.api_key == key), None)

    def name_called(self, text: str) -> Name | None:
        wanted = " ".join(text.split()).casefold()
        return next((name for name in self.names.values() if name.text.casefold() == wanted), None)

    def synonyms(self, name: Name) -> list[Name]:
        """Return the other names of its synonymy and its misspellings, by id."""
        return [
            other
            for other in self.names.values()
            if other.id != name.id
            and (
                (name.synonym_id is not None and other.synonym_id == name.synonym_id)
                or other.correct_spelling_id == name.id
            )
        ]

    def naming_with_id(self, naming_id: int) -> tuple[Observation, Naming] | None:
        for observation in self.observations.values():
            for naming in observation.namings:
                if naming.id == naming_id:
                    return observation, naming
        return None

    def propose(
        self,
        observation: Observation,
        name: Name,
        user: User,
        value: float = 3,
        *,
        reasons: dict[int, str] | None = None,
        at: datetime | None = None,
    ) -> Naming:
        """Add a naming with its owner's vote. The same name may be proposed again, as there."""
        with self.lock:
            at = at or datetime.now(UTC)
            naming = Naming(next(self._ids), name, user, at, at, reasons=reasons or {})
            observation.namings.append(naming)
            self.vote(observation, naming, user, value, at=at)
            return naming

    def vote(
        self,
        observation: Observation,
        naming: Naming,
        user: User,
        value: float,
        *,
        at: datetime | None = None,
    ) -> None:
        """Set a user's vote on a naming; 0 takes it away."""
        with self.lock:
            naming.votes = [vote for vote in naming.votes if vote.user.id != user.id]
            if value:
                naming.votes.append(Vote(next(self._ids), user, value))
            naming.updated_at = observation.updated_at = at or datetime.now(UTC)

    def remove_naming(self, observation: Observation, naming: Naming) -> None:
        with self.lock:
            observation.namings.remove(naming)
            observation.updated_at = datetime.now(UTC)

    def comment(
        self,
        observation: Observation,
        user: User,
        summary: str,
        content: str,
        *,
        at: datetime | None = None,
    ) -> Comment:
        with self.lock:
            at = at or datetime.now(UTC)
            comment = Comment(next(self._ids), user, summary, content, at)
            observation.comments.append(comment)
            observation.updated_at = at
            return comment

    def turn(self, observation_id: int, name: str) -> Naming:
        """Let two experts prefer another name: what was settled is no longer so."""
        with self.lock:
            observation = self.observations[observation_id]
            experts = sorted(self.users.values(), key=lambda user: -user.weight)[:2]
            for naming in observation.namings:
                for expert in experts:
                    self.vote(observation, naming, expert, -2)
            found = self.name_called(name)
            assert found is not None, f"there is no name {name}"
            naming = self.propose(observation, found, experts[0], 3)
            self.vote(observation, naming, experts[1], 3)
            return naming
