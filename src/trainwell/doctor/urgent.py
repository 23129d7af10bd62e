"""What is worth saying of a training that goes on: what will not mend itself."""

from __future__ import annotations

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding
from trainwell.doctor.thresholds import THRESHOLDS, Thresholds

_SURE = ("R01", "N12", "N13", "I01")  # broken, whatever comes
_HARDLY = 0.9  # of the loss in the middle of what was seen: a training that works falls by more


def urgent(evidence: Evidence, limits: Thresholds = THRESHOLDS) -> list[Finding]:
    """Faults and warnings that hold whatever comes, worst first.

    A loss that is not finite, weights that cannot move, equal weights, a loss that is climbed; a
    rate that is too high where the loss no longer falls, and units that died where
    nothing was learned. Of a rate that is too low nothing is said: a curve shows it at its end.
    """
    found = diagnose(evidence, limits, ended=False).findings
    return [
        f
        for f in found
        if (f.level in ("fault", "warning") and f.code in _SURE)
        or (f.code == "R02" and f.level == "fault" and _falls_no_more(evidence, limits))
        or (f.code == "R06" and f.level != "note" and reading.is_stuck(evidence, limits))
    ]


def _falls_no_more(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether the training loss is not finite, or its end hardly lower than its middle."""
    if reading.broken(evidence).any():
        return True
    if reading.is_brief(evidence, limits):
        return False
    loss = [c for c in reading.trend(evidence, "train_loss") if np.isfinite(c).sum() >= 5]
    ends = [series.part(c, 1 - limits.tail).mean() for c in loss]
    middles = [series.part(c, 0.4, 0.6).mean() for c in loss]
    return bool(loss) and all(e >= _HARDLY * m for e, m in zip(ends, middles, strict=True))
