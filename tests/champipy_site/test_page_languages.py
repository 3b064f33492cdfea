"""Every page is in French for French readers: no text of it is English, also not in charts."""

import re
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils.translation import override

from accounts.models import User
from champipy_site.urls import handler400, handler500, urlpatterns
from mlmodels.models import ModelVersion, TrainingRun
from supervision.models import Alert, Evaluation
from supervision.monitoring.alert_texts import alert_report, alert_summary
from tests.support.labelled_photos import SPECIES
from tests.support.page_paths import (
    OPEN_PAGES,
    OWN_ADMIN_PAGES,
    VERIFIERS_PAGES,
    find_paths,
    model_paths,
)
from tests.support.page_texts import not_french, texts_of
from tests.support.whole_site import WRITTEN, fill_alerts, fill_site

pytestmark = pytest.mark.django_db

__all__ = ["handler400", "handler500"]  # of this module, where a test makes it the URLs

LATIN = (
    *SPECIES,
    *(r"Peziza \w+", "Boletus edulis", "Russula emetica", "Russula", "Cerioporus squamosus"),
    *(r"Bresadolia \w+", r"Coriolus \w+", r"Scleroderma \w+", r"Lycoperdon \w+", r"Pleurotus \S+"),
    r"Polyporus \w+",
)
NAMES = (
    *(
        "ChampiPy",
        "Mushroom Observer",
        r"VGG16 \d+",
        "McNemar",
        "Spearman",
        "MLflow",
        "argon2(id)?",
    ),
    *("alice", "bob", "clementine", "admin", "test", WRITTEN, WRITTEN.lower()),
    *("English", "Français"),  # of languages, each in its own
)
SAME_IN_BOTH = (
    *(
        "administration",
        "alertes?",
        "images?",
        "photos?",
        "observations?",
        "versions?",
        "notes?",
        "scores?",
    ),
    *("validation", "production", "supervision", "importance", "variables", "epochs?", "centre"),
    *("minutes?", "dropout", "mixup", "nats?", "verdicts?", "source", "menu", "date", "pages?"),
    *("options?", "type", "actions?", "description", "total", "token", "conclusion", "licence"),
    *(
        "parent",
        "pooling",
        "candidate",
        "vote",
        "URL",
        "CSV",
        "JSON",
        "API",
        "SHA-256",
        "AUROC",
        "ID",
        "ms",
        "min",
        "le",
        "de",
        "script",
    ),
)
"""Words that are French and English."""
CODE = (
    r"https?://\S+",
    r"\S*\.jpg",
    r"\b[0-9a-f]{12,}\b…?",  # sums
    r"\S+\*{8,}",  # hidden parts of passwords' hashes
    r"\b[a-z]+(_[a-z0-9]+)+\b",  # identifiers: codes of errors, parameters in commands
    r"\bCHAMPIPY(_[A-Z]+)+\b",
    r"\./champipy \w+",
    r"\brgb-squash-bicubic-v1\b",
    r"\bint8\b|\bfloat16\b",
    r"CC BY-SA 3\.0",
    r"\bname: .*; value: \d|\{\"name\".*\}",  # what was sent to Mushroom Observer
    r"\b(numpy|tensorflow|keras) \d+\.\d+\.\d+",
    r"\b(head|train)\b",  # values of parameters
    r"\b\d+:other species(: [\w ]+)?",  # what the form of a review sends
    r"\b(True|False|None)\b",  # Django's texts for its symbols of yes and no
)
NEUTRAL = re.compile(
    "|".join([*(rf"\b({each})\b" for each in (*LATIN, *NAMES)), *CODE])
    + "|"
    + "|".join(rf"(?i:\b{each}\b)" for each in SAME_IN_BOTH)
)
FRENCH, ENGLISH = ({"accept-language": language} for language in ("fr", "en"))
ROWS = 14
"""Newest rows of each model whose pages are read."""


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def faults(client: Client, paths: list[str], posted: dict[str, Any] | None = None) -> list[str]:
    """Return what is not French on the pages in French, each text once, with its path.

    With `posted`, it is sent to each path, as a form.
    """
    found: dict[str, str] = {}
    for page in paths:
        texts = []
        for headers in (ENGLISH, FRENCH):
            if posted is None:
                answer = client.get(page, headers=headers, follow=True)
            else:
                answer = client.post(page, posted, headers=headers, follow=True)
            assert answer.status_code in (200, 400), (page, answer.status_code)
            texts.append(answer.text)
        assert len(texts_of(texts[1])) > 3, page
        for text in not_french(*texts, neutral=NEUTRAL):
            found.setdefault(text, page)
    return [f"{page} {text}" for text, page in found.items()]


