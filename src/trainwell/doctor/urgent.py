"""What is worth saying of a training that goes on: what will not mend itself."""

from __future__ import annotations

import numpy as np

from trainwell.doctor import reading
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding
from trainwell.doctor.thresholds import THRESHOLDS, Thresholds

_SURE = ("R01", "N12", "N13", "I01")  # broken, whatever comes


def urgent(evidence: Evidence, limits: Thresholds = THRESHOLDS) -> list[Finding]:
    """Faults and warnings that hold whatever comes, worst first.

    A loss that is not finite, weights that cannot move, equal weights, a loss that is climbed; a
    rate that is too high where the loss is no lower than it began, and units that died where
    nothing was learned. Of a rate that is too low nothing is said: a curve shows it at its end.
    """
    found = diagnose(evidence, limits, ended=False).findings
    return [
        f
        for f in found
        if (f.level in ("fault", "warning") and f.code in _SURE)
        or (f.code == "R02" and f.level == "fault" and _is_no_lower(evidence, limits))
        or (f.code == "R06" and f.level != "note" and reading.is_stuck(evidence, limits))
    ]


def _is_no_lower(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether the training loss has not fallen since its first point, or is not finite."""
    if reading.broken(evidence).any():
        return True
    loss = reading.trend(evidence, "train_loss")
    loss = loss[:, np.isfinite(loss).any(axis=0)]
    if loss.shape[1] < 2 or reading.is_brief(evidence, limits):
        return False
    count = max(1, int(limits.tail * loss.shape[1]))
    return bool((np.nanmean(loss[:, -count:], axis=1) >= loss[:, 0]).all())
