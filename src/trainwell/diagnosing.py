"""`trainwell diagnose`: what a finished training says, whoever trained it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from trainwell.doctor.collect import from_run
from trainwell.doctor.diagnose import Diagnosis
from trainwell.doctor.diagnose import diagnose as apply_rules
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.foreign import read_histories
from trainwell.errors import UserError


def diagnose(
    source: Evidence | str | Path | Sequence[str | Path],
    *,
    classes: int | None = None,
    val_rows: int | None = None,
) -> Diagnosis:
    """Findings about a training, worst first, and what cannot be decided from what was kept.

    source: the folder of a run; a history that another program wrote (CSV of Keras or Lightning,
    TensorBoard event files or their folder, any CSV with named columns), or several, one of each
    repetition; or evidence. classes, val_rows: what foreign histories do not say, and rules ask
    for: the number of classes and of validation rows. Raises UserError for what cannot be read,
    and for a run together with anything else.
    """
    return apply_rules(evidence_of(source, classes=classes, val_rows=val_rows))


def evidence_of(
    source: Evidence | str | Path | Sequence[str | Path],
    *,
    classes: int | None = None,
    val_rows: int | None = None,
) -> Evidence:
    """What there is to look at."""
    if isinstance(source, Evidence):
        return source
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(p) for p in source]
    if not paths:
        raise UserError("diagnose", "nothing was named", "Name a run folder or a history file.")
    for path in paths:
        if not path.exists():
            todo = "Name the folder of a run, a CSV file or TensorBoard event files."
            raise UserError(str(path), "does not exist", todo)
    runs = [path for path in paths if (path / "run.json").is_file()]
    if runs and len(paths) > 1:
        problem = f"is a run, one of {len(paths)} that were named: a run is looked at alone, with "
        problem += "its probes and checks"
        todo = "Name one run at a time, or only histories (a run's is its history.csv)."
        raise UserError(str(runs[0]), problem, todo)
    if runs:
        if classes is not None or val_rows is not None:
            option = "--classes" if classes is not None else "--val-rows"
            problem = "a run knows its classes and its validation rows"
            raise UserError(f"diagnose, {option}", problem, "Leave it out.")
        return from_run(runs[0])
    evidence = read_histories(paths)
    return dataclasses.replace(
        evidence,
        classes=classes if classes is not None else evidence.classes,
        val_rows=val_rows if val_rows is not None else evidence.val_rows,
    )
