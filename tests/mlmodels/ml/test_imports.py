import subprocess
import sys

import pytest

SERVING = [
    "engine",
    "artifact",
    "calibration",
    "answers",
    "answer_calibration",
    "answer_measures",
    "metrics",
    "conformal",
    "preprocessing",
    "layers",
    "head",
    "pooling",
    "card",
    "reference",
    "dataset",
]


@pytest.mark.parametrize("module", SERVING)
def test_serving_loads_no_training_framework(module):
    code = (
        f"import sys, mlmodels.ml.{module}\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy', 'onnx', 'django'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
