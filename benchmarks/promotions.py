"""Requests predictions one second apart during three promotions and a rollback.

    .venv/bin/python -m benchmarks.promotions

It starts its own stack. It prints how many requests failed, how long the first one after each
switch took compared with the others, and whether each answer named the version in production and
had that version's scores.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks.service import BOB, PRETRAINED, PROJECT, Client, new_photo, stack
from mlmodels.ml.answers import answer as calibrated
from mlmodels.ml.artifact import Artifact, read_artifact, write_artifact
from mlmodels.ml.calibration import softmax
from mlmodels.ml.preprocessing import decode_photo, to_input

TEMPERATURES = {2: 0.3, 3: 1.5}
"""By version: the shipped version with another temperature, and without its calibration, which
would replace the temperature. So their scores differ."""


def register(home: Path) -> None:
    """Register versions 2 and 3 with the running stack."""
    environment = os.environ | {"CHAMPIPY_HOME": str(home)}
    with tempfile.TemporaryDirectory() as scratch:
        for number, temperature in TEMPERATURES.items():
            folder = Path(scratch) / str(number)
            write_rescaled(folder, temperature)
            command = [str(PROJECT / "champipy"), "register_model", str(folder)]
            subprocess.run(command, env=environment, check=True)


def write_rescaled(folder: Path, temperature: float) -> None:
    """Write a copy of the shipped version with another temperature."""
    shipped = read_artifact(PRETRAINED)
    card, weights = shipped.card, shipped.load_weights()
    # Other bytes make it another version.
    weights["head/bias"] = weights["head/bias"] + temperature
    write_artifact(
        folder,
        name=card.name,
        labels=card.labels,
        input_size=card.input_size,
        temperature=temperature,
        pooling=card.pooling,
        calibration=None,
        engine=shipped.engine_path,
        weights=weights,
        changed_layers=card.changed_layers,
        backbone=card.backbone,
        dataset_hash=card.dataset_hash,
        seed=card.seed,
        metrics=card.metrics,
        recipe=card.recipe,
    )


class Administrator(Client):
    """Bob, who promotes and rolls back versions."""

    def __init__(self, base: str) -> None:
        super().__init__(base, BOB)
        listed = self.session.get(f"{base}/models", timeout=10).json()["results"]
        self.ids = {version["version"]: version["id"] for version in listed}

    def promote(self, number: int) -> int:
        """Promote a version, once what the gate needs is measured, and return its number."""
        body = {"reason": "benchmarks.promotions", "override": True}
        path = f"{self.base}/models/{self.ids[number]}/promote"
        while pause := (response := self.session.post(path, json=body, timeout=30)).headers.get(
            "Retry-After"
        ):
            time.sleep(int(pause))
        return self._production_version(response)

    def rollback(self) -> int:
        """Roll back and return the number of the version that is now in production."""
        return self._production_version(
            self.session.post(f"{self.base}/models/rollback", timeout=30)
        )

    def _production_version(self, response: requests.Response) -> int:
        response.raise_for_status()
        return response.json()["version"]


class Expected:
    """The scores that each version must return, computed with the engine itself."""

    def __init__(self) -> None:
        self.artifact: Artifact = read_artifact(PRETRAINED)
        self.engine = self.artifact.load_engine()

    def differs(self, answer: dict[str, Any], photo: bytes, number: int) -> bool:
        """Return whether the best score is not that of version `number`, within 0.02 points."""
        card = self.artifact.card
        outputs = self.engine.score(to_input(decode_photo(photo), card.input_size))
        if number in TEMPERATURES or card.calibration is None:
            temperature = TEMPERATURES.get(number, card.temperature)
            scores = 100 * softmax(outputs.logits[: len(card.labels)], temperature)
        else:
            scores = 100 * calibrated(outputs.logits, outputs.lognorm, card.calibration).scores
        best = answer["predictions"][0]
        expected = dict(zip(card.labels, scores.tolist(), strict=True))
        return abs(best["score"] - max(scores)) > 0.02 or expected[best["species"]] < max(scores)


def run(base: str, requests_count: int, pause: float) -> None:
    """Send the requests, switch the version after each fifth of them, and print the results."""
    alice, bob, expected = Client(base), Administrator(base), Expected()
    switches = {
        requests_count * place // 5: switch
        for place, switch in enumerate(
            [lambda: bob.promote(2), lambda: bob.promote(3), lambda: bob.promote(1), bob.rollback],
            start=1,
        )
    }
    number, failed, wrong_scores, wrong_version = 1, 0, 0, 0
    first: list[float] = []
    others: list[float] = []
    alice.predict(new_photo())  # the first request loads the first engine
    for index in range(requests_count):
        is_first = index in switches
        if is_first:
            number = switches[index]()
            print(f"request {index}: version {number} is in production")
            time.sleep(pause / 2)  # on average, the next request comes this much later
        photo = new_photo()
        started = time.perf_counter()
        response = alice.post(photo)
        (first if is_first else others).append(1000 * (time.perf_counter() - started))
        if response.status_code != 200:
            failed += 1
            print(f"request {index}: {response.status_code} {response.text[:200]}")
        else:
            wrong_version += response.json()["model"]["version"] != number
            wrong_scores += expected.differs(response.json(), photo, number)
        time.sleep(pause)
    print(f"{requests_count} requests: {failed} failed, {wrong_version} named a version that")
    print(f"was not in production, {wrong_scores} did not have the production version's scores")
    print(f"median {statistics.median(others):.0f} ms, slowest {max(others):.0f} ms")
    print("first after each switch:", ", ".join(f"{each:.0f} ms" for each in first))


def main() -> None:
    """Start a stack, register the versions and send the requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--pause", type=float, default=1, help="seconds between requests")
    parser.add_argument("--port", type=int, default=8767)
    options = parser.parse_args()
    with stack(options.port) as (base, home):
        register(home)
        run(base, options.requests, options.pause)


if __name__ == "__main__":
    main()
