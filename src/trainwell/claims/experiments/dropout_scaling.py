"""The lecture's dropout: units are dropped while training, and weights scaled when predicting.

Networks are trained with inverted dropout, h∘m / keep; in the lecture's form, h∘m with weights
w / keep, they are the same. Predicting with those weights unscaled multiplies every hidden output
by 1 / keep; scaling by the share that was dropped, where that is what p stands for, by drop / keep.
"""

from __future__ import annotations

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, scores, trained
from trainwell.claims.stacked_rows import stacked_rows
from trainwell.claims.trials import Setup


def run(setup: Setup) -> Measured:
    """Accuracy and log loss with each way of scaling, on decision rows."""
    drop = float(setup.claim.settings.get("drop", 0.5))
    rows = stacked_rows(setup)
    how = Training(drop=drop, steps=setup.size.steps or 300)
    nets = trained(*rows.train, rows.classes, how, rows.seed)
    factors = {"scaled": 1.0, "unscaled": 1 / (1 - drop), "by dropped share": drop / (1 - drop)}
    found = {name: scores(nets, *rows.decision, factor=f) for name, f in factors.items()}
    return Measured(
        {
            "accuracy": {name: a for name, (a, _) in found.items()},
            "log_loss": {name: loss for name, (_, loss) in found.items()},
        },
        rows.test_share,
        rows.decided,
        frozenset({"accuracy"}),
    )
