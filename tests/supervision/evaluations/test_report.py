import numpy as np
import pytest

from mlmodels.ml.metrics import evaluate
from supervision.evaluations.report import evaluation_report, size_text

LABELS = ("Amanita muscaria", "Coprinus comatus")


@pytest.fixture
def metrics() -> dict:
    """Return the metrics of ten photos, eight of them named right with scores of 90 %."""
    truth = np.array([0, 1] * 5)
    answers = np.where(np.arange(10) < 2, 1 - truth, truth)
    logits = np.log(np.where(answers[:, None] == [0, 1], 0.9, 0.1))
    sides = [160] * 4 + [320] * 5 + [2000]
    figures = evaluate(logits, truth, LABELS, longer_sides=sides).as_dict()
    return figures | {"ece_uncalibrated": 0.123}


def test_report_says_how_good_a_version_is(metrics) -> None:
    lines = evaluation_report(metrics, LABELS).splitlines()
    assert lines[:4] == [
        "accuracy 80.0% of 10 photos (95 % interval 49.0% to 94.3%)",
        "up to 160 pixels: 50.0% of 4 (15.0% to 85.0%)",
        "161 to 320 pixels: 100.0% of 5 (56.6% to 100.0%)",
        "over 1280 pixels: 100.0% of 1 (20.7% to 100.0%)",
    ]
    assert lines[4].startswith("calibration error without the bias of few photos: 0.0% (0.0% to ")
    assert lines[5] == (
        "expected calibration error 10.0% (without temperature 12.3%), mean best score 90.0%"
    )
    assert "  90.0%:  80.0% of 10 right (49.0% to 94.3%)" in lines
    assert [line.split() for line in lines[-2:]] == [
        ["1", "Amanita", "muscaria", "80%", "4", "1"],
        ["2", "Coprinus", "comatus", "80%", "1", "4"],
    ]


def test_report_of_metrics_that_an_older_champipy_stored(metrics) -> None:
    for name in ("calibration", "reliability", "per_size"):
        del metrics[name]
    lines = evaluation_report(metrics, LABELS).splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("expected calibration error 10.0%")


@pytest.mark.parametrize(
    ("above", "up_to", "text"),
    [
        (0, 160, "up to 160 pixels"),
        (160, 320, "161 to 320 pixels"),
        (1280, None, "over 1280 pixels"),
    ],
)
def test_size_text(above, up_to, text) -> None:
    assert size_text({"above": above, "up_to": up_to}) == text
