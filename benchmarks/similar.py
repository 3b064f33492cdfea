"""Measures the search for similar photos among 100,000: its time, and how many it misses.

    .venv/bin/python -m benchmarks.similar
    .venv/bin/python -m benchmarks.similar --photos 20000

It starts a PostgreSQL and a Valkey of its own and writes rows of invented photos: 1,000 species,
of which ten have half of the photos, and embeddings that gather by species, with a spectrum like
that of real ones. Half of the photos have a licence. Each question is asked by a photo that is not
among them; recall says which share of the ten nearest, found by comparing all, the search returns.
The last column is the whole call, from the request to the answer, without the network.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import trange

from champipy_site.stack.environment import project_environment
from champipy_site.stack.one_off import servers
from champipy_site.stack.state import Home
from mlmodels.ml.embedder import SIZE, embedder

SPECIES = 1_000
COMMON = 10
"""Species that have half of the photos."""
QUESTIONS = 100
LICENCE = "https://creativecommons.org/licenses/by-sa/3.0/"
PORTION = 2_000
COPY = (
    "COPY predictions_photoembedding (photo_id, embedder, numbers, attempts, started_at) FROM STDIN"
)


def main() -> None:
    """Fill a database and print a line for each kind of question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    count = parser.parse_args().photos
    with tempfile.TemporaryDirectory(prefix="champipy benchmark ") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user passes, where root runs this
        home = Home(Path(folder) / "home")
        home.make()
        with home.lock(), servers(home, {}, name="benchmark") as urls:
            os.environ.update(project_environment(home, urls))
            from champipy_site.stack import prepare

            prepare.main()
            measure(count)


def invented(generator: np.random.Generator, species: np.ndarray) -> np.ndarray:
    """Return an embedding, float32 [SIZE] of length 1, for each number of a species."""
    spectrum = (1 + np.arange(SIZE)) ** -0.45
    centres = np.random.default_rng(0).normal(size=(SPECIES, SIZE)) * spectrum
    vectors = centres[species] + 1.5 * generator.normal(size=(len(species), SIZE)) * spectrum
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(count: int, generator: np.random.Generator) -> None:
    """Write the rows; of the species, the first ten are those that models know."""
    from django.db import connection

    from mlmodels.models import Species
    from predictions.models import Photo

    known = list(Species.objects.order_by("id")[:COMMON])
    weights = np.full(SPECIES, 0.5 / (SPECIES - COMMON))
    weights[:COMMON] = 0.5 / COMMON
    for start in trange(0, count, PORTION, desc="photos"):
        species = generator.choice(SPECIES, size=min(PORTION, count - start), p=weights)
        photos = Photo.objects.bulk_create(
            Photo(
                sha256=f"{start + index:064x}",
                file=f"photos/{start + index}",
                bytes=1,
                width=640,
                height=480,
                perceptual_hash=int(generator.integers(-(2**63), 2**63)),
                label=known[number] if number < COMMON else None,
                is_other=number >= COMMON,
                other_name=f"Boletus {number}" if number >= COMMON else "",
                label_source=Photo.LabelSource.IMPORTED,
                author="Ann",
                licence=LICENCE if index % 2 else "",
            )
            for index, number in enumerate(species)
        )
        arrays = (
            ",".join(f"{number:.5f}" for number in vector)
            for vector in invented(generator, species).tolist()
        )
        lines = (
            f"{photo.pk}\t{embedder().id}\t{{{array}}}\t1\tnow\n"
            for photo, array in zip(photos, arrays, strict=True)
        )
        with connection.cursor() as cursor:
            cursor.copy_expert(COPY, io.StringIO("".join(lines)))


def prepare_photos(count: int, generator: np.random.Generator) -> None:
    """Write the photos, then build the index, and print how long that takes."""
    from django.db import connection

    from predictions.vector_services import INDEX_PREFIX, vectors_prepare

    index = f"{INDEX_PREFIX}{embedder().id[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")
    fill(count, generator)
    began = time.perf_counter()
    vectors_prepare()
    built_s = time.perf_counter() - began
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SELECT pg_relation_size(%s::regclass)", [index])
        size = cursor.fetchone()[0]
    print(f"{count:,} photos; the index was built in {built_s:.0f} s and has {size / 1e6:.0f} MB.")


def measure(count: int) -> None:
    """Print times and recall for each kind of question."""
    from django.test import Client

    from accounts.models import User
    from accounts.services import user_token_create
    from mlmodels.models import Species
    from mlmodels.selectors import production_version
    from predictions import similar_selectors
    from predictions.labels import Label, OtherSpecies
    from predictions.models import Inference, Photo, PhotoEmbedding, Prediction
    from predictions.similar_selectors import similar_photos

    generator = np.random.default_rng(1)
    prepare_photos(count, generator)
    asked = Photo.objects.create(
        sha256="asked", file="photos/asked", bytes=1, width=1, height=1, perceptual_hash=0
    )
    version = production_version()
    assert version is not None
    inference = Inference.objects.create(
        photo=asked,
        model_version=version,
        scores=[100],
        best_score=100,
        best_species="Amanita muscaria",
        duration_ms=1,
    )
    alice = User.objects.get(username="alice")
    prediction = Prediction.objects.create(
        user=alice, file="a", is_upload=True, status="done", inference=inference
    )
    row = PhotoEmbedding.objects.create(photo=asked, embedder=embedder().id, numbers=[0.0] * SIZE)
    token, _ = user_token_create(username="alice")
    web = Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {token}"})
    kinds: dict[str, Label | None] = {
        "all photos": None,
        "one of the ten species": Species.objects.order_by("id").first(),
        "a rare species": OtherSpecies("Boletus 17"),
    }
    print(
        f"{'':24}{'found':>7}{'recall@10':>11}{'quickest':>10}{'median':>10}{'p95':>10}{'call':>10}"
    )
    for kind, label in kinds.items():
        recalls, times, calls, found_counts = [], [], [], []
        numbers = generator.integers(COMMON, size=QUESTIONS)
        for vector in invented(generator, numbers):
            question = {"photo": asked, "numbers": vector.tolist(), "label": label, "count": 10}
            started = time.perf_counter()
            found = similar_photos(**question)
            times.append(1000 * (time.perf_counter() - started))
            limit, similar_selectors.MAX_EXACT = similar_selectors.MAX_EXACT, count
            nearest = {each.photo.pk for each in similar_photos(**question)}
            similar_selectors.MAX_EXACT = limit
            recalls.append(len(nearest & {each.photo.pk for each in found}) / max(1, len(nearest)))
            found_counts.append(len(found))
            row.numbers = vector.tolist()
            row.save()
            query = {} if label is None else {"species": label.name}
            started = time.perf_counter()
            answer = web.get(f"/api/v1/predictions/{prediction.pk}/similar", query)
            calls.append(1000 * (time.perf_counter() - started))
            assert answer.status_code == 200, answer.content
        p95 = statistics.quantiles(times, n=20)[-1]
        print(
            f"{kind:24}{min(found_counts):7}{np.mean(recalls):11.3f}{min(times):7.1f} ms"
            f"{statistics.median(times):7.1f} ms{p95:7.1f} ms{statistics.median(calls):7.1f} ms"
        )


if __name__ == "__main__":
    main()