def test_no_page_has_a_text_in_english(users, production: ModelVersion, admin: Client) -> None:
    fill_site(users, production)
    alice = client_of(users["alice"])
    [staged] = ModelVersion.objects.filter(stage="Staging")
    first, second = TrainingRun.objects.filter(kind="search").exclude(history=[])[:2]
    versions = f"?a={production.pk}&b={staged.pk}"
    own = [
        f"/admin/mlmodels/modelversion/compare/{versions}",
        f"/admin/mlmodels/modelversion/{staged.pk}/promote/",
        f"/admin/mlmodels/modelversion/{staged.pk}/shadow/",
        f"/admin/mlmodels/modelversion/{production.pk}/shadow/",
        *(f"/admin/supervision/evaluation/{each.pk}/others/" for each in Evaluation.objects.all()),
        f"/admin/mlmodels/trainingrun/compare/?a={first.pk}&b={second.pk}",
        f"/admin/mlmodels/trainingrun/{first.pk}/cancel",
        "/admin/predictions/photo/?doubt=feedback",
        "/admin/predictions/photo/?doubt=label",
        *(each for each in OWN_ADMIN_PAGES if "/2/" not in each),
    ]
    finds = find_paths("alice")
    assert len(finds) > 20
    found = [
        *faults(admin, [*own, *model_paths("bob", rows=ROWS)]),
        *faults(alice, [*VERIFIERS_PAGES, *finds]),
        *faults(Client(), [*OPEN_PAGES, "/admin/login/"]),
    ]
    assert not found, "\n".join(found)


def test_what_forms_answer_is_french(users, production: ModelVersion, admin: Client) -> None:
    forms = (
        *("/admin/mlmodels/trainingrun/start/train", "/admin/mlmodels/trainingrun/start/search"),
        *("/admin/mlmodels/speciesname/add/", "/admin/accounts/token/add/"),
        *("/admin/mlmodels/modelversion/rollback/", "/admin/supervision/evaluationset/freeze/"),
        *("/admin/predictions/photo/review/", "/admin/password_change/", "/account/password"),
        "/account/tokens",
    )
    for form in forms:
        assert faults(admin, [form], {"a": "1"}) == [], form
    assert faults(Client(), ["/login"], {"username": "alice", "password": "no"}) == []


def test_mails_about_alerts_are_in_french(users, production: ModelVersion) -> None:
    fill_alerts(users["bob"], production)
    alerts = Alert.objects.all()
    assert len(alerts) == len(Alert.Kind)
    for alert in alerts:
        mails = []
        for language in ("en", "fr"):
            with override(language):
                lines = [alert_summary(alert), *alert_report(alert).split("\n")]
            mails.append("".join(f"<p>{line}</p>" for line in lines))
        assert len(texts_of(mails[1])) > 4, alert.kind
        assert not_french(*mails, neutral=NEUTRAL) == [], alert.kind


# --- pages about failures ------------------------------------------------------------------------
def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a fault of ChampiPy")


urlpatterns = [path("fails", fails), *urlpatterns]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("status", "page"),
    [
        (404, "/nonsense"),
        (404, "/admin/mlmodels/trainingrun/start/nonsense"),
        (403, "/admin/mlmodels/trainingrun/start/train"),
        (400, "/login"),
        (500, "/fails"),
    ],
)
def test_a_failure_is_told_in_french(users, settings, status: int, page: str) -> None:
    users["alice"].is_staff = status == 403
    users["alice"].save()
    client = client_of(users["alice" if status == 403 else "bob"])
    client.raise_request_exception = False
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    texts = []
    for headers in (ENGLISH, FRENCH):
        if status == 400:
            answer = client.post(page, {"a": "1", "b": "2"}, headers=headers)
        else:
            answer = client.get(page, headers=headers)
        assert answer.status_code == status
        texts.append(answer.text)
    assert '<html lang="fr">' in texts[1]
    assert len(texts_of(texts[1])) >= 3
    assert not_french(*texts, neutral=NEUTRAL) == []


# --- the means of these tests --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("english", "french", "found"),
    [
        ("<p>Look at this</p>", "<p>Regardez</p>", []),
        ("<p>Speed</p>", "<p>Speed</p>", ["Speed"]),
        ("<p>Speed: 2</p>", "<p>Vitesse : the speed</p>", ["Vitesse : the speed"]),
        ("<p>2.5 ms</p>", "<p>2.5 ms</p>", ["2.5 ms"]),
        ("<p>2.5 ms, numpy 2.4.6</p>", "<p>2,5 ms, numpy 2.4.6</p>", []),
        ('<img alt="Chart">', '<img alt="Chart">', ["Chart"]),
        ('<p data-hint="Press it">a</p>', '<p data-hint="Press it">a</p>', ["Press it"]),
        ('<input type="submit" value="Send">', '<input type="submit" value="Send">', ["Send"]),
        ("<svg><title>Speed</title></svg>", "<svg><title>Speed</title></svg>", ["Speed"]),
        ("<code>the speed</code>", "<code>the speed</code>", []),
        ('<i lang="la">Of</i><b>Of</b>', '<i lang="la">Of</i><b>De</b>', []),
        ("<script>let of = 1</script>", "<script>let of = 1</script>", []),
        ("<p>3 photos, alice</p>", "<p>3 photos, alice</p>", []),
        ('<html lang="en"><p>Speed<br></p>', '<html lang="fr"><p>Speed<br></p>', ["Speed"]),
    ],
)
def test_english_texts_are_found(english: str, french: str, found: list[str]) -> None:
    assert not_french(english, french, neutral=NEUTRAL) == found
