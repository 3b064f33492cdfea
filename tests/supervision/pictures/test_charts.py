"""The admin's charts: well-formed, with a text description, and matplotlib imported late."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.utils import timezone

from supervision.pictures.charts import (
    AccuracyPoint,
    VersionChange,
    accuracy_over_time_svg,
    learning_curves_svg,
    predictions_per_day_svg,
    trials_svg,
)
from supervision.pictures.compared_curves import compared_curves_svg
from supervision.pictures.parallel import parallel_svg
from supervision.pictures.reliability import reliability_svg
from supervision.pictures.svg import ChartLink, draw_svg
from tests.support.paths import PROJECT

SVG = "{http://www.w3.org/2000/svg}"
HISTORY: list[dict[str, Any]] = [
    {"epoch": 0, "loss": None, "accuracy": 0.5, "nll": 1.25, "seconds": 3.0},
    {"epoch": 1, "loss": 0.731, "accuracy": 0.625, "nll": 1.125, "seconds": 9.0},
]
DAY = datetime(2026, 11, 1, tzinfo=UTC)
POINTS = [
    AccuracyPoint(DAY, 0.86, 0.81, 0.9),
    AccuracyPoint(DAY + timedelta(days=9), 0.66, 0.6, 0.72),
]
CHANGES = [VersionChange(DAY, "VGG16 1")]
DAYS = [(date(2026, 11, 1) + timedelta(days=n), 3 * n, int(n == 4)) for n in range(30)]
TRIALS = [
    {"number": number, "nll": nll, "state": state}
    for number, nll, state in (
        (0, 0.625, "complete"),
        (1, 0.5, "pruned"),
        (2, 0.5625, "complete"),
        (4, 0.75, "out of time"),
    )
]
SEARCHED = [
    {"number": 0, "nll": 0.6, "state": "complete", "parameters": {"views": 1}},
    *(
        {
            "number": n,
            "nll": nll,
            "state": state,
            "parameters": {"views": views, "learning_rate": rate},
        }
        for n, nll, state, views, rate in (
            (1, 0.75, "complete", 1, 0.0001),
            (2, 0.5, "complete", 2, 0.001),
            (3, 0.55, "pruned", 2, 0.01),
        )
    ),
]
BINS = [
    {"n": 22, "confidence": 0.41, "accuracy": 0.5, "ci95": [0.307, 0.693]},
    {"n": 23, "confidence": 0.885, "accuracy": 0.91, "ci95": [0.732, 0.976]},
    {"n": 23, "confidence": 0.9994, "accuracy": 1.0, "ci95": [0.857, 1.0]},
]
TOO_SURE = {"n": 23, "confidence": 0.985, "accuracy": 0.913, "ci95": [0.732, 0.976]}

CHARTS = {
    "curves": lambda: learning_curves_svg(HISTORY),
    "no epoch": lambda: learning_curves_svg([]),
    "epoch 0 alone": lambda: learning_curves_svg(HISTORY[:1]),
    "compared": lambda: compared_curves_svg([("first", HISTORY), ("second", HISTORY[1:])]),
    "parallel": lambda: parallel_svg(SEARCHED),
    "accuracy": lambda: accuracy_over_time_svg(
        POINTS, CHANGES, target=0.7, until=DAY + timedelta(days=12)
    ),
    "days": lambda: predictions_per_day_svg(DAYS),
    "no prediction": lambda: predictions_per_day_svg([(day, 0, 0) for day, _, _ in DAYS]),
    "trials": lambda: trials_svg(TRIALS),
    "no trial done": lambda: trials_svg(TRIALS[1:2]),
    "reliability": lambda: reliability_svg(BINS),
    "reliability in one bin": lambda: reliability_svg(BINS[:1]),
}


def text_of(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def title_and_description(svg: str) -> tuple[str, str]:
    root = ElementTree.fromstring(svg)
    return root.findtext(f"{SVG}title", ""), root.findtext(f"{SVG}desc", "")


@pytest.mark.parametrize("chart", CHARTS)
def test_chart_is_an_svg_element_with_a_description(chart: str) -> None:
    svg = CHARTS[chart]()
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("width") is None, "the page's style says how wide it is"
    assert all(title_and_description(svg))


@pytest.mark.parametrize("chart", CHARTS)
def test_chart_takes_the_colour_of_the_page(chart: str) -> None:
    svg = CHARTS[chart]()
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        assert element.get("fill") == "currentColor"
    assert not re.search("#fff|#000|white|black", svg)


@pytest.mark.parametrize("chart", CHARTS)
def test_same_data_gives_the_same_picture(chart: str) -> None:
    first = CHARTS[chart]()
    draw_svg.cache_clear()
    assert CHARTS[chart]() == first
    assert CHARTS[chart]() is CHARTS[chart](), "drawn again although nothing has changed"


def test_an_id_means_the_same_in_all_charts_of_a_page() -> None:
    ids: dict[str, str] = {}
    for svg in (CHARTS["curves"](), CHARTS["days"](), CHARTS["parallel"](), CHARTS["accuracy"]()):
        for element in ElementTree.fromstring(svg).iter():
            if (name := element.get("id")) is not None:
                content = ElementTree.tostring(element).decode()
                assert ids.setdefault(name, content) == content, "one id, two things"


@pytest.mark.parametrize("chart", CHARTS)
def test_chart_has_no_inline_style(chart: str) -> None:
    root = ElementTree.fromstring(CHARTS[chart]())
    assert not [element for element in root.iter() if "style" in element.attrib]
    assert not list(root.iter(f"{SVG}style"))
    assert {element.get("font-size", "")[-2:] for element in root.iter(f"{SVG}text")} <= {"px"}


def test_links_of_a_chart_have_names() -> None:
    links = tuple(ChartLink(f"/photos?bin={n}&all=1", f"bin {n}") for n in range(len(BINS)))
    root = ElementTree.fromstring(reliability_svg(BINS, links))
    assert root.get("role") == "group", "the parts of an image are not read to anybody"
    found = [(link.get("href"), link.get("aria-label")) for link in root.iter(f"{SVG}a")]
    assert found == [(link.url, link.name) for link in links]


def test_compared_curves_show_both_trainings() -> None:
    svg = CHARTS["compared"]()
    assert {"first", "second"} <= set(text_of(svg))
    assert "second after epoch 1: validation accuracy 62.5\xa0%" in title_and_description(svg)[1]
    assert compared_curves_svg([("first", []), ("second", HISTORY[:1])]) == "", "no epochs"


def test_parallel_coordinates_show_the_searched_parameters_and_the_best_trial() -> None:
    svg = CHARTS["parallel"]()
    words = text_of(svg)
    assert {"best", "completed", "stopped early"} <= set(words)
    assert {"0.0001", "0.01", "0.5", "0.75"} <= set(words), "the ends of the axes"
    assert title_and_description(svg)[1] == (
        "3 trials with all parameters. The best has 0.500 nats: learning rate 0.001, views 2."
    )
    assert parallel_svg(SEARCHED[:2]) == "", "one trial has all parameters"


def test_reliability_shows_every_bin_and_marks_the_scores_that_are_wrong() -> None:
    svg = CHARTS["reliability"]()
    words = text_of(svg)
    assert {"41.0", "88.5", "99.9"} <= set(words)
    assert "mean best score (%) of about 23 photos each" in words
    assert "score 88.5 %: 91.0 % right (73.2 to 97.6 %)" in title_and_description(svg)[1]
    outside = "right answers, score outside the interval"
    assert "right answers" in words
    assert outside not in words
    words = text_of(reliability_svg([*BINS[:2], TOO_SURE, BINS[2]]))
    assert {"right answers", outside} <= set(words)
    assert "right answers" not in text_of(reliability_svg([TOO_SURE]))


def test_species_with_markup_in_its_name_is_only_text() -> None:
    svg = compared_curves_svg([("<script>alert(1)</script> & co", HISTORY)])
    assert "<script" not in svg
    assert "<script>alert(1)</script> & co" in text_of(svg)


def test_learning_curves_describe_the_last_epoch() -> None:
    assert title_and_description(CHARTS["curves"]())[1] == (
        "After epoch 1: accuracy 62.5\xa0%, negative log-likelihood 1.125. Training loss 0.731."
    )
    assert "Training loss" not in title_and_description(CHARTS["epoch 0 alone"]())[1]


def ticks_of_the_accuracy(svg: str) -> list[int]:
    """Return the numbers beside the axis of the accuracy of the learning curves."""
    [panel] = [
        element
        for element in ElementTree.fromstring(svg).iter(f"{SVG}g")
        if any("accuracy (%)" in (text.text or "") for text in element.findall(f"{SVG}g/{SVG}text"))
    ]
    texts = [element.text or "" for element in panel.iter(f"{SVG}text")]
    return [int(float(text)) for text in texts if re.fullmatch(r"[0-9.]+", text)]


def test_an_accuracy_axis_ends_at_100_percent() -> None:
    perfect = [dict(entry, accuracy=1.0) for entry in HISTORY]
    assert max(ticks_of_the_accuracy(learning_curves_svg(perfect))) == 100
    assert max(ticks_of_the_accuracy(CHARTS["curves"]())) < 100
    high = [AccuracyPoint(DAY, 1.0, 0.97, 1.0)]
    svg = accuracy_over_time_svg(high, CHANGES, target=0.7, until=DAY + timedelta(days=12))
    assert max(int(text) for text in text_of(svg) if re.fullmatch("[0-9]{2,3}", text)) == 100


def test_learning_curves_say_that_the_photos_were_trained_on() -> None:
    svg = learning_curves_svg(HISTORY, validation_is_new=False)
    assert "accuracy on seen photos (%)" in text_of(svg)
    assert not any("validation" in text for text in text_of(svg))
    assert title_and_description(svg)[1] == (
        "After epoch 1: accuracy 62.5\xa0%, negative log-likelihood 1.125. Training loss 0.731. "
        "The version was trained on these photos before."
    )


def test_times_are_those_of_the_time_zone() -> None:
    evening = datetime(2026, 11, 1, 20, tzinfo=UTC)
    points = [AccuracyPoint(evening, 0.8, 0.7, 0.9)]

    def chart() -> str:
        return accuracy_over_time_svg(
            points, [], target=0.7, until=datetime(2026, 11, 2, 2, tzinfo=UTC)
        )

    in_utc = chart()
    assert "from 2026-11-01 80.0\xa0%" in title_and_description(in_utc)[1]
    with timezone.override("Asia/Tokyo"):
        in_tokyo = chart()
    assert "from 2026-11-02 80.0\xa0%" in title_and_description(in_tokyo)[1]
    assert {"20:00", "21:00"} & set(text_of(in_utc))
    assert not {"20:00", "21:00"} & set(text_of(in_tokyo))
    assert {"05:00", "06:00"} & set(text_of(in_tokyo))
    assert chart() == in_utc


def test_accuracy_over_time_shows_target_and_versions() -> None:
    svg = CHARTS["accuracy"]()
    assert {"target 70 %", "VGG16 1"} <= set(text_of(svg))
    assert "from 2026-11-10 66.0\xa0% (60.0\xa0% to 72.0\xa0%)" in title_and_description(svg)[1]


def test_names_of_versions_replaced_at_once_do_not_overlap() -> None:
    changes = [
        VersionChange(at=DAY + timedelta(minutes=minutes), version=version)
        for minutes, version in ((0, "VGG16 1"), (5, "VGG16 2"), (6, "VGG16 3"))
    ]
    svg = accuracy_over_time_svg(POINTS, changes, target=0.7, until=DAY + timedelta(days=12))
    assert [text for text in text_of(svg) if text.startswith("VGG16")] == ["VGG16 3"]


def test_days_show_failures_only_if_there_are_some() -> None:
    assert {"answered", "failed"} <= set(text_of(CHARTS["days"]()))
    assert "failed" not in text_of(CHARTS["no prediction"]())
    description = title_and_description(CHARTS["days"]())[1]
    assert description == "1305 answered and 1 failed in 30 days."


def test_trials_name_the_best_completed_one() -> None:
    description = title_and_description(CHARTS["trials"]())[1]
    assert description == "2 of 4 trials were completed. The best is trial 3 with 0.562 nats."


def test_charts_can_be_drawn_by_many_threads_at_once() -> None:
    alone = {name: chart() for name, chart in CHARTS.items()}
    draw_svg.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda name: CHARTS[name](), list(CHARTS)))
    assert together == list(alone.values())


def test_web_imports_matplotlib_with_the_first_chart_and_pyplot_never() -> None:
    probe = """
import sys
import champipy_site.wsgi
from django.urls import get_resolver
get_resolver().url_patterns
from supervision.pictures.charts import predictions_per_day_svg
print("matplotlib" in sys.modules, end=" ")
import datetime
predictions_per_day_svg([(datetime.date(2026, 11, 1), 1, 0)])
names = ("matplotlib", "matplotlib.pyplot", "scipy", "sklearn", "tensorflow")
print(*(name in sys.modules for name in names))
"""
    result = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "False True False False False False"
