"""Writes dumps as Mushroom Observer does."""

from collections.abc import Iterable
from pathlib import Path

from tests.support.mushroom_observer import World

COLUMNS = {
    "names.csv": "id text_name author deprecated correct_spelling_id synonym_id rank",
    "name_descriptions.csv": "id name_id source_type general_description look_alikes notes",
    "observations.csv": "id name_id when location_id vote_cache thumb_image_id",
    "images_observations.csv": "image_id observation_id rank",
    "images.csv": "id content_type copyright_holder license ok_for_export diagnostic",
}
SHARE_ALIKE = "Creative Commons Wikipedia Compatible v3.0"


def write_dump(folder: Path, name: str, rows: Iterable[dict]) -> None:
    """Write one dump; columns that a row lacks are NULL."""
    columns = COLUMNS[name].split()
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(columns) + "\n")
        for row in rows:
            file.write("\t".join(_written(row.get(column)) for column in columns) + "\n")


def write_dumps(folder: Path, world: World, look_alikes: dict[int, str] | None = None) -> None:
    """Write the dumps of what a replica knows; `look_alikes` by ids of names."""
    names = [
        {
            "id": name.id,
            "text_name": name.text,
            "author": name.author,
            "deprecated": name.deprecated,
            "correct_spelling_id": name.correct_spelling_id,
            "synonym_id": name.synonym_id,
            "rank": 4,
        }
        for name in world.names.values()
    ]
    observations, links = [], []
    for each in world.observations.values():
        name, confidence = each.consensus
        observations.append(
            {
                "id": each.id,
                "name_id": name and name.id,
                "when": each.seen_on,
                "vote_cache": confidence,
            }
        )
        links += [{"image_id": image.id, "observation_id": each.id} for image in each.images]
    images = [
        {
            "id": image.id,
            "content_type": "image/jpeg",
            "copyright_holder": image.holder,
            "license": image.licence,
            "ok_for_export": image.ok_for_export,
        }
        for image in world.images.values()
    ]
    descriptions = [
        {"id": number, "name_id": number, "look_alikes": text}
        for number, text in (look_alikes or {}).items()
    ]
    folder.mkdir(exist_ok=True)
    write_dump(folder, "names.csv", names)
    write_dump(folder, "name_descriptions.csv", descriptions)
    write_dump(folder, "observations.csv", observations)
    write_dump(folder, "images_observations.csv", links)
    write_dump(folder, "images.csv", images)


def _written(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    text = str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return text.replace("\0", "\\0")
