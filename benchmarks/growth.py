"""Times the pages and calls that grow with the data, with a million predictions.

    .venv/bin/python -m benchmarks.growth
    .venv/bin/python -m benchmarks.growth --home /some/folder   # keeps the data for another run

It starts a stack of its own, writes users' predictions, photos and inferences by SQL, and prints
the median and the longest of some requests each. The photos have rows, but no files.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg2
import requests

from benchmarks.service import ALICE, BOB, PROJECT, Client, new_photo
from mlmodels.ml.dataset import group_photos

FILL = """
INSERT INTO predictions_photo (
    sha256, file, bytes, width, height, perceptual_hash, origin, label_id, label_source, split,
    split_at, excluded, created_at)
SELECT sha, 'photos/' || left(sha, 2) || '/' || sha, 20000 + i %% 80000, 320, 240,
    ('x' || left(sha, 16))::bit(64)::bigint, 'photo ' || i,
    CASE WHEN i %% 5 = 0 THEN species.ids[1 + i / 5 %% array_length(species.ids, 1)] END,
    CASE WHEN i %% 5 = 0 THEN 'predicted' ELSE '' END,
    CASE WHEN i %% 5 = 0 THEN 'training' ELSE '' END,
    CASE WHEN i %% 5 = 0 THEN born END, false, born
FROM generate_series(1, %(photos)s) AS i,
    LATERAL (SELECT encode(sha256(i::text::bytea), 'hex') AS sha,
             now() - interval '1 year' * (1 - i / %(photos)s.0) AS born) AS each,
    (SELECT array_agg(id ORDER BY id) AS ids FROM mlmodels_species) AS species;

INSERT INTO mlmodels_modelversion (
    name, version, stage, labels, input_size, preprocessing, temperature, files, metrics, card,
    created_at)
SELECT name, 1000, 'Archived', labels, input_size, preprocessing, temperature, '{}', metrics,
    card, now()
FROM mlmodels_modelversion WHERE stage = 'Production';

-- Nine photos of ten have one inference; each tenth of these has a second one, of another version.
INSERT INTO predictions_inference (
    photo_id, model_version_id, scores, best_score, best_species, duration_ms, created_at)
SELECT photo.id, version.id, scores, best, version.labels ->> (position - 1)::int, 60,
    photo.created_at
FROM (SELECT *, row_number() OVER (ORDER BY id) AS i FROM predictions_photo) AS photo,
    generate_series(0, 1) AS turn,
    mlmodels_modelversion AS version,
    LATERAL (SELECT 30 + hashtext(photo.sha256 || turn)::bigint %% 70 AS seed) AS seeded,
    LATERAL (SELECT 1 + abs(hashtext(turn || photo.sha256))::bigint
             %% jsonb_array_length(version.labels) AS position) AS placed,
    LATERAL (SELECT round(30 + abs(seed) %% 70 + 0.25, 2) AS best) AS scored,
    LATERAL (SELECT jsonb_agg(CASE WHEN n = position THEN best ELSE
                              round((100 - best) / (jsonb_array_length(version.labels) - 1), 2)
                              END) AS scores
             FROM generate_series(1, jsonb_array_length(version.labels)) AS n) AS listed
WHERE i %% 10 > 0 AND (turn = 0 AND version.stage = 'Production'
                      OR turn = 1 AND version.version = 1000 AND i %% 10 = 9);

CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS
SELECT inference.id, sha256, row_number() OVER (ORDER BY inference.id) AS n
FROM predictions_inference AS inference JOIN predictions_photo AS photo ON photo.id = photo_id;

-- The first prediction of an inference made it; all later ones reused it. Three of 100 failed.
INSERT INTO predictions_prediction (
    "user_id", file, is_upload, sha256, nb_preds, status, error_code, error_detail, inference_id,
    reused, attempts, sends, created_at, finished_at)
SELECT users.ids[1 + i %% 2], 'https://photos.example/' || i || '.jpg', false,
    COALESCE(inference.sha256, ''), 1,
    CASE WHEN i %% 100 < 3 THEN 'failed' ELSE 'done' END,
    CASE WHEN i %% 100 < 3 THEN 'image_not_found' ELSE '' END, '',
    CASE WHEN i %% 100 >= 3 THEN inference.id END, i > %(photos)s, 0, 1,
    now() - interval '1 year' * (1 - i / %(predictions)s.0),
    now() - interval '1 year' * (1 - i / %(predictions)s.0)
FROM (SELECT i, 1 + i %% total AS n FROM generate_series(1, %(predictions)s) AS i,
          (SELECT count(*) AS total FROM numbered) AS counted) AS asked
    JOIN numbered AS inference USING (n),
    (SELECT array_agg(id ORDER BY username) AS ids FROM accounts_user
     WHERE username IN ('alice', 'bob')) AS users
