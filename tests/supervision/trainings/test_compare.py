"""Two runs side by side, and what a search shows of its trials."""

import numpy as np
import pytest
from django.test import Client
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from mlmodels.models import TrainingRun
from supervision.trainings.importance import parameter_importances, rank_correlation
from tests.support.spreadsheets import csv_lines, csv_rows

LIST = "/admin/mlmodels/trainingrun/"
PAGE = f"{LIST}compare/"
HISTORY = [
    {"epoch": 0, "loss": None, "accuracy": 0.5, "nll": 1.25, "seconds": 3.0},
    {"epoch": 1, "loss": 0.731, "accuracy": 0.625, "nll": 1.125, "seconds": 9.0},
]


def trial(number: int, nll: float, state: str = "complete", **parameters: float) -> dict:
    figures = {"epochs": 3, "accuracy": 0.8, "seconds": 9.5}
    return {"number": number, "nll": nll, "state": state, "parameters": parameters, **figures}


TRIALS = [
    trial(0, 0.6, views=1),
    trial(1, 0.9, views=1, dropout=0.1, learning_rate=0.0001),
    trial(2, 0.7, views=2, dropout=0.2, learning_rate=0.0002),
    trial(3, 0.5, views=2, dropout=0.3, learning_rate=0.0001),
    trial(4, 0.4, views=1, dropout=0.4, learning_rate=0.0003),
    trial(5, 0.1, "pruned", views=2, dropout=0.05, learning_rate=0.0003),
]


def test_the_parameter_that_orders_the_trials_is_the_most_important() -> None:
    first, *others = parameter_importances(TRIALS)
    assert (first.name, first.n) == ("dropout", 4)
    assert first.correlation == pytest.approx(-1), (
        "larger dropout did better; the pruned is left out"
    )
    assert {one.name for one in others} == {"views", "learning_rate"}
    assert all(one.strength < 1 for one in others)
    assert not parameter_importances(TRIALS[:3]), "too few"
    constant = [trial(n, 0.1 * n, views=2) for n in range(6)]
    assert parameter_importances(constant) == [], "what did not vary has no importance"


def test_few_trials_may_be_chance() -> None:
    weak = [trial(n, nll, views=n) for n, nll in enumerate([1, 3, 2, 5, 4, 0.5])]
    [one] = parameter_importances(weak)
    assert one.may_be_chance
    [one] = parameter_importances([trial(n, n, views=n) for n in range(6)])
    assert not one.may_be_chance


def test_rank_correlation_is_spearmans() -> None:
    generator = np.random.default_rng(5)
    for _ in range(20):
        pair = generator.integers(0, 6, (2, 12)).astype(float)  # with ties
        assert rank_correlation(*pair) == pytest.approx(spearmanr(*pair).statistic)
    assert rank_correlation(np.ones(4), np.arange(4.0)) is None


@pytest.fixture
def runs(db: None) -> list[TrainingRun]:
    trained = TrainingRun.objects.create(
        kind="train", status="failed", parameters={"epochs": 8, "views": 2}, history=HISTORY
    )
    searched = TrainingRun.objects.create(
        kind="search", status="succeeded", parameters={"trials": 6, "views": 2}, trials=TRIALS
    )
    return [trained, searched]


def test_two_runs_stand_side_by_side(admin: Client, runs) -> None:
    query = {"a": runs[0].pk, "b": runs[1].pk}
    html = admin.get(PAGE, query).content.decode()
    assert "<title>Learning curves side by side</title>" in html
    assert '<tr class="differs"><th scope="row">epochs' in html
    assert '<tr><th scope="row">views</th>' in html
    assert "0.400" in html, "the best trial"
    assert csv_lines(admin.get(PAGE, {**query, "csv": "parameters"})) == [
        ["parameter", str(runs[0].pk), str(runs[1].pk)],
        ["epochs", "8", ""],
        ["trials", "", "6"],
        ["views", "2", "2"],
    ]
    assert admin.get(PAGE, {**query, "csv": "x"}).status_code == 404


@pytest.mark.parametrize("query", ["a=1&b=1", "a=x&b=2", "a=99999999999999999999&b=1", "a=1", ""])
def test_a_pair_that_is_none_shows_the_form_again(admin: Client, db, query: str) -> None:
    response = admin.get(f"{PAGE}?{query}")
    assert response.status_code == 200
    assert "<table" not in response.content.decode().partition('id="content-main"')[2]


def test_a_search_shows_its_parameters_and_their_importance(admin: Client, runs) -> None:
    html = admin.get(f"{LIST}{runs[1].pk}/change/").content.decode()
    assert "<title>Parameters of the trials</title>" in html
    assert '<meter min="0" max="1" value="1.00" aria-label="dropout">' in html
    assert "larger values" in html


def test_the_tables_of_a_run_come_as_csv(admin: Client, runs) -> None:
    tables = f"{LIST}{runs[1].pk}/tables"
    rows = csv_rows(admin.get(f"{tables}/trials.csv"))
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert (rows[3]["dropout"], rows[0]["dropout"], rows[5]["state"]) == ("0.3", "", "pruned")
    assert len(csv_rows(admin.get(f"{LIST}{runs[0].pk}/tables/epochs.csv"))) == 2
    assert admin.get(f"{tables}/nothing.csv").status_code == 404


def test_the_list_of_runs_comes_as_csv(admin: Client, runs) -> None:
    html = admin.get(f"{LIST}?kind__exact=search").content.decode()
    assert f'href="{LIST}export.csv?kind__exact=search"' in html
    [row] = csv_rows(admin.get(f"{LIST}export.csv?kind__exact=search"))
    assert (row["id"], row["kind"], row["status"]) == (str(runs[1].pk), "search", "succeeded")
    assert admin.get(f"{LIST}export.csv?nonsense=1").status_code == 404
    assert Client().get(f"{LIST}export.csv").status_code == 302
