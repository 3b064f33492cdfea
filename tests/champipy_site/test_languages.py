"""English and French: errors by Accept-Language, pages and mails by the user's own choice."""

import json
import re
from html import unescape

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from rest_framework.test import APIClient

from observations.remarks import REMARKS, remark, remark_sentence
from predictions.answer_services import prediction_finish
from predictions.errors import FAILURES, PredictionRefused
from predictions.fetching import check_url
from predictions.models import Prediction
from predictions.photo_urls import FetchError
from predictions.verdicts import verdict_sentence
from tests.support.api import PREDICTIONS, post_photo, post_url
from tests.support.photos import drawn_photo

pytestmark = pytest.mark.django_db

FRENCH = {"Accept-Language": "fr-CH, fr;q=0.9, en;q=0.5"}


def detail_of(response) -> str:
    [error] = response.json()["errors"]
    return str(error["detail"])


def failed_prediction(user, code: str) -> Prediction:
    """Return a prediction that a worker, which knows no reader's language, let fail."""
    prediction = Prediction.objects.create(user=user, file="a.jpg", is_upload=True)
    prediction_finish(prediction, error=PredictionRefused(code))
    return prediction


# --- the API -------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", FAILURES)
def test_a_stored_failure_is_told_in_the_readers_language(users, alice: APIClient, code) -> None:
    path = f"{PREDICTIONS}/{failed_prediction(users['alice'], code).pk}"
    english, french = alice.get(path), alice.get(path, headers=FRENCH)
    for answer, language in ((english, "en"), (french, "fr")):
        with override(language):
            detail = str(FAILURES[code].detail)
        assert answer.json()["error"] == {"code": code, "detail": detail}
    assert french.json()["error"] != english.json()["error"]
    assert (english.headers["Content-Language"], french.headers["Content-Language"]) == ("en", "fr")
    assert "Accept-Language" in french.headers["Vary"]


def test_a_refused_url_says_why_in_french_all_through(alice: APIClient, production) -> None:
    answer = post_url(alice, "http://127.0.0.1/a.jpg")
    assert detail_of(answer) == (
        "This URL can't be used: its host is not public. Give another one, or upload the photo."
    )
    with pytest.raises(FetchError) as refused:
        check_url("http://127.0.0.1/a.jpg")
    with override("fr"):
        assert str(refused.value.detail) == (
            "Cette URL ne peut pas servir\N{NO-BREAK SPACE}: son hôte n'est pas public. "
            "Donnez-en une autre, ou envoyez la photo elle-même."
        )


def test_numbers_for_programs_stay_as_they_are(alice: APIClient, production) -> None:
    english = post_photo(alice, drawn_photo(1), headers={"Prefer": "respond-async"}).json()
    french = alice.get(f"{PREDICTIONS}/{english['id']}", headers=FRENCH).json()
    assert french == english | {"error": french["error"]}
    usage = [alice.get("/api/v1/usage", headers=headers).json() for headers in ({}, FRENCH)]
    assert usage[0] == usage[1]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("get", "/api/v1/predictions?page=x", None, "Un nombre entier valide est requis."),
        ("get", "/api/v1/predictions?page_size=0", None, "Donnez un nombre entier de 1 à 100."),
        ("get", "/api/v1/predictions?color=red", None, "Paramètres inconnus"),
        ("get", "/api/v1/nonsense", None, "Ce chemin n'existe pas."),
        ("get", "/api/v1/observations/1", None, "Cette observation n'est pas parmi les vôtres."),
        ("get", "/api/v1/predictions/1", None, None),
        ("post", "/api/v1/status", {}, None),
        ("post", "/api/v1/observations", {}, None),
        ("post", "/api/v1/predictions", {}, "Ce champ est obligatoire."),
        ("post", "/api/v1/predictions/batch", {"files": []}, None),
        ("post", "/api/v1/train", {}, None),
        ("get", "/api/v1/alerts", None, None),
    ],
)
def test_every_kind_of_error_is_in_french(
    alice: APIClient, production, method, path, body, expected
) -> None:
    def ask(headers: dict[str, str]) -> str:
        text = None if body is None else json.dumps(body)
        answer = alice.generic(
            method.upper(), path, text or "", content_type="application/json", headers=headers
        )
        assert answer.status_code >= 400
        return str(answer.json()["errors"][0]["detail"])

    english, french = ask({}), ask(FRENCH)
    assert french != english
    assert expected is None or french.startswith(expected)


