"""Targets with which one network learns what an ensemble knows. Slide: "Ensemble".

An ensemble of M networks costs M times the computation of one. A student that is trained on the
ensemble's probabilities keeps part of its gain at the price of one network.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.calibrate import scaled
from trainwell.ensemble.rows import Bools, Floats, Ints
from trainwell.errors import UserError


def soft_targets(
    teacher: Floats, labels: Ints, share: float = 0.5, temperature: float = 1.0
) -> npt.NDArray[np.float32]:
    """Targets (N, C) in float32: (1 - share) · one-hot label + share · teacher's probabilities.

    Cross-entropy is linear in its target, so training on these is training on
    (1 - share) · CE(label) + share · CE(teacher). Give them to the engine as `Examples.targets`.
    teacher: (N, C); rows that are nan keep their label alone. It should be out of fold: networks
    that were trained on a row repeat its label, right or wrong, and teach nothing.
    temperature: T > 1 softens the teacher, so that its second choices can be seen; the student's
    outputs are not divided by T, so with T far from 1 its probabilities are too soft afterwards
    (`calibrate.temperature` mends that).
    The teachers of a row were trained on rows of other folds: judge the student on test rows, not
    on the validation rows of a fold, whose labels the teachers have seen.
    Source: Hinton, Vinyals and Dean 2015.

    >>> soft_targets(np.array([[0.75, 0.25], [np.nan, np.nan]]), np.array([0, 1])).tolist()
    [[0.875, 0.125], [0.0, 1.0]]
    """
    if not 0 <= share <= 1:
        raise UserError("share", f"expected a number in [0, 1], got {share}", "0.5 is usual.")
    if teacher.ndim != 2 or len(teacher) != len(labels):
        problem = f"expected (rows, classes) for {len(labels)} rows, got {teacher.shape}"
        raise UserError("teacher", problem, "Give one row of probabilities per label.")
    hard = np.eye(teacher.shape[1])[labels]
    silent: Bools = np.asarray(np.isnan(teacher).any(axis=1))
    known = scaled(np.where(silent[:, None], hard, teacher), temperature)
    soft = np.where(silent[:, None], hard, known)
    return ((1 - share) * hard + share * soft).astype(np.float32)
