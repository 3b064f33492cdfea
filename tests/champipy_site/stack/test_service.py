"""Tests the service over HTTP, with every process running."""

import importlib
import io
import json
import os
import pkgutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import requests

from accounts.services import PUBLISHED_PASSWORDS
from champipy_site.stack.state import read_state
from mlmodels.services import PRETRAINED
from tests.support.clients import node, python_client, typescript_client
from tests.support.paths import PROJECT
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MAX_MEMORY = 250_000_000


class Client:
    """A user of a running stack."""

    def __init__(self, stack: Stack, username: str = "alice", password: str = "wonderland") -> None:
        self.base = f"http://127.0.0.1:{stack.port}/api/v1"
        self.session = requests.Session()
        login = {"username": username, "password": password}
        token = self.session.post(f"{self.base}/token", json=login, timeout=30).json()["token"]
        self.session.headers["Authorization"] = f"Token {token}"

    def post(self, file: str | bytes, nb_preds: int = 1, prefer: str = "wait=30"):
        form: dict = (
            {"json": {"file": file, "nb_preds": nb_preds}}
            if isinstance(file, str)
            else {"files": {"file": ("photo.jpg", file)}, "data": {"nb_preds": nb_preds}}
        )
        return self.session.post(
            f"{self.base}/predictions", headers={"Prefer": prefer}, timeout=60, **form
        )

    def predict(self, file: str | bytes, **options) -> dict:
        """Return the prediction; after a 202, ask again until it is done, as a client should."""
        response = self.post(file, **options)
        deadline = time.monotonic() + 60
        while response.status_code == 202 or response.json().get("status") == "pending":
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.5)
            location = response.headers.get("Location") or response.request.path_url
            response = self.session.get(self.base.removesuffix("/api/v1") + location, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()


def memory_of(stack: Stack, name: str) -> int:
    """Return the bytes used by a service and its children; shared memory counts once."""
    process = psutil.Process(read_state(stack.home).processes[name].pid)
    return sum(each.memory_full_info().pss for each in [process, *process.children(recursive=True)])


@pytest.mark.parametrize("source", ["up", "README"])
def test_printed_curl_commands_work(running_stack: Stack, source: str) -> None:
    text = running_stack.welcome
    if source == "README":
        text = (PROJECT / "README.md").read_text().replace(":8000", f":{running_stack.port}")
    lines = [line for line in text.splitlines() if line.startswith(("TOKEN=", "curl "))]
    local = [line for line in lines if "https://" not in line]  # a URL would need the Internet
    assert len(local) == 2
    command = ["sh", "-c", "\n".join(local)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=PROJECT)
    assert json.loads(done.stdout)["predictions"][0]["species"] == "Amanita muscaria"


@pytest.fixture(scope="module")
def schema_file(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the running stack's schema in a file, as integrators get it."""
    answer = requests.get(
        f"http://127.0.0.1:{running_stack.port}/api/v1/schema",
        headers={"Accept": "application/vnd.oai.openapi+json"},
        timeout=30,
    )
    path = tmp_path_factory.mktemp("schema") / "openapi.json"
    path.write_bytes(answer.content)
    return path


def test_a_generated_python_client_works(
    running_stack: Stack, schema_file: Path, tmp_path: Path
) -> None:
    generated = python_client(schema_file, tmp_path)
    calls = importlib.import_module("generated_client.api.predictions")
    accounts = importlib.import_module("generated_client.api.accounts")
    models = importlib.import_module("generated_client.models")
    types = importlib.import_module("generated_client.types")
    finds = importlib.import_module("generated_client.api.observations")
    for package in (calls, accounts, finds):
        for _, name, _ in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{name}")
    base = f"http://127.0.0.1:{running_stack.port}"
    nobody = generated.Client(base_url=base)
    login = models.LoginRequest(username="alice", password="wonderland")
    token = accounts.create_token.sync(client=nobody, body=login).token
    alice = generated.AuthenticatedClient(base_url=base, token=token)  # sends it as Bearer

    upload = types.File(payload=io.BytesIO(drawn_photo(150)), file_name="a.jpg")
    body = models.PredictionUploadRequest(file=upload, nb_preds=2)
    made = calls.predict.sync_detailed(client=alice, body=body, prefer="wait=30")
    assert made.status_code == 200, made.content
    prediction = made.parsed
    assert (prediction.status, len(prediction.predictions)) == ("done", 2)
    assert calls.get_prediction.sync(client=alice, id=prediction.id) == prediction
    listed = calls.list_predictions.sync(
        client=alice, status=models.ListPredictionsStatus.DONE, page_size=1
    )
    assert listed.results == [prediction]
    photo = calls.get_prediction_photo.sync_detailed(client=alice, id=prediction.id)
    assert photo.content.startswith(b"\xff\xd8\xff")
    picture = calls.explain_prediction.sync_detailed(client=alice, id=prediction.id)
    assert picture.content.startswith(b"\x89PNG")
    batch = models.PredictionBatchRequest(files=["ftp://a", "ftp://b"])
    once = calls.predict_batch.sync(client=alice, body=batch, idempotency_key="k")
    assert [row.error.code for row in once.results] == ["url_forbidden"] * 2
    assert calls.predict_batch.sync(client=alice, body=batch, idempotency_key="k") == once
    assert accounts.get_usage.sync(client=alice).predictions.today >= 3
    observation = check_observations(finds, models, types, alice)

    other = models.PredictionBatchRequest(files=["ftp://c"])
    again = calls.predict_batch.sync_detailed(client=alice, body=other, idempotency_key="k")
    wrong = [
        (again, 422, "idempotency_key_reused"),
        (calls.list_predictions.sync_detailed(client=nobody), 401, "not_authenticated"),
        (
            calls.predict.sync_detailed(
                client=alice, body=models.PredictionJsonRequest(file="http://10.0.0.1/")
            ),
            422,
            "url_forbidden",
        ),
        (calls.list_predictions.sync_detailed(client=alice, cursor="x"), 400, "invalid"),
    ]
    for answer, status, code in wrong:
        assert (answer.status_code, answer.parsed.errors[0].code) == (status, code)
    unknown = finds.get_observation.sync_detailed(client=alice, id=observation)
    assert (unknown.status_code, unknown.parsed.errors[0].code) == (404, "observation_not_found")
    deleted = calls.delete_prediction.sync_detailed(client=alice, id=prediction.id)
    assert deleted.status_code == 204
    gone = calls.get_prediction.sync_detailed(client=alice, id=prediction.id)
    assert (gone.status_code, gone.parsed.errors[0].code) == (404, "not_found")


def check_observations(
    finds: ModuleType, models: ModuleType, types: ModuleType, alice: object
) -> int:
    """Send, decide, list and delete an observation with a generated client; return its id."""
    photos = [
        types.File(payload=io.BytesIO(drawn_photo(seed)), file_name=f"{seed}.jpg")
        for seed in (152, 153)
    ]
    body = models.ObservationUploadRequest(photo=photos, proposed=["Peziza aurantia", "Amanita"])
    made = finds.observe.sync_detailed(client=alice, body=body, prefer="wait=30")
    assert made.status_code == 200, made.content
    observation = made.parsed
    assert [photo.status for photo in observation.photos] == ["done"] * 2
    assert [row.species for row in observation.verdicts] == ["Aleuria aurantia", None]
    decision = models.DecisionRequest(decision=models.DecisionEnum.UNSURE, note="a drawing")
    told = finds.decide_observation.sync(client=alice, id=observation.id, body=decision)
    assert (told.decision, told.note) == ("unsure", "a drawing")
    listed = finds.list_observations.sync(
        client=alice, decision=models.ListObservationsDecision.UNSURE, page_size=1
    )
    assert listed.results == [told]
    deleted = finds.delete_observation.sync_detailed(client=alice, id=observation.id)
    assert deleted.status_code == 204
    return int(observation.id)


def test_a_generated_typescript_client_works(
    running_stack: Stack, schema_file: Path, tmp_path: Path
) -> None:
    if reason := typescript_client(schema_file, tmp_path):
        pytest.skip(reason)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(drawn_photo(151))
    base = f"http://127.0.0.1:{running_stack.port}"
    done = node(tmp_path, "client.ts", base, str(photo))
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_web_and_inference_stay_small_and_load_no_tensorflow(running_stack: Stack) -> None:
    client = Client(running_stack)
    for seed in range(300, 320):
        client.predict(drawn_photo(seed))
    for name in ("web", "inference"):
        assert memory_of(running_stack, name) < MAX_MEMORY, name
        process = psutil.Process(read_state(running_stack.home).processes[name].pid)
        for each in [process, *process.children(recursive=True)]:
            assert not [m.path for m in each.memory_maps() if "tensorflow" in m.path]


def test_slow_hosts_do_not_delay_other_requests(
    running_stack: Stack, photo_server: PhotoServer
) -> None:
    client = Client(running_stack)
    # Four of each user: all are fetched at once, and all may wait (CHAMPIPY_USER_FETCHES).
    others = [
        Client(running_stack, *login) for login in PUBLISHED_PASSWORDS.items() for _ in range(4)
    ]
    with ThreadPoolExecutor(16) as pool:
        slow = [
            pool.submit(other.post, photo_server.url(f"drip/drawn.jpg?{number}"))
            for number, other in enumerate(others)
        ]
        assert client.predict(drawn_photo(330))["status"] == "done"
        assert client.predict(photo_server.url("drawn.jpg"))["status"] == "done"
        assert not any(future.done() for future in slow), "the slow requests were answered first"
        answers = [future.result() for future in slow]
    assert {answer.status_code for answer in answers} == {504}
    assert {answer.json()["errors"][0]["code"] for answer in answers} == {"image_timeout"}


def test_killed_inference_worker_loses_nothing(running_stack: Stack) -> None:
    """The worker and its child are killed during work; each photo is answered, and scored once."""
    photos = [drawn_photo(seed) for seed in range(340, 400)]

    clients = [Client(running_stack) for _ in range(8)]

    def ask(number: int) -> dict:
        return clients[number % 8].predict(photos[number])

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, number) for number in range(len(photos))]
        assert eventually(lambda: any(future.done() for future in futures))
        worker = psutil.Process(read_state(running_stack.home).processes["inference"].pid)
        for process in [worker, *worker.children(recursive=True)]:
            os.kill(process.pid, signal.SIGKILL)
        answers = [future.result() for future in futures]
    assert [answer["status"] for answer in answers] == ["done"] * len(photos)
    assert len({answer["id"] for answer in answers}) == len(photos)
    result = running_stack(
        "shell",
        "--verbosity",
        "0",
        "-c",
        "from predictions.models import Prediction, Inference\n"
        f"print(Prediction.objects.filter(pk__gte={min(a['id'] for a in answers)}).count(),"
        f" Inference.objects.filter(photo__sha256__in={[a['sha256'] for a in answers]}).count())",
    )
    assert result.stdout.split() == [str(len(photos))] * 2, result.stderr


def test_real_evaluation_photos_reach_the_cards_accuracy_and_are_reused(
    running_stack: Stack, photo_server: PhotoServer, real_photos: Path
) -> None:
    """Half are sent by URL, half are uploaded; the second round computes nothing."""
    card = json.loads((PRETRAINED / "card.json").read_text())["metrics"]["evaluation"]
    files = sorted((real_photos / "evaluation").glob("*/*.jpg"))
    assert len(files) == card["n"]
    client = Client(running_stack)
    for attempt, is_reused in enumerate([False, True]):
        correct = 0
        for number, file in enumerate(files):
            url = photo_server.url(str(file.relative_to(real_photos)))
            answer = client.predict(url if number % 2 else file.read_bytes(), nb_preds=10)
            assert answer["reused"] is is_reused
            assert len(answer["predictions"]) == 10
            assert sum(each["score"] for each in answer["predictions"]) == pytest.approx(
                100, abs=0.1
            )
            correct += answer["predictions"][0]["species"] == file.parent.name.replace("_", " ")
        # Another processor may round differently: two photos of tolerance.
        assert correct == pytest.approx(card["correct"], abs=2), attempt
