"""Draws mushrooms to use as photos in tests and in the screenshots of docs/."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from safetensors.numpy import load_file, save_file

from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.preprocessing import decode_photo, to_input
from tests.support.versions import PRETRAINED, version_folder

CAPS = (
    *("#c0281e", "#d9822b", "#8a5a33", "#e8dcc0", "#6f5b6f"),
    *("#b9a27a", "#d8b23a", "#f2efe6", "#4d4a44", "#d98a9c"),
)
GROUNDS = (("#2f3d22", "#57682f"), ("#3a2c1e", "#6b5334"), ("#27332d", "#4d6b52"))


def mushroom(seed: int, kind: int | None = None) -> bytes:
    """Return a JPEG of drawn mushrooms, 320 x 240 pixels, which depends on the seed.

    `kind`, 0 to 9, sets their colour and whether they have spots; without it, both are random.
    """
    generator = np.random.default_rng(seed)
    far, near = GROUNDS[generator.integers(len(GROUNDS))]
    image = Image.new("RGB", (320, 240), far)
    draw = ImageDraw.Draw(image)
    for _ in range(60):  # leaves on the ground
        x, y = generator.integers((0, 60), (320, 240)).tolist()
        draw.ellipse((x - 22, y - 7, x + 22, y + 7), fill=near if (x + y) % 3 else far)
    image = image.filter(ImageFilter.GaussianBlur(5))
    draw = ImageDraw.Draw(image)
    for _ in range(generator.integers(1, 4)):
        cap = int(generator.integers(len(CAPS))) if kind is None else kind
        has_spots = bool(generator.random() < 0.5) if kind is None else kind % 2 == 0
        _draw_one(draw, generator, CAPS[cap], has_spots=has_spots)
    grain = generator.normal(0, 6, (240, 320, 1))
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=88)
    return data.getvalue()


def _draw_one(
    draw: ImageDraw.ImageDraw, generator: np.random.Generator, cap: str, *, has_spots: bool
) -> None:
    """Draw one mushroom: a stem and a cap."""
    width, x = generator.integers((50, 70), (140, 250)).tolist()
    top, foot = generator.integers((40, 190), (110, 225)).tolist()
    height = int(width * generator.uniform(0.5, 1.3))
    stem = max(6, width // 8)
    under = top + height // 3
    draw.polygon(
        [(x - stem, under), (x + stem, under), (x + stem + 5, foot), (x - stem - 5, foot)],
        fill="#e9e2cf",
    )
    box = (x - width // 2, top, x + width // 2, top + height)
    draw.pieslice(box, 180, 360, fill=cap, outline="#2a211a", width=2)
    for _ in range(10 if has_spots else 0):
        angle, part = generator.uniform(np.pi, 2 * np.pi), generator.uniform(0.2, 0.85)
        left = x + part * width / 2 * np.cos(angle)
        up = top + height / 2 + part * height / 2 * np.sin(angle)
        draw.ellipse((left - 4, up - 3, left + 4, up + 3), fill="#f6f1e4")


def draw_training_photos(folder: Path, per_species: int = 10) -> None:
    """Write a folder of drawings of one kind for each species of the shipped version."""
    for kind, species in enumerate(_labels()):
        for number in range(per_species):
            _write(folder, species, f"{kind}-{number}", mushroom(1000 * (kind + 1) + number, kind))


def draw_evaluation_photos(folder: Path, candidate: Path, count: int = 32) -> None:
    """Write folders of drawings, labelled by the answers of the shipped and the candidate version.

    Where their answers differ, the candidate's is right for two of three drawings; where they
    agree, both are wrong for one of eight.
    """
    versions = [read_artifact(each) for each in (PRETRAINED, candidate)]
    engines = [(version.card.input_size, version.load_engine()) for version in versions]
    labels = _labels()
    differ = agree = 0
    for seed in range(count):
        data = mushroom(seed)
        image = decode_photo(data)
        shipped_answer, candidate_answer = (
            int(engine.score(to_input(image, size)).logits[: len(labels)].argmax())
            for size, engine in engines
        )
        if shipped_answer == candidate_answer:
            agree += 1
            shift = agree if agree % 8 == 0 else 0
            name = labels[(shipped_answer + shift) % len(labels)]
        else:
            differ += 1
            name = labels[shipped_answer if differ % 3 == 0 else candidate_answer]
        _write(folder, name, f"drawing-{seed}", data)


def candidate_version(folder: Path) -> Path:
    """Write a version that predicts one species more often than the shipped version does.

    Return its folder.
    """
    version_folder(folder, temperature=0.9)
    weights, card = folder / "weights.safetensors", json.loads((folder / "card.json").read_text())
    tensors = load_file(weights)
    tensors["head/bias"][card["labels"].index("Mycena haematopus")] += 0.5
    save_file(tensors, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card["files"]["weights.safetensors"]["sha256"] = digest
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def _labels() -> list[str]:
    return list(read_artifact(PRETRAINED).card.labels)


def _write(folder: Path, species: str, name: str, data: bytes) -> None:
    species_folder = folder / species.replace(" ", "_")
    species_folder.mkdir(parents=True, exist_ok=True)
    (species_folder / f"{name}.jpg").write_bytes(data)