def test_errors_before_a_login_are_in_french(nobody: APIClient, users) -> None:
    missing = nobody.get("/api/v1/user", headers=FRENCH)
    assert detail_of(missing) == "Informations d'authentification non fournies."
    wrong = nobody.post(
        "/api/v1/token", {"username": "alice", "password": "x"}, headers=FRENCH, format="json"
    )
    assert detail_of(wrong) == "Nom ou mot de passe erroné."
    forged = nobody.get("/api/v1/user", headers=FRENCH | {"Authorization": "Token abc"})
    assert detail_of(forged) == "Jeton non valide."
    broken = nobody.generic(
        "POST", "/api/v1/token", "{", content_type="application/json", headers=FRENCH
    )
    assert detail_of(broken).startswith("Erreur de lecture du JSON")


def test_a_language_that_there_is_not_gets_english(nobody: APIClient) -> None:
    for accepted in (
        "de",
        "xx",
        "*",
        "fr;q=0, en",
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
        "a" * 999,
    ):
        answer = nobody.get("/api/v1/nonsense", headers={"Accept-Language": accepted})
        assert detail_of(answer) == "There is no such path. /api/v1/docs lists all paths."


def test_one_readers_language_is_not_the_next_ones(nobody: APIClient) -> None:
    for headers, begins in ((FRENCH, "Ce chemin"), ({}, "There is"), (FRENCH, "Ce chemin")):
        assert detail_of(nobody.get("/api/v1/nonsense", headers=headers)).startswith(begins)
        unknown = nobody.get("/api/v1/status?color=red", headers=headers)
        assert detail_of(unknown).startswith("Param" if headers else "Unknown")


def test_problem_details_have_a_title_in_french(nobody: APIClient) -> None:
    headers = {"Accept": "application/problem+json"}
    english = nobody.get("/api/v1/nonsense", headers=headers).json()
    french = nobody.get("/api/v1/nonsense", headers=headers | FRENCH).json()
    assert (english["title"], french["title"]) == ("Not Found", "Introuvable")
    assert (english["status"], english["code"]) == (french["status"], french["code"])


def test_the_schema_is_in_english_for_everybody(nobody: APIClient) -> None:
    english, french = (nobody.get("/api/v1/schema", headers=each) for each in ({}, FRENCH))
    assert french.content == english.content
    assert french.headers["Content-Language"] == "en"
    tag = english.headers["ETag"]
    for headers in ({}, FRENCH):
        again = nobody.get("/api/v1/schema", headers=headers | {"If-None-Match": tag})
        assert again.status_code == 304


# --- stored reasons ------------------------------------------------------------------------------
def test_a_verdict_is_told_with_french_numbers() -> None:
    because = {
        "code": "probable",
        "parameters": {"species": "Aleuria aurantia", "score": 99.61, "limit": 96.94},
    }
    assert "99.61 %: a name is supported from 96.94 %" in verdict_sentence(because)
    with override("fr"):
        sentence = verdict_sentence(because).replace("\N{NO-BREAK SPACE}", " ")
    assert "99,61 % : un nom est confirmé à partir de 96,94 %." in sentence


@pytest.mark.parametrize("code", REMARKS)
def test_a_remark_is_told_in_french(code: str) -> None:
    stored = remark(code, count=14, used=12)
    with override("fr"):
        assert remark_sentence(stored) != remark_sentence(remark(code, count=15, used=12)) or (
            code == "no_names"
        )
        assert re.search("[éèà]|sert", remark_sentence(stored))


# --- pages ---------------------------------------------------------------------------------------
def page_of(client: Client, path: str = "/", **headers: str):
    answer = client.get(path, headers=headers, follow=True)
    assert answer.status_code == 200
    return answer


def test_a_page_is_in_the_users_language_whatever_the_browser_asks(users) -> None:
    users["alice"].language = "fr"
    users["alice"].save()
    client = Client()
    client.force_login(users["alice"], backend="django.contrib.auth.backends.ModelBackend")
    for accepted in ("en", "fr", "de"):
        page = page_of(client, **{"accept-language": accepted})
        assert '<html lang="fr">' in page.text
        assert "Ne mangez jamais" in page.text
        assert page.headers["Content-Language"] == "fr"
    for path in ("/", "/queue", "/finds", "/account"):
        assert '<html lang="fr">' in page_of(client, path).text


def test_bobs_pages_are_in_french(admin: Client, production) -> None:
    first = page_of(admin, "/admin/", **{"accept-language": "fr"})
    assert "Vue d'ensemble" in unescape(first.text)
    assert "In production" not in first.text
    assert "En production" in first.text
    for model in site._registry:
        if site._registry[model].has_module_permission(first.wsgi_request):
            path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            assert '<html lang="fr"' in page_of(admin, path, **{"accept-language": "fr"}).text, path
    assert "93,4" in first.text, "the accuracy of the version that comes with ChampiPy"
