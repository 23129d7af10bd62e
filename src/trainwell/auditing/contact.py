"""Contact sheets: examples beside their augmented copies, weak to strong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena
from trainwell.auditing.audit import Audit
from trainwell.auditing.changed import changed_rows, flat, signals_of, understood
from trainwell.auditing.gains import Audited
from trainwell.auditing.subjects import Subject
from trainwell.auditing.trials import Trials
from trainwell.data.dataset import AudioSchema, IntArray, TableSchema
from trainwell.data.split import sample_rows
from trainwell.doctor.simple_models import nearest
from trainwell.seeding import stream_seed
from trainwell.techniques.augment.base import SIGNALS, Augmentation

SHOWN = 10  # examples of a sheet,
HEARD = 3  # fewer of sound


@dataclass(frozen=True, eq=False)
class Sheet:
    """Examples (R) beside their augmented copies (S columns in all, the first is the original).

    kind: "pictures" (R, S, C, H, W) in [0, 1], "clips" (R, S, T) in [-1, 1], "features" (R, S,
    bands, frames) of spectrograms that were changed behind the pre-processing, or "rows"
    (R, S, D) of a table. columns, rows: what stands above and beside them. fields: names (D,).
    """

    name: str
    kind: str
    values: npt.NDArray[np.float32]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    rate: int = 0
    fields: tuple[str, ...] = ()


def sheets(found: Audit) -> list[Sheet]:
    """A sheet for every audited augmentation that can be shown."""
    made = [sheet_of(found.trials, one) for one in found.audited]
    return [s for s in made if s is not None]


def sheet_of(trials: Trials, one: Audited) -> Sheet | None:
    """The sheet of one augmentation at rising strength; the strength to use is marked."""
    arena, subject = trials.arena, one.subject
    if subject.extra is not None:
        return _of_samples(trials, subject)
    if not understood(subject.augment):
        return None
    rows = _examples(arena, one)
    base = subject.at(1 / subject.strength) if one.steps and subject.strength != 1 else subject
    strengths = [s.strength for s in one.steps] or [1.0]
    columns = ["original"]
    first, kind = _seen(trials, rows, (), subject)
    values = [first]
    for strength in strengths:
        changed = subject if strength == subject.strength else base.at(strength)
        values.append(_seen(trials, rows, changed.augment, subject)[0])
        chosen = strength == subject.strength and len(strengths) > 1
        columns.append(f"×{strength:g}{' (chosen)' if chosen else ''}")
    labels = tuple(arena.data.classes[c] for c in arena.data.labels[rows])
    return _sheet(arena, subject.name, kind, values, tuple(columns), labels)


def _sheet(
    arena: Arena,
    name: str,
    kind: str,
    values: Sequence[npt.NDArray[Any]],
    columns: tuple[str, ...],
    rows: tuple[str, ...],
) -> Sheet:
    rate = arena.data.schema.rate if isinstance(arena.data.schema, AudioSchema) else 0
    fields: tuple[str, ...] = ()
    if isinstance(arena.data.schema, TableSchema):
        fields = tuple(f.name for f in arena.data.schema.features)
    stacked = np.stack(values, axis=1).astype(np.float32)
    return Sheet(name, kind, stacked, columns, rows, rate, fields)


def _examples(arena: Arena, one: Audited) -> IntArray:
    """Held-out rows to show: one of each class, first those of the class that loses most labels."""
    data = arena.data
    fold = arena.split.folds[0].validation
    most = HEARD if data.kind == "audio" else SHOWN
    some = sample_rows(fold, data.labels, 200, stream_seed(arena.seed, "shown"))
    _, first = np.unique(data.labels[some], return_index=True)
    chosen = some[first]
    labels = one.evidence.labels
    if labels is not None and labels.worst is not None and one.evidence.breaks:
        worst = labels.worst[0]
        mine = some[data.labels[some] == worst][:3]
        chosen = np.concatenate([mine, chosen[data.labels[chosen] != worst]])
    return np.asarray(chosen[:most])


def _seen(
    trials: Trials, rows: IntArray, augment: Sequence[Any], subject: Subject
) -> tuple[npt.NDArray[Any], str]:
    """Rows (R, ...) as a person would see them after an augmentation, and of what kind."""
    arena = trials.arena
    seed = stream_seed(arena.seed, "sheet")
    before = all(isinstance(a, Augmentation) and a.acts_on in SIGNALS for a in subject.augment)
    if before and arena.data.kind != "table":
        x = signals_of(arena, rows, augment, seed).float().numpy()
        return x, "pictures" if arena.data.kind == "images" else "clips"
    if arena.data.kind == "images":
        x = _unscaled(trials, rows, augment, seed)
        return x, "pictures"
    changed = changed_rows(arena, trials.recipe, 0, rows, augment, seed).features.float().numpy()
    if changed.ndim >= 3:
        return changed.reshape(len(rows), *changed.shape[-2:]), "features"
    return changed, "rows"


def _unscaled(
    trials: Trials, rows: IntArray, augment: Sequence[Any], seed: int
) -> npt.NDArray[Any]:
    """Pictures that were changed behind the pre-processing, brought back to [0, 1] by a straight
    line through their features and pixels (pre-processing of pictures is one, channel by channel).
    """
    arena = trials.arena
    clean = changed_rows(arena, trials.recipe, 0, rows, (), seed).features.double().numpy()
    changed = changed_rows(arena, trials.recipe, 0, rows, augment, seed).features.double().numpy()
    pixels = signals_of(arena, rows, (), seed).double().numpy()
    if changed.shape != pixels.shape:  # whitened or flattened: shown as they are
        low, high = changed.min(), changed.max()
        shown = np.resize((changed - low) / max(high - low, 1e-9), pixels.shape)
        return np.asarray(shown)
    for channel in range(pixels.shape[1]):
        x, y = clean[:, channel].ravel(), pixels[:, channel].ravel()
        slope, base = np.polyfit(x, y, 1)
        changed[:, channel] = changed[:, channel] * slope + base
    return changed.clip(0, 1)


def _of_samples(trials: Trials, subject: Subject) -> Sheet:
    """Extra samples beside the training row that is nearest to each."""
    arena = trials.arena
    added = trials.samples(subject)
    fold = arena.split.folds[0]
    wide = added.rows[0]
    most = HEARD if arena.data.kind == "audio" else SHOWN
    some = sample_rows(wide, added.data.labels, most, stream_seed(arena.seed, "shown"))
    train = sample_rows(fold.train, arena.data.labels, 1500, arena.seed)
    front = arena.trainer(trials.recipe).examples.inputs.layers[0]
    from trainwell.engine.inputs import take

    places = nearest(
        flat(front(take(added.data.inputs, some))), flat(front(take(added.data.inputs, train))), 1
    )[1][:, 0]
    both = [train[places], some]
    kind = {"images": "pictures", "audio": "clips", "table": "rows"}[arena.data.kind]
    layer = front[0]
    values = [layer(take(added.data.inputs, r)).float().numpy() for r in both]
    labels = tuple(arena.data.classes[c] for c in added.data.labels[some])
    return _sheet(arena, subject.name, kind, values, ("nearest training row", "sample"), labels)
