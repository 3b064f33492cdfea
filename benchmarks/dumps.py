"""Measures the import of Mushroom Observer's dumps at full size: minutes, memory, disk.

    nice -n 15 .venv/bin/python -m benchmarks.dumps
    .venv/bin/python -m benchmarks.dumps --observations 150000

It generates dumps of 1.5 million observations, 2 million images and 120,000 names, of which the ten
species have a tenth of the observations, starts a PostgreSQL and a Valkey of its own with rows of
`--photos` photos of these images, and runs the command three times: on that database, on the same
dumps, and on those of the next night, where one observation of fifty has another confidence.
Names that become settled then, or open, change labels of photos. Memory is the peak of the resident
set of the command, and of the largest process of PostgreSQL with what it shares with the others.
Minutes of the processors tell more than those of the clock where the machine does other things.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg2

from champipy_site.stack.environment import PROJECT, project_environment
from champipy_site.stack.one_off import servers
from champipy_site.stack.state import Home

NAMES = 120_000
IMAGES_PER_OBSERVATION = 4 / 3
SHARE_OF_TEN = 0.1
TEN = (
    *("Aleuria aurantia", "Amanita muscaria", "Coprinus comatus", "Lycogala epidendrum"),
    *("Lycoperdon perlatum", "Mycena haematopus", "Pleurotus pulmonarius", "Polyporus squamosus"),
    *("Scleroderma citrinum", "Trametes versicolor"),
)
_ADD_PHOTOS = """
INSERT INTO predictions_photo (sha256, file, bytes, width, height, perceptual_hash, origin,
    mushroom_observer_id, label_source, split, excluded, created_at)
SELECT encode(sha256(id::text::bytea), 'hex'), 'photos/' || id, 1, 320, 240,
    hashint8extended(id, 1), id || '.jpg', id, '', '', false, now()
FROM unnest(%s::bigint[]) AS id
"""
LICENCES = (
    "Creative Commons Wikipedia Compatible v3.0",
    "Creative Commons Non-commercial v3.0",
    "Public Domain",
)


def main() -> None:
    """Generate the dumps and print a line for each import."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observations", type=int, default=1_500_000)
    parser.add_argument("--photos", type=int, default=10_000)
    arguments = parser.parse_args()
    observations = arguments.observations
    with tempfile.TemporaryDirectory(prefix="champipy benchmark ") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user passes, where root runs this
        dumps = Path(folder) / "dumps"
        dumps.mkdir()
        images = generate(dumps, observations)
        size = sum(file.stat().st_size for file in dumps.iterdir())
        print(f"{observations:,} observations, {images:,} images, {size / 1e6:.0f} MB", flush=True)
        home = Home(Path(folder) / "home")
        home.make()
        with home.lock(), servers(home, {}, name="benchmark") as urls:
            environment = project_environment(home, urls)
            prepare = [sys.executable, "-m", "champipy_site.stack.prepare"]
            subprocess.run(prepare, env=environment, cwd=PROJECT, check=True, stdout=sys.stderr)
            add_photos(environment["DATABASE_URL"], dumps / "images.csv", arguments.photos)
            for name in ("first", "again", "next night"):
                if name == "next night":
                    write_observations(dumps, observations, seed=2)
                measure(name, dumps, environment)


