"""Waits for the evaluation of the model in production."""

import time

from mlmodels.models import ModelVersion
from supervision.evaluations.on_demand import Evaluating, evaluations_ask

LOOK_EVERY_S = 1.0


def accuracy_wait(*, version: ModelVersion, timeout_s: float) -> Evaluating | None:
    """Have a worker evaluate a version, unless that is done; wait for it at most `timeout_s`.

    Returns None once its Evaluation is stored, else how far it is, or why it failed.
    """
    deadline = time.monotonic() + timeout_s
    while (under_way := evaluations_ask(versions=[version])) is not None:
        left = deadline - time.monotonic()
        if under_way.error or left <= 0:
            break
        time.sleep(min(LOOK_EVERY_S, left))
    return under_way
