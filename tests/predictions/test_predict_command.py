"""./champipy predict: answers on the terminal, of the running web process or without workers."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from knox.models import get_token_model

from accounts.services import terminal_token_create
from common.home import TERMINAL_TOKEN
from predictions.models import Photo, Prediction
from predictions.terminal.__main__ import main
from tests.support.calibrations import calibrate_version, uncalibrate_version
from tests.support.paths import PROJECT
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]
Predict = Callable[..., int]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(drawn_photo(1))
    return path


@pytest.fixture
def here() -> Predict:
    """Return a function that runs manage.py's command and returns its exit code."""

    def predict(*arguments: str) -> int:
        try:
            call_command("predict", *arguments)
        except SystemExit as end:
            return int(str(end.code))
        except CommandError as error:
            print(error, file=sys.stderr)
            return error.returncode
        return 0

    return predict


@pytest.fixture
def home(tmp_path: Path, live_server, monkeypatch) -> Path:
    """Return a home whose stack is the live server, on the test's own database."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "stack.json").write_text(json.dumps({"address": live_server.url}))
    database = connection.settings_dict
    monkeypatch.setenv("CHAMPIPY_HOME", str(home))
    monkeypatch.setenv(
        "DATABASE_URL",
        f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}/{database['NAME']}",
    )
    monkeypatch.setenv("REDIS_URL", django_settings.REDIS_URL)
    return home


@pytest.fixture
def over_http(home: Path, workers) -> Predict:
    """Return a function that asks the live server, whose workers run, and returns the exit code."""
    (home / TERMINAL_TOKEN).write_text(terminal_token_create())
    return lambda *arguments: main(list(arguments))


@pytest.fixture(params=["here", "over_http"])
def predict(request) -> Predict:
    return request.getfixturevalue(request.param)


def give(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_the_species_of_a_file_are_printed(predict: Predict, photo: Path, capsys) -> None:
    assert predict(str(photo), "-n", "3") == 0
    out = capsys.readouterr().out
    prediction = Prediction.objects.get()
    for species, score in prediction.inference.best(3):
        assert f"{score:6.2f} %  {species}" in out
    lines = 4 + (prediction.inference.in_scope is False)
    assert len(out.splitlines()) == lines
    assert ("None of the species" in out) is (lines == 5)
    assert prediction.file == "a photo.jpg"


@pytest.mark.parametrize(("threshold", "is_first"), [(0.0, False), (1.0, True)])
def test_what_is_none_of_the_species_is_said_before_their_scores(
    here: Predict, production, photo: Path, capsys, threshold, is_first
) -> None:
    calibrate_version(production, threshold=threshold)
    assert here(str(photo)) == 0
    said = capsys.readouterr().out.splitlines()[1]
    score = Prediction.objects.get().inference.scope_score
    sentence = (
        f"  None of the species that I know: {score:.2f} % that it is one of them. If it were one:"
    )
    assert (said == sentence) is is_first


def test_a_url_is_answered_by_the_stored_inference_of_a_file(
    here: Predict, photo, photo_server: PhotoServer, settings, capsys
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    assert here(str(photo)) == 0
    assert here(photo_server.url("drawn.jpg")) == 0
    assert "answered from the stored inference" in capsys.readouterr().out


def test_some_photos_fail_and_the_others_are_answered(
    predict: Predict, photo: Path, tmp_path: Path, capsys
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no photo")
    assert predict(str(text), str(tmp_path / "missing.jpg"), str(photo)) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{photo}: VGG16 1")
    assert f"{text}: " in said.err
    assert "(not_an_image)" in said.err
    assert "missing.jpg: It cannot be read: No such file or directory. (unreadable)" in said.err
    assert said.err.splitlines()[-1] == "1 answered, 2 failed."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "11"], "10"),
        (["--proposed", "??"], "no letters"),
        (["EMPTY"], "has no photos"),
    ],
)
def test_wrong_arguments_exit_with_2_and_predict_nothing(
    predict: Predict, photo: Path, tmp_path: Path, capsys, arguments, message
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / "empty") if word == "EMPTY" else word for word in arguments]
    assert predict(str(photo), *arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert Prediction.objects.count() == 0


def test_without_a_model_the_exit_code_is_3_and_the_rest_is_not_tried(
    predict: Predict, photo: Path, production, capsys
) -> None:
    production.stage = "Archived"
    production.save()
    assert predict(str(photo), str(photo), "--json") == 3
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "photo": str(photo),
        "status": "failed",
        "error": {
            "code": "no_active_model",
            "detail": "No model is in production. An administrator has to promote one.",
        },
    }


def test_a_folder_gives_a_line_of_json_for_each_photo_in_it(
    predict: Predict, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "finds"
    (folder / "b").mkdir(parents=True)
    paths = [folder / "a.JPG", folder / "b" / "c.jpeg"]
    for number, path in enumerate(paths):
        path.write_bytes(drawn_photo(70 + number))
    (folder / "notes.txt").write_text("no photo")
    assert predict(str(folder), "--json", "--proposed", "Amanita") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["photo"] for line in lines] == [str(path) for path in paths]
    assert {line["status"] for line in lines} == {"done"}
    assert {line["verdict"]["verdict"] for line in lines} == {"not_covered"}
    assert [line["id"] for line in lines] == sorted(Prediction.objects.values_list("pk", flat=True))


def test_standard_input_is_a_photo_or_a_list(
    predict: Predict, photo: Path, monkeypatch, capsys
) -> None:
    give(monkeypatch, photo.read_bytes())
    assert predict("-") == 0
    assert capsys.readouterr().out.startswith("-: VGG16 1")
    give(monkeypatch, f"{photo}\n\n  {photo.parent}\n".encode())
    assert predict("-") == 0
    out = capsys.readouterr().out
    assert out.count(f"{photo}: VGG16 1, answered from the stored inference") == 2
    assert Photo.objects.count() == 1


def test_a_verdict_is_told_in_a_sentence(predict: Predict, photo: Path, capsys) -> None:
    assert predict(str(photo), "--proposed", "Boletus edulis") == 0
    assert "  Boletus edulis: not covered. VGG16 1 does not know this name, so" in (
        capsys.readouterr().out
    )
    assert predict(str(photo), "--proposed", "polyporus_squamosus") == 0
    stored = Prediction.objects.latest("pk").verdict or {}
    assert f"polyporus_squamosus: {stored['verdict']}. " in capsys.readouterr().out


def test_a_version_without_a_rule_judges_no_name(
    production, here: Predict, photo: Path, capsys
) -> None:
    uncalibrate_version(production)
    assert here(str(photo), "--proposed", "polyporus_squamosus") == 0
    assert "polyporus_squamosus: not judged" in capsys.readouterr().out


def test_the_terminal_has_a_user_of_its_own(over_http: Predict, photo: Path) -> None:
    assert over_http(str(photo)) == 0
    user = Prediction.objects.get().user
    assert (user.username, user.is_admin, user.has_usable_password()) == ("terminal", False, False)


def test_a_missing_or_expired_token_is_renewed(over_http: Predict, home: Path, photo: Path) -> None:
    (home / TERMINAL_TOKEN).write_text("no token")
    assert over_http(str(photo)) == 0
    assert (home / TERMINAL_TOKEN).stat().st_mode & 0o777 == 0o600
    get_token_model().objects.filter(user__username="terminal").delete()
    assert over_http(str(photo)) == 0
    assert os.environ["CHAMPIPY_HOME"] == str(home)


def test_a_database_that_does_not_answer_is_said_in_a_line(photo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "predict", str(photo)], check=False, cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("CommandError: The database does not answer: ")
    assert "Traceback" not in done.stderr