def generate(folder: Path, observations: int) -> int:
    """Write dumps of so many observations; return how many images they have."""
    epithets = NAMES // 40
    with (folder / "names.csv").open("w") as file:
        file.write("id\ttext_name\tauthor\tdeprecated\tcorrect_spelling_id\tsynonym_id\trank\n")
        for number in range(1, NAMES + 1):
            text = _letters("Genus", number // epithets) + " " + _letters("epithet", number)
            if number <= len(TEN):
                text = TEN[number - 1]
            synonymy = number // 3 if number % 3 else "NULL"
            synonymy = "NULL" if number <= len(TEN) else synonymy
            file.write(f"{number}\t{text}\t(L.) Fr.\t{number % 3 // 2}\tNULL\t{synonymy}\t4\n")
    with (folder / "name_descriptions.csv").open("w") as file:
        file.write("id\tname_id\tlook_alikes\n")
        file.writelines(f"{n}\t{n}\t{'Looks like another. ' * 50}\n" for n in range(1, 10_000))
    write_observations(folder, observations, seed=1)
    generator, image = np.random.default_rng(3), 0
    with (
        (folder / "images_observations.csv").open("w") as links,
        (folder / "images.csv").open("w") as images,
    ):
        links.write("image_id\tobservation_id\trank\n")
        images.write("id\tcontent_type\tcopyright_holder\tlicense\tok_for_export\tdiagnostic\n")
        for number in range(1, int(observations * IMAGES_PER_OBSERVATION) + 1):
            image += 1 + int(generator.random() * 2)
            observation = int((number - 1) / IMAGES_PER_OBSERVATION) + 1
            links.write(f"{image}\t{observation}\t0\n")
            holder, licence = number % 20_000, LICENCES[number % 3]
            images.write(
                f"{image}\timage/jpeg\tJane Doe {holder}\t{licence}\t{number % 20 and 1}\t1\n"
            )
    return number


def write_observations(folder: Path, count: int, *, seed: int) -> None:
    """Write the observations. Another seed gives one of a hundred another confidence."""
    generator, turned = np.random.default_rng(4), np.random.default_rng(seed)
    with (folder / "observations.csv").open("w") as file:
        file.write("id\tname_id\twhen\tlocation_id\tlat\tlong\talt\tvote_cache\tthumb_image_id\n")
        for number in range(1, count + 1):
            is_of_ten = generator.random() < SHARE_OF_TEN
            name = 1 + int(generator.random() * (10 if is_of_ten else NAMES))
            confidence = generator.uniform(-1, 3)
            if turned.random() < 0.01:
                confidence = turned.uniform(-1, 3)
            place = "2026-08-01\t12345\t42.1234\t-71.1234\t100"
            file.write(f"{number}\t{name}\t{place}\t{confidence:.4f}\tNULL\n")


def add_photos(database: str, images: Path, count: int) -> None:
    """Add rows of photos of so many images, spread over all of them. There are no files."""
    with images.open() as file:
        next(file)
        ids = [int(line.partition("\t")[0]) for line in file]
    chosen = ids[:: max(1, len(ids) // count)][:count] if count else []
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as to:
        to.execute(_ADD_PHOTOS, [chosen])


def measure(name: str, dumps: Path, environment: dict[str, str]) -> None:
    """Run the command and print what it took."""
    command = [sys.executable, "manage.py", "import_mushroom_observer", str(dumps)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    home = environment["CHAMPIPY_HOME"]
    server = int((Path(home) / "postgresql" / "data" / "postmaster.pid").read_text().split()[0])
    peaks = {"command": 0, "PostgreSQL": 0, "disk": 0, "seconds": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peaks["command"] = max(peaks["command"], resident_kb(process.pid))
            pids = servers_of_connections(server)
            peaks["PostgreSQL"] = max(peaks["PostgreSQL"], *map(resident_kb, pids), 0)
            used = sum(map(processor_s, [process.pid, *pids]))
            peaks["seconds"] = max(peaks["seconds"], used)
            peaks["disk"] = max(peaks["disk"], used_kb(home))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    ended.set()
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"The import ended with {process.returncode}.")
    took = time.perf_counter() - began
    print(
        f"{name}: {took / 60:.1f} minutes ({peaks['seconds'] / 60:.1f} of the processors), "
        f"command {peaks['command'] / 1e3:.0f} MB, PostgreSQL {peaks['PostgreSQL'] / 1e3:.0f} MB, "
        f"home {peaks['disk'] / 1e3:.0f} MB on disk"
    )
    print("  " + out.strip().replace("\n", "\n  "), flush=True)


def resident_kb(pid: int) -> int:
    """Return the peak of a process's resident set so far; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")), 0)


def processor_s(pid: int) -> float:
    """Return how long a process has used the processors; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def servers_of_connections(server: int) -> list[int]:
    """Return the processes of PostgreSQL that work for a connection to the benchmark's server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if words.startswith(b"postgres: champipy champipy") and int(parent) == server:
            found.append(int(folder.name))
    return found


def used_kb(folder: str) -> int:
    """Return what a folder takes on the disk."""
    command = ["du", "-sk", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) if done.stdout else 0


def _letters(prefix: str, number: int) -> str:
    """Return a word that has only letters."""
    word = ""
    while number:
        number, digit = divmod(number, 26)
        word += chr(97 + digit)
    return prefix + word


if __name__ == "__main__":
    main()
