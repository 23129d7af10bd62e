"""Is an augmentation worth a training? The cheap part of the audit, for whoever proposes many."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainwell.arms import Arena, Arm
from trainwell.auditing.decide import UNCHANGED, Evidence, broken_words
from trainwell.auditing.looks import Reference
from trainwell.auditing.subjects import subject_of
from trainwell.auditing.trials import Trials


@dataclass(frozen=True)
class Worth:
    """Whether to train with it, and why not."""

    trying: bool
    words: str
    evidence: Evidence


def judge_of(arena: Arena, arm: Arm) -> Reference:
    """Networks of an arm as judges of augmented rows; keep it, to ask about several."""
    bare = dataclasses.replace(arm.recipe, augment=())
    return Reference(Trials(arena, bare), arm)


def worth_trying(augmentation: Any | Sequence[Any], judge: Reference) -> Worth:
    """Refuse what breaks labels or changes nothing, before anything is trained with it.

    augmentation: whatever can be audited: one of the family, several as a tuple, a function of a
    batch, or extra samples. It takes no training, about half a second for some thousand rows; that
    it is worth trying does not say that it helps.
    """
    subject = subject_of(augmentation)
    seen = judge.look(subject, thorough=False)
    classes = judge.trials.arena.data.classes
    if seen.leaks:
        return Worth(False, "its samples hold near copies of held-out rows", seen)
    if seen.breaks:
        return Worth(False, f"it breaks labels: {broken_words(seen.labels, classes)}", seen)
    if seen.moved is not None and seen.moved < UNCHANGED:
        return Worth(False, "it changes nothing", seen)
    return Worth(True, "labels are kept", seen)
