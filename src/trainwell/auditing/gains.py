"""What was gained, where, and at which price; the verdicts of several augmentations together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trainwell.arms import Arm
from trainwell.auditing.changed import Rows, changed_rows, clean_rows, understood
from trainwell.auditing.decide import Evidence, Verdict, decide
from trainwell.auditing.looks import FoldLook, Reference
from trainwell.auditing.shifted import FAR, FAR_SHARE, Shifted, shifts
from trainwell.auditing.subjects import Subject
from trainwell.auditing.trials import Trials, accuracies, chances, log_loss, networks
from trainwell.comparing_arms import held_out_share
from trainwell.data.split import Split
from trainwell.paired import PairedDifference, paired_difference
from trainwell.seeding import stream_seed
from trainwell.significance import holm
from trainwell.stats import Interval
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.mixing import CutMix, MixUp
from trainwell.verdict import verdict

DIVERSITY_ROWS = 300  # training rows of a fold on which losses are measured


@dataclass(frozen=True)
class Step:
    """One strength of an augmentation: what was seen without training, and the gain in the cells
    that choose (None: not trained there)."""

    strength: float
    evidence: Evidence
    gain: float | None = None


@dataclass(frozen=True, eq=False)
class Audited:
    """One augmentation after its audit, at the strength to use."""

    subject: Subject
    evidence: Evidence
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    found: PairedDifference | None = None
    shifted: tuple[tuple[str, Interval], ...] = ()
    cells: tuple[tuple[int, int, float, float], ...] = ()  # fold, seed, without, with

    def to_json(self) -> dict[str, Any]:
        """As `augment --json` prints it."""
        return {
            "name": self.subject.name,
            "strength": self.subject.strength,
            "setting": self.subject.setting,
            **self.evidence.to_json(),
            "verdict": self.verdict.word,
            "words": self.verdict.words,
            "by_strength": [
                {
                    "strength": s.strength,
                    "sweep_gain": s.gain,
                    **{k: v for k, v in s.evidence.to_json().items() if k not in ("gain", "p")},
                }
                for s in self.steps
            ],
            "shifted": {name: i.to_json() for name, i in self.shifted},
            "cells": [{"fold": f, "seed": s, "without": a, "with": b} for f, s, a, b in self.cells],
        }


@dataclass(eq=False)
class Arms:
    """The arm without augmentation: as judge, in the cells that decide, in those that sweep."""

    judge: Reference
    none: Arm
    sweep: Arm | None
    held: dict[tuple[str, int], Rows] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


def adjusted(audited: Sequence[Audited], classes: tuple[str, ...]) -> list[Audited]:
    """The verdicts where all are looked at together: p values by Holm."""
    known = [a for a in audited if a.found is not None]
    p = holm([a.found.p for a in known if a.found is not None]) if known else np.empty(0)
    by_name = {id(a): float(x) for a, x in zip(known, p, strict=True)}
    made = []
    for one in audited:
        if one.found is None:
            made.append(one)
            continue
        evidence = replace(one.evidence, gain=verdict(one.found, adjusted_p=by_name[id(one)]))
        made.append(replace(one, evidence=evidence, verdict=decide(evidence, classes)))
    return made


def combination(audited: Sequence[Audited]) -> Subject | None:
    """Everything that helps, together, the strongest gain first; None for fewer than two.

    Of techniques of one kind, and of those that mix examples, only the better one.
    """
    helping = [a for a in audited if a.verdict.word == "helps" and a.subject.extra is None]
    helping.sort(key=lambda a: -a.evidence.gain.difference.value if a.evidence.gain else 0.0)
    chosen: list[Audited] = []
    kinds: set[object] = set()
    for one in helping:
        mine = {MixUp if isinstance(t, CutMix) else type(t) for t in one.subject.augment}
        if not mine & kinds:
            kinds |= mine
            chosen.append(one)
    if len(chosen) < 2:
        return None
    together: tuple[Augment, ...] = tuple(t for a in chosen for t in a.subject.augment)
    return Subject(" + ".join(a.subject.name for a in chosen), together)


def diversity(trials: Trials, arms: Arms, arm: Arm, subject: Subject) -> float | None:
    """Final training loss with augmentation, on augmented rows, over that without, on clean rows.

    Above 1: harder to learn, hence not yet learned by heart. Source: Gontijo-Lopes et al. 2021.
    """
    if subject.extra is not None or not understood(subject.augment):
        return None
    arena, recipe = trials.arena, trials.recipe
    losses = []
    kept = [t for t in arm.trained if t is not None]
    model = networks(arena, recipe, kept)
    for look in arms.judge.folds:
        rows = look.train_rows[:: max(1, len(look.train_rows) // DIVERSITY_ROWS)]
        mine = [p for p in model.parts if p.fold == look.fold][:1]
        seed = stream_seed(arena.seed, "diversity", look.fold)
        changed = changed_rows(arena, recipe, look.fold, rows, subject.augment, seed)
        clean = clean_rows(arena, recipe, look.fold, rows)
        losses.append(
            (
                log_loss(chances(mine, changed.features), changed.labels),
                log_loss(chances(look.parts[:1], clean.features), clean.labels),
            )
        )
    with_it, without = np.mean(losses, axis=0)
    return float(with_it / max(without, 1e-9))


def shifted_gains(trials: Trials, arms: Arms, arm: Arm) -> dict[str, np.ndarray[Any, Any]]:
    """By name of the shifted hold-out: what the arm gains there, cell by cell (n,)."""
    arena, recipe = trials.arena, trials.recipe
    kept = [t for t in arm.trained if t is not None]
    parts = networks(arena, recipe, kept).parts
    place = {look.fold: i for i, look in enumerate(arms.judge.folds)}
    which = [place[c.fold] for c in arm.cells]
    found = {}
    for shift in shifts(arena.data.schema):
        rows = [_held(trials, arms, shift, look) for look in arms.judge.folds]
        if shift.name not in arms.scores:
            first = [t for t in arms.none.trained if t is not None]
            none = networks(arena, recipe, first).parts
            arms.scores[shift.name] = accuracies(none, rows, which)
        found[shift.name] = accuracies(parts, rows, which) - arms.scores[shift.name]
    return found


def _held(trials: Trials, arms: Arms, shift: Shifted, look: FoldLook) -> Rows:
    """A fold's shifted hold-out."""
    key = (shift.name, look.fold)
    if key not in arms.held:
        rows = look.held_rows
        if shift.name == FAR:
            far = look.near.min(axis=1)
            rows = rows[np.sort(np.argsort(-far)[: max(1, round(FAR_SHARE * len(far)))])]
        seed = stream_seed(trials.arena.seed, "shifted", shift.name, look.fold)
        arms.held[key] = changed_rows(
            trials.arena, trials.recipe, look.fold, rows, shift.augment, seed
        )
    return arms.held[key]


def mean_difference(split: Split, several: Sequence[Any]) -> Interval:
    """The mean over several hold-outs of what is gained, cell by cell (n,), with its interval."""
    cells = np.mean(several, axis=0)
    folds = len(split.folds)
    number = np.arange(len(cells)) % folds
    zeros = np.zeros(len(cells))
    seeds = np.arange(len(cells)) // folds
    rows = sum(len(f.validation) for f in split.folds)
    return paired_difference(cells, zeros, number, seeds, held_out_share(split), rows).interval
