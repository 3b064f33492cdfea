"""Draws labelled photos for trainings and imports them."""

from io import StringIO
from pathlib import Path

import numpy as np
from django.core.management import call_command
from PIL import Image, ImageDraw

from mlmodels.models import Species

PHOTOS_EACH = 12
SPECIES = (
    *("Aleuria aurantia", "Amanita muscaria", "Coprinus comatus", "Lycogala epidendrum"),
    *("Lycoperdon perlatum", "Mycena haematopus", "Pleurotus pulmonarius", "Polyporus squamosus"),
    *("Scleroderma citrinum", "Trametes versicolor"),
)


def ten_species() -> list[Species]:
    """Return the ten species of the migrations, created again if a committing test removed them."""
    for name in SPECIES:
        Species.objects.get_or_create(name=name)
    return list(Species.objects.all())


def species_photo(species: int, number: int, path: Path) -> None:
    """Draw a photo of one of ten invented species: each has its own colour and number of spots."""
    generator = np.random.default_rng(1000 * species + number)
    noise = generator.integers(0, 60, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    colour = tuple(int(255 * ((species * step) % 10) / 9) for step in (1, 3, 7))
    left, top = generator.integers(10, 40, 2).tolist()
    draw.ellipse((left, top, left + 90, top + 70), fill=colour)
    for x, y in generator.integers(0, 100, (species, 2)).tolist():
        draw.rectangle((x, y, x + 6, y + 6), fill="white")
    image.save(path, quality=90)


def draw_labelled(folder: Path) -> dict[str, Path]:
    """Draw training and evaluation photos of the ten species; return their folders by split."""
    folders = {}
    for split, numbers in (("training", range(PHOTOS_EACH)), ("evaluation", range(50, 53))):
        folders[split] = folder / split
        for index, species in enumerate(ten_species()):
            species_folder = folders[split] / species.name.replace(" ", "_")
            species_folder.mkdir(parents=True)
            for number in numbers:
                # Distant ids, so that no two photos count as the same find.
                photo_id = 100_000 * index + 100 * number
                species_photo(index, number, species_folder / f"{photo_id}.jpg")
    return folders


def import_all(folders: dict[str, Path]) -> None:
    for split, folder in folders.items():
        options = ["--split", split, "--allow-resembling"]
        call_command("import_photos", str(folder), *options, stdout=StringIO(), stderr=StringIO())
