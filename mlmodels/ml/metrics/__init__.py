"""How good a model is on labelled photos that it was not trained on. NumPy only."""

from mlmodels.ml.metrics.calibration_error import (
    CalibrationEstimate,
    ReliabilityBin,
    debiased_calibration_error,
    reliability_bins,
)
from mlmodels.ml.metrics.evaluation import (
    EvaluationMetrics,
    SizeMetrics,
    SpeciesMetrics,
    confusion_matrix,
    evaluate,
)
from mlmodels.ml.metrics.ranking import (
    Auroc,
    GroupScope,
    PairedAuroc,
    auroc,
    paired_auroc,
    scope_by_group,
)
from mlmodels.ml.metrics.shares import (
    SIGNIFICANCE_LEVEL,
    GroupAccuracy,
    accuracy_by_group,
    mcnemar_p_value,
    wilson_interval,
)

__all__ = [
    "SIGNIFICANCE_LEVEL",
    "Auroc",
    "CalibrationEstimate",
    "EvaluationMetrics",
    "GroupAccuracy",
    "GroupScope",
    "PairedAuroc",
    "ReliabilityBin",
    "SizeMetrics",
    "SpeciesMetrics",
    "accuracy_by_group",
    "auroc",
    "confusion_matrix",
    "debiased_calibration_error",
    "evaluate",
    "mcnemar_p_value",
    "paired_auroc",
    "reliability_bins",
    "scope_by_group",
    "wilson_interval",
]
