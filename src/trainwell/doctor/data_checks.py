"""All checks of the data that are made before training, in the order of causes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from trainwell.data.dataset import Dataset
from trainwell.data.split import Split
from trainwell.doctor import classes, columns, drift, duplicates, labels, leaks, scale
from trainwell.doctor.finding import Check, out_of_time
from trainwell.doctor.sample import Sample
from trainwell.doctor.simple_models import reference_scores

if TYPE_CHECKING:
    from trainwell.techniques.preprocess import Preprocess
    from trainwell.techniques.shuffle import Shuffle

__all__ = ["data_checks", "reference_scores"]


def data_checks(
    data: Dataset,
    split: Split,
    seed: int = 0,
    seconds: float = 6.0,
    preprocess: Sequence[Preprocess] | None = None,
    shuffle: Shuffle = "every_epoch",
) -> list[Check]:
    """One check per problem of data, always the same ones in the same order.

    Labels of the test part are never looked at, its inputs only for twins and for drift; that is
    no opening of it. seconds: when they are over, slower checks that were not begun say so;
    what is looked at is a sample of at most some thousand rows. preprocess, shuffle: of the
    recipe that will be trained; None: the standard pre-processing, which scales.
    """
    sample = Sample(data, split, seed, time.monotonic() + seconds)
    facts = columns.facts_of(sample) if data.kind == "table" else ()
    quick = [
        columns.missing_values(sample, facts),
        classes.label_coding(sample),
    ]
    slow: list[tuple[str, str, Callable[[], Check]]] = [
        ("D10", "misaligned-labels", lambda: labels.misaligned_labels(sample)),
    ]
    found = quick + [_in_time(sample, *one) for one in slow]
    found += [
        scale.unscaled_inputs(sample, facts, preprocess),
        scale.shrunk_twice(sample, facts, preprocess),
        _in_time(sample, "D12", "drift-between-parts", lambda: drift.drift(sample)),
        classes.sorted_order(sample, shuffle),
        _in_time(sample, "D13", "leaking-column", lambda: leaks.leaking_column(sample)),
        leaks.identifier_column(sample),
        duplicates.duplicates(sample),
        _in_time(sample, "D05", "near-duplicates", lambda: duplicates.near_duplicates(sample)),
        _in_time(sample, "D07", "probably-wrong-labels", lambda: labels.wrong_labels(sample)),
        duplicates.conflicting_labels(sample),
        classes.class_imbalance(sample),
        classes.few_rows_per_class(sample),
        columns.constant_columns(sample, facts),
    ]
    known = sample.better.accuracy if sample.enough and not sample.late else None
    return [*found, classes.validation_too_small(sample, known)]


def _in_time(sample: Sample, code: str, name: str, check: Callable[[], Check]) -> Check:
    return out_of_time(code, name) if sample.late else check()