ORDER BY i;
"""
REVIEW = {
    "review page": "",
    "unreviewed": "review=waiting",
    "confirmed or corrected": "review=reviewed",
    "excluded": "review=excluded",
    "low score": "doubt=score",
    "versions disagree": "doubt=versions",
    "audit doubts the label": "doubt=label",
    "one species": "species=Amanita+muscaria",
    "in training": "split__exact=training",
    "named by a model": "label_source__exact=predicted",
}


@contextmanager
def stack(home: Path, port: int) -> Iterator[str]:
    """Start ChampiPy with this home; yield its address, then stop it and keep the home."""
    environment = os.environ | {"CHAMPIPY_HOME": str(home)}
    script = str(PROJECT / "champipy")
    began = time.monotonic()
    up = [script, "up", "--detach", "--port", str(port)]
    subprocess.run(up, env=environment, check=True)
    print(f"up after {time.monotonic() - began:.0f} s", flush=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run([script, "down"], env=environment, check=True)


def fill(home: Path, *, predictions: int, photos: int) -> None:
    """Write the rows, unless they are there already."""
    url = json.loads((home / "stack.json").read_text())["environment"]["DATABASE_URL"]
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM predictions_prediction")
        (found,) = cursor.fetchone() or (0,)
        if found < predictions:
            began = time.monotonic()
            cursor.execute(FILL, {"predictions": predictions, "photos": photos})
            print(f"filled in {time.monotonic() - began:.0f} s", flush=True)
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def admin_session(address: str) -> requests.Session:
    """Return a browser's session in which bob is logged in."""
    session = requests.Session()
    login = f"{address}/admin/login/"
    found = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(login, timeout=60).text
    )
    assert found is not None
    form = dict(zip(("username", "password"), BOB, strict=True))
    answer = session.post(
        f"{login}?next=/admin/password_change/",
        data={**form, "csrfmiddlewaretoken": found[1]},
        headers={"Referer": login},
        timeout=60,
    )
    answer.raise_for_status()
    return session


def time_requests(name: str, request: Callable[[], requests.Response], repeats: int) -> None:
    """Print the median and the longest time of a request, after a first one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        response = request()
        times.append(1000 * (time.perf_counter() - began))
        if response.status_code != 200:
            print(f"| {name} | answered {response.status_code} after {times[-1]:.0f} ms | |")
            return
    first, *times = times
    print(
        f"| {name} | {statistics.median(times):.0f} | {max(first, *times):.0f} |",
        flush=True,
    )


def measure(address: str, home: Path, repeats: int) -> None:
    """Print a table of all requests."""
    api = f"{address}/api/v1"
    alice, bob = Client(api, ALICE), Client(api, BOB)
    browser = admin_session(address)
    print("| ms | median | longest |\n|---|---|---|")
    time_unanswered(home)  # before there is a new photo: all the last answers were reused

    def time_get(name: str, session: requests.Session, url: str) -> None:
        time_requests(name, partial(session.get, url, timeout=120), repeats)

    for who, client in (("alice", alice), ("bob", bob)):
        time_get(f"`GET /predictions`, {who}", client.session, f"{api}/predictions")
        time_get(f"its page 200, {who}", client.session, f"{api}/predictions?page=200")
    time_get("`GET /past_pred_acc`", bob.session, f"{api}/past_pred_acc?nb_last_preds=1000")
    photo = new_photo()
    alice.predict(photo)
    time_requests("a reused answer", partial(alice.post, photo), repeats)
    time_get("dashboard", browser, f"{address}/admin/")
    for name, query in REVIEW.items():
        time_get(f"photos: {name}", browser, f"{address}/admin/predictions/photo/?{query}")
    predictions = f"{address}/admin/predictions/prediction/"
    time_get("predictions in the admin", browser, predictions)
    time_get("the same, failed ones", browser, f"{predictions}?status__exact=failed")
    sha256 = bob.session.get(f"{api}/predictions?page=9", timeout=60).json()["results"][5]["sha256"]
    time_get("the same, by SHA-256", browser, f"{predictions}?q={sha256}")


def time_unanswered(home: Path) -> None:
    """Print the time of a look that beat takes each minute, measured in a shell."""
    code = (
        "import time\n"
        "from supervision.monitoring.selectors import unanswered_since\n"
        "unanswered_since()\n"
        "began = time.perf_counter()\n"
        "unanswered_since()\n"
        "print(round(1000 * (time.perf_counter() - began), 1))\n"
    )
    command = [str(PROJECT / "champipy"), "shell", "--verbosity", "0", "-c", code]
    environment = os.environ | {"CHAMPIPY_HOME": str(home)}
    shell = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    print(f"| the minute's look for unanswered predictions | {shell.stdout.strip()} | |")


def time_grouping(photos: int) -> None:
    """Print the time in which that many photos are grouped by find, in this process."""
    generator = random.Random(1)  # noqa: S311
    hashes = [generator.getrandbits(64) for _ in range(photos)]
    began = time.perf_counter()
    group_photos([0] * photos, [None] * photos, hashes)
    took = 1000 * (time.perf_counter() - began)
    print(f"| grouping {photos:,} photos by find | {took:.0f} | |", flush=True)


def main() -> None:
    """Start a stack, fill it, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a folder that is kept (default: a new one)")
    parser.add_argument("--port", type=int, default=8767)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="champipy-growth-") as folder:
        Path(folder).chmod(0o711)
        home = (options.home or Path(folder) / "home").resolve()
        with stack(home, options.port) as address:
            fill(home, predictions=options.predictions, photos=options.photos)
            measure(address, home, options.repeats)
        for photos in (10_000, 100_000):
            time_grouping(photos)


if __name__ == "__main__":
    main()
