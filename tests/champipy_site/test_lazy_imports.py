"""The web process and the inference worker import neither TensorFlow nor what is switched off."""

import subprocess
import sys

import pytest

from tests.support.paths import PROJECT

# redis imports OpenTelemetry wherever that is installed; its exporter is what sends traces.
PROBE = """
import sys
{work}
print({{"tensorflow", "keras", "opentelemetry.exporter", "mlflow"}} & {{*sys.modules}})
"""
WEB = """
import champipy_site.wsgi
from django.urls import get_resolver
get_resolver().url_patterns
"""
INFERENCE = """
import django; from django.conf import settings
import champipy_site.celery; django.setup()
import predictions.tasks
from pathlib import Path
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.preprocessing import decode_photo, to_input
from mlmodels.services import PRETRAINED
from tests.support.photos import drawn_photo
engine = read_artifact(PRETRAINED).load_engine()
engine.score(to_input(decode_photo(drawn_photo()), 224))
"""


def test_the_light_path_of_predict_imports_no_django() -> None:
    probe = (
        "import sys, predictions.terminal.__main__; print({'django', 'celery'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


@pytest.mark.parametrize("work", [WEB, INFERENCE], ids=["web", "inference"])
def test_serving_imports_no_tensorflow_and_no_extras(work: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROBE.format(work=work)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "set()"
