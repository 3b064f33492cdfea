"""Makes the replica's content: the same every time, for the same seed."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.mushroom_observer.world import Image, Name, Observation, User, World
from tests.support.paths import REAL_PHOTOS

LICENCES = (
    "Creative Commons Wikipedia Compatible v3.0",
    "Creative Commons Non-commercial v3.0",
    "Public Domain",
)
UNKNOWN_LICENCE = "Ask Grandmother First v1"
API_KEYS = {
    "verifier": "verifierskey00000000000000000001",
    "expert": "expertskey0000000000000000000002",
}

TEN = (
    *("Aleuria aurantia", "Amanita muscaria", "Coprinus comatus", "Lycogala epidendrum"),
    *("Lycoperdon perlatum", "Mycena haematopus", "Pleurotus pulmonarius", "Cerioporus squamosus"),
    *("Scleroderma citrinum", "Trametes versicolor"),
)
"""The ten species, as Mushroom Observer accepts them."""
SYNONYMS = {
    "Cerioporus squamosus": ("Polyporus squamosus", "Bresadolia squamosa"),
    "Trametes versicolor": ("Coriolus versicolor", "Polyporus versicolor"),
    "Scleroderma citrinum": ("Scleroderma aurantium", "Scleroderma vulgare"),
    "Aleuria aurantia": ("Peziza aurantia",),
    "Lycoperdon perlatum": ("Lycoperdon gemmatum",),
}
OTHERS = (
    *("Agaricus campestris", "Boletus edulis", "Amanita pantherina", "Amanita caesarea"),
    *("Pleurotus ostreatus", "Pleurotus sajor-caju", "Trametes hirsuta", "Mycena galericulata"),
    *("Lycoperdon pyriforme", "Coprinopsis atramentaria", "Stereum hirsutum", "Russula emetica"),
)
BELOW_SPECIES = {
    "Amanita muscaria var. guessowii": "variety",
    "Amanita muscaria subsp. flavivolvata": "subspecies",
    "Lycogala epidendrum group": "group",
}
MISSPELLED = {"Amanita muscarria": "Amanita muscaria", "Coprinus commatus": "Coprinus comatus"}
GENERA = ("Amanita", "Mycena", "Trametes")

_FIXED_IDS = {"Polyporus squamosus": 22777, "Cerioporus squamosus": 22781}
_CONFUSED = {"Amanita muscaria": "Amanita caesarea", "Pleurotus pulmonarius": "Pleurotus ostreatus"}


def fill_world(
    world: World, *, observations: int = 50, seed: int = 1, photos: Path = REAL_PHOTOS
) -> None:
    """Add users, names and observations of 1 to 6 photos.

    Of what the observations show, two thirds are of the ten. The first name proposed is right for
    most, wrong for some, of a genus or of a variety for others. Pictures are taken from the folder
    `photos`, or drawn where there is none.
    """
    generator = random.Random(seed)
    _add_users(world)
    _add_names(world)
    files = _files_by_species(photos)
    since = timedelta(days=20)
    start = datetime.now(UTC).replace(microsecond=0) - since
    apart = min(timedelta(hours=9), since / max(observations, 1))  # none is of tomorrow
    image_id = 1_400_000
    for number in range(observations):
        is_of_the_ten = number % 3 != 2
        shown = TEN[number % 10] if is_of_the_ten else OTHERS[number % len(OTHERS)]
        owner = world.users[100 + number % 5]
        at = start + apart * number
        image_id += 20
        images = []
        for position in range(1 + number % 6):
            image_id += generator.randint(1, 2)
            images.append(
                _image(image_id, owner, at, shown, files, number * 10 + position, generator)
            )
        observation = Observation(
            id=500_000 + 7 * number,
            owner=owner,
            seen_on=at.date(),
            place="Near Boston, Massachusetts, USA",
            notes="Under <b>oaks</b> & pines." if number % 4 == 0 else "",
            images=images,
            created_at=at,
            updated_at=at,
        )
        world.add_observation(observation)
        _propose_names(world, observation, shown, number, at)


def _add_users(world: World) -> None:
    logins = ("mossy", "hyphae", "sporeprint", "chanterelle", "puffball")
    beginners = [
        User(100 + n, login, f"{login.title()} Beginner") for n, login in enumerate(logins)
    ]
    knowing = [
        User(201, "verifier", "Vera Verifier", API_KEYS["verifier"], weight=3.0),
        User(202, "expert", "Xavier Expert", API_KEYS["expert"], weight=6.0),
        User(203, "professor", "Petra Professor", weight=8.0),
    ]
    world.add_users([*beginners, *knowing])
    world.visitor = world.users[201]


def _add_names(world: World) -> None:
    numbers = iter(range(1_001, 2_000))
    synonymies = iter(range(301, 400))

    def name(text: str, **fields) -> Name:
        return Name(_FIXED_IDS.get(text) or next(numbers), text, **fields)

    for text in (*TEN, *OTHERS):
        names = SYNONYMS.get(text, ())
        synonymy = next(synonymies) if names else None
        parents = (("Fungi", "kingdom"), (text.split()[0], "genus"))
        world.add_names([name(text, author="(L.) Fr.", synonym_id=synonymy, parents=parents)])
        world.add_names(
            name(each, author="L.", deprecated=True, synonym_id=synonymy) for each in names
        )
    world.add_names(name(text, rank=rank) for text, rank in BELOW_SPECIES.items())
    world.add_names(name(text, rank="genus") for text in GENERA)
    for text, right in MISSPELLED.items():
        correct = world.name_called(right)
        assert correct is not None
        if correct.synonym_id is None:
            correct.synonym_id = next(synonymies)
        world.add_names(
            [
                name(
                    text,
                    deprecated=True,
                    correct_spelling_id=correct.id,
                    synonym_id=correct.synonym_id,
                )
            ]
        )


def _image(
    image_id: int,
    owner: User,
    at: datetime,
    shown: str,
    files: dict[str, list[Path]],
    number: int,
    generator: random.Random,
) -> Image:
    licence = UNKNOWN_LICENCE if number % 17 == 7 else LICENCES[number % 3]
    usual = SYNONYMS[shown][0] if shown == "Cerioporus squamosus" else shown
    found = files.get(usual) or files.get("") or []
    source = str(generator.choice(found)) if found else str(image_id)
    return Image(
        image_id, owner, owner.legal_name, at.year, licence, source, ok_for_export=number % 13 != 5
    )


def _files_by_species(photos: Path) -> dict[str, list[Path]]:
    """Return the real photos by species; under "" those of other species. Empty without any."""
    files: dict[str, list[Path]] = {}
    for folder in sorted(photos.glob("evaluation/*/")):
        files[folder.name.replace("_", " ")] = sorted(folder.glob("*.*"))
    for file in sorted(photos.glob("other_species_mo/*/*.*")):
        files.setdefault(file.parent.name.replace("_", " "), []).append(file)
        files.setdefault("", []).append(file)
    return files


def _propose_names(
    world: World, observation: Observation, shown: str, number: int, at: datetime
) -> None:
    """Propose names and vote: settled, open, wrong, by a synonym, and the like, in turn."""
    verifier, expert, professor = (world.users[each] for each in (201, 202, 203))

    def propose(text: str, user: User, value: float, minutes: int):
        name = world.name_called(text)
        assert name is not None, text
        return world.propose(observation, name, user, value, at=at + timedelta(minutes=minutes))

    wrong = _CONFUSED.get(shown) or TEN[(number + 3) % 10]
    genus = shown.split(maxsplit=1)[0]
    match (5 * number + number // 6) % 6:
        case 0:  # settled
            naming = propose(shown, observation.owner, 2, 1)
            for minutes, user in enumerate((expert, professor), 2):
                world.vote(observation, naming, user, 3, at=at + timedelta(minutes=minutes))
        case 1:  # right, but nobody has confirmed it
            propose(shown, observation.owner, 1, 1)
        case 2:  # wrong, and nobody has said so
            propose(wrong, observation.owner, 3 if number // 6 % 2 else 1, 1)
        case 3:  # wrong, and contradicted
            naming = propose(wrong, observation.owner, 2, 1)
            propose(shown, expert, 2, 5)
            world.vote(observation, naming, expert, -2, at=at + timedelta(minutes=6))
        case 4:  # a synonym, where there is one
            naming = propose(SYNONYMS.get(shown, (shown,))[0], observation.owner, 1, 1)
            world.vote(observation, naming, verifier, 2, at=at + timedelta(minutes=4))
        case _:  # a genus, or a variety
            below = next((each for each in BELOW_SPECIES if each.startswith(shown)), None)
            propose(below or (genus if genus in GENERA else shown), observation.owner, 1, 1)
    if number % 8 == 3:
        world.comment(
            observation, verifier, "A question", "Did it *smell*?", at=at + timedelta(minutes=9)
        )
