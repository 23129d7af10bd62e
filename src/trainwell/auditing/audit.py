"""`trainwell augment`: was the augmentation done correctly? Each one audited, and a verdict.

Every augmentation is looked at (labels, likeness) at several strengths without training; trained
at the strengths that keep labels, in a few cells, to choose one; then trained against none in
other cells (same folds, fresh seeds), which decide. What helps is combined, and audited once more.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.arms import Arena, cells_of
from trainwell.auditing.auditor import Auditor, Plan
from trainwell.auditing.gains import Audited
from trainwell.auditing.subjects import proposed, subject_of
from trainwell.auditing.trials import Trials
from trainwell.budget import parse_time
from trainwell.clock import now
from trainwell.data.dataset import Dataset, Kind
from trainwell.data.split import Fold, Split, make_split, sample_rows
from trainwell.engine.threads import same_threads
from trainwell.errors import UserError
from trainwell.options import TEST_SHARE, Options, chosen_recipe
from trainwell.progress import Progress
from trainwell.recipe import Recipe, fields_as_text
from trainwell.request import Request
from trainwell.seeding import stream_seed
from trainwell.techniques.augment.own import Own
from trainwell.techniques.models import Cnn
from trainwell.techniques.named import TRUST_IT
from trainwell.training import stop_at_interrupt

STRENGTHS = (0.5, 1.0, 2.0)
FOLDS, SWEPT = 5, 3  # folds; those of them in which strengths are swept
CELLS = 10  # trainings of each arm that decide, at least
ROWS = 3000  # development rows that take part, at most
BUDGET = 120.0  # seconds


@dataclass(frozen=True, eq=False)
class Audit:
    """All audited augmentations of a data set."""

    data: Dataset
    recipe: Recipe
    audited: tuple[Audited, ...]
    notes: tuple[str, ...]
    trials: Trials = field(repr=False)
    interrupted: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As `augment --json` prints it."""
        return {
            "data": self.data.name,
            "kind": self.data.kind,
            "augmentations": [a.to_json() for a in self.audited],
            "recipe": fields_as_text(self.recipe),
            "use": self.use,
            "notes": list(self.notes),
            "interrupted": self.interrupted,
            "seconds": round(self.seconds, 2),
        }

    @property
    def use(self) -> str:
        """The setting to use: that of the best that helps; "()" where nothing does."""
        helping = [a for a in self.audited if a.verdict.word == "helps" and a.subject.setting]
        if not helping:
            return "()"

        def gain(a: Audited) -> float:
            return a.evidence.gain.difference.value if a.evidence.gain else -math.inf

        return max(helping, key=gain).subject.setting


def audit(
    source: Any,
    things: Sequence[Any] | None = None,
    *,
    target: str | None = None,
    group: str | None = None,
    kind: Kind | None = None,
    pattern: str | None = None,
    image_size: int | None = None,
    test: float | str | Path = TEST_SHARE,
    strengths: Sequence[float] = STRENGTHS,
    folds: int = FOLDS,
    seeds: int | None = None,
    rows: int = ROWS,
    budget: str | float | None = None,
    seed: int = 0,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    own: Sequence[str] = (),
    jobs: int | str | None = None,
    trust: bool = False,
    quiet: bool = True,
) -> Audit:
    """Audit augmentations of labelled data: do they help, and are they right?

    things: augmentations (`tw.Rotate(15)`, or their text), functions of a batch, `Samples` with
    labels, or several augmentations as a tuple; None: what the lecture names for this kind of data.
    own: functions named as "module:function", which need trust. The sealed test part stays sealed.
    Raises UserError for what the user can mend.
    """
    began = time.monotonic()
    seconds = BUDGET if budget is None else parse_time(str(budget))
    _check(strengths, folds, seeds, rows)
    if own and not trust:
        raise UserError("--own", f'names code that would be run, "{own[0]}"', TRUST_IT)
    for text in own:
        Own(text).found()  # a name that is not there is better known now
    request = Request(
        source,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test,
    )
    data = request.read()
    options = Options(recipe=recipe, settings=settings or {}, trust=trust)
    chosen = dataclasses.replace(chosen_recipe(data, options), augment=())
    notes: tuple[str, ...] = ()
    if recipe is None and not (settings and "model" in settings):
        chosen, notes = lighter(chosen)
    named = [subject_of(t, i) for i, t in enumerate(things)] if things is not None else []
    named += [subject_of(Own(text)) for text in own]
    if not named:
        named = proposed(data.schema, chosen)
    split = make_split(data, seed=seed, folds=folds, test=request.options.test)
    split, more = smaller(data, split, rows, seed)
    cells = max(2, math.ceil(CELLS / len(split.folds))) if seeds is None else seeds
    sweep = [c for c in cells_of(len(split.folds), 1, seed) if c.fold < SWEPT]
    plan = Plan(
        tuple(strengths),
        tuple(sweep) if len(strengths) > 1 else (),
        tuple(cells_of(len(split.folds), cells, seed, first=1)),
    )
    with same_threads(), Progress(quiet=quiet) as progress:
        for note in split.notes:
            progress.say(note)
        arena = Arena(data, split, seed, jobs=jobs, steady=True)
        arena.show = lambda seen: progress.update(seen.share, f"{seen.epochs} epochs")
        deadline = now() + seconds - (time.monotonic() - began)
        auditor = Auditor(Trials(arena, chosen), plan, named, progress, deadline)
        with stop_at_interrupt(auditor.trials):
            audited = auditor.run()
    return Audit(
        data,
        auditor.trials.recipe,
        tuple(audited),
        (*notes, *more, *auditor.notes),
        auditor.trials,
        auditor.trials.stop,
        time.monotonic() - began,
    )


def _check(strengths: Sequence[float], folds: int, seeds: int | None, rows: int) -> None:
    """Raise UserError for what cannot be asked for, before any work."""
    if not strengths or any(not 0 < s <= 100 for s in strengths):
        problem = f"expected numbers above 0, at most 100, got {list(strengths)}"
        raise UserError("--strengths", problem, "Write for instance 0.5,1,2.")
    if not 2 <= folds <= 50:
        raise UserError("--folds", f"expected a whole number from 2 to 50, got {folds}")
    if seeds is not None and not 1 <= seeds <= 100:
        raise UserError("--seeds", f"expected a whole number from 1 to 100, got {seeds}")
    if rows < 50:
        raise UserError("--rows", f"expected 50 or more, got {rows}")


def lighter(recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with half as many maps, so that many arms fit into the time, and a note of it."""
    if not isinstance(recipe.model, Cnn):
        return recipe, ()
    model = replace(recipe.model, channels=tuple(max(8, c // 2) for c in recipe.model.channels))
    words = f"a network of half the usual size, {model!r}; --recipe or --set model=... names yours"
    return dataclasses.replace(recipe, model=model), (words,)


def smaller(data: Dataset, split: Split, rows: int, seed: int) -> tuple[Split, tuple[str, ...]]:
    """The split with at most so many development rows in its folds, and a note where that is less
    than there are."""
    if len(split.development) <= rows:
        return split, ()
    keep = sample_rows(split.development, data.labels, rows, stream_seed(seed, "rows"))
    folds = tuple(
        Fold(np.intersect1d(f.train, keep), np.intersect1d(f.validation, keep)) for f in split.folds
    )
    words = (
        f"{rows:,} of {len(split.development):,} rows take part; with more training rows an "
        "augmentation gains less"
    )
    return dataclasses.replace(split, folds=folds), (words,)
