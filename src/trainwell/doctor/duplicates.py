"""Equal and nearly equal rows: between parts, inside parts, and with other labels.

Shapes: N rows, q rows of a held-out part that are compared, d features.
"""

from __future__ import annotations

import math

import numpy as np

from trainwell.data.dataset import BoolArray, Dataset, IntArray
from trainwell.data.split import sample_rows
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, sealed_rows, unsaid
from trainwell.doctor.simple_models import Floats, nearest
from trainwell.doctor.views import affordable, grey_pictures, shift_distances, steady_views
from trainwell.stats import wilson

TWINS = 0.01  # share of held-out rows with an exact twin in the training part
NEAR = 0.04  # the same for near twins, by the lower end of the interval
CONFLICTS = 0.005  # share of rows whose equal rows have another label
QUERIES, BASE = 1500, 30_000  # rows compared for near twins
THIN = 4.0  # dimensions below which rows lie on lines and grids, so that a note is all there is
NEIGHBOUR = 6  # the neighbour whose distance says what is usual
CANDIDATES = 12  # neighbours in each view that are looked at again, moved by a pixel
MOVED_STEP = 64  # rows whose candidates are looked at together
MOST = 0.3  # limit of d₁/d₆ in many dimensions, where chance alone would allow more
CHANCE = 0.005  # share of near twins that chance may give
SHOWN = 5


def duplicates(sample: Sample) -> Check:
    """Held-out rows that are also training rows, exactly.

    What it sees: rows of a validation or test part whose inputs equal those of a training row.
    Why it matters: such rows are known by heart, so the score says less about new data.
    Evidence: hashes of all rows; share of a held-out part with a twin among the rows that train;
    fault above 1 %, warning above 0. An official test part may hold twins of its training part;
    those training rows are left out of training, which is a note. Twins inside a part are counted.
    When it is wrong: tables with few different rows repeat by nature; they are kept together.
    Remedies: remove the twins from the held-out side; divide by groups.
    Slide: "Class imbalance" (look at the data first).
    """
    data, split, keys = sample.data, sample.split, sample.data.keys
    sealed = sealed_rows(data, split)
    validation = max(
        (float(np.isin(keys[f.validation], keys[f.train]).mean()) for f in split.folds), default=0.0
    )
    test = float(np.isin(keys[sealed], keys[split.development]).mean()) if len(sealed) else 0.0
    value = max(validation, test)
    said = [f"Inside the development rows {_repeat_words(keys[split.development])}"]
    if len(sealed):
        said.append(f"inside the {len(sealed):,} test rows {_repeat_words(keys[sealed])}")
    words = "; ".join(said) + "."
    level: Level = "pass"
    if data.official_test is not None:
        came = np.flatnonzero(~data.official_test)
        twins = int(np.isin(keys[sealed], keys[came]).sum())
        if twins:
            level = "note"
            there = int(np.isin(keys[came], keys[sealed]).sum())
            dropped = len(np.setdiff1d(came, split.development))
            words += (
                f" As the data came, {counted(twins, 'test row')} ({twins / len(sealed):.2%}) "
                f"had an exact twin among the training rows, where they are "
                f"{counted(there, 'row')}; "
                f"{counted(dropped, 'training row')} left out for it."
            )
    if value > 0:
        level = "fault" if value > TWINS else "warning"
        words = (
            f"{validation:.2%} of the validation rows and {test:.2%} of the test rows have an "
            f"exact twin among the rows that train; their answers are known already. {words}"
        )
    elif level == "pass":
        words = f"No held-out row equals a training row. {words}"
    mend = (
        Remedy("remove the twins from the held-out side, or keep equal rows in one part"),
        Remedy("report the accuracy without them too"),
    )
    return Check(
        "D05", "duplicates-across-parts", level, value, TWINS, words, mend if value > 0 else ()
    )


def _repeat_words(keys: IntArray) -> str:
    count = len(keys) - int((np.bincount(keys) > 0).sum()) if len(keys) else 0
    return f"{counted(count, 'row')} {'repeats' if count == 1 else 'repeat'} an earlier one"


def near_duplicates(sample: Sample) -> Check:
    """Held-out rows that are copies of training rows with small changes.

    What it sees: validation or test rows far nearer to one training row than to all others.
    Why it matters: a changed copy (another crop, a bit of noise, the next frame of a film) is
    nearly known by heart; the score flatters.
    Evidence: d₁ / d₆, the distance of the nearest training row over that of the sixth. For
    independent rows on a surface of m dimensions (d₁/d₆)ᵐ is the smallest of five uniform numbers;
    m comes from the median of (d₃/d₆)ᵐ = 1/2, which single copies do not change (Facco et al.
    2017). Pictures are looked at as they are, at one brightness, and by the sizes of their waves,
    which stay under a shift, and their nearest again pixel by pixel, moved by up to one; sound by
    its wave and the sizes of its waves. The limit is set so that
    chance gives 0.5 % in all, at most 0.3; warning when the lower end of the interval of the share
    is above 2 % and m above 4, note above 0.5 %. Exact twins are left out.
    When it is wrong: rounded numbers lie on a grid; of large training parts only some are compared.
    Remedies: keep copies in one part (groups); make copies after dividing.
    Slide: "Data augmentation".
    """
    data, split = sample.data, sample.split
    if not split.folds:
        return unsaid("D05", "near-duplicates", "there is no validation part")
    fold, sealed = split.folds[0], sealed_rows(data, split)
    most = affordable(data, QUERIES + BASE)
    few = max(100, min(QUERIES, most // 4))
    stream = sample.seed_for("near")
    none = np.zeros(len(data), np.int64)  # labels of sealed rows play no part
    base = sample_rows(fold.train, none, max(200, min(BASE, most - few)), stream)
    held = sample_rows(fold.validation, none, few // 2 if len(sealed) else few, stream)
    test = sample_rows(sealed, none, few // 2, stream)
    queries = np.concatenate([held, test])
    if len(base) < 30 or len(queries) < 20:
        return unsaid("D05", "near-duplicates", "there are too few rows to compare")
    apart = ~np.isin(data.keys[base], data.keys[queries])  # exact twins are counted elsewhere
    _, single = np.unique(data.keys[base], return_index=True)
    apart &= np.isin(np.arange(len(base)), single)
    if apart.sum() < 30:
        return unsaid("D05", "near-duplicates", "there are too few different rows to compare")
    kept = base[apart]
    near, distance, twin, size, _ = twins_of(data, queries, kept)
    count, share = int(near.sum()), wilson(int(near.sum()), len(near))
    words = (
        f"{counted(count, 'row')} ({share.value:.1%}) of {len(queries):,} held-out rows "
        f"{'is' if count == 1 else 'are'} so close to one of {len(kept):,} training rows that "
        f"{'it looks like a changed copy' if count == 1 else 'they look like changed copies'} "
        f"(chance alone gives about {CHANCE:.1%})"
    )
    level: Level = "pass"
    if share.low > CHANCE:
        level = "warning" if share.low > NEAR and size > THIN else "note"
        known = np.flatnonzero(near[: len(held)])
        if len(known):
            same = data.labels[held[known]] == data.labels[twin[known]]
            pairs = [f"{data.names[held[i]]} and {data.names[twin[i]]}" for i in known]
            words += (
                f"; of validation rows {same.mean():.0%} have the label of their near twin, "
                f"for instance {pairs[int(distance[known].argmin())]}"
            )
    mend = (
        Remedy("keep copies of one original in one part: name what they share as the group"),
        Remedy("make changed copies after dividing, from training rows only"),
    )
    return Check(
        "D05", "near-duplicates", level, share.value, NEAR if level == "warning" else CHANCE,
        words + ".",
        mend if level != "pass" else (), "Data augmentation",
    )  # fmt: skip


def twins_of(
    data: Dataset, queries: IntArray, base: IntArray
) -> tuple[BoolArray, Floats, IntArray, float, float]:
    """Which rows (q,) have a near twin among `base` (n,): whether, how near (0 is equal, 1 as far
    as the sixth), and which row it is; and dimension and limit of the first view.

    A row is near in one view or another, or (of pictures) when moved by a pixel; CHANCE is shared
    between these looks.
    """
    views = steady_views(data, np.concatenate([base, queries]))
    looks = [nearest(v[len(base) :], v[: len(base)], CANDIDATES) for v in views]
    found = [(np.sqrt(squares.astype(np.float64)), places) for squares, places in looks]
    if data.kind == "images" and min(data.schema.shape[1:]) >= 4:
        candidates = np.concatenate([places for _, places in found], axis=1)
        found.append(moved_neighbours(data, queries, base, candidates))
    near = np.zeros(len(queries), np.bool_)
    ratio = np.full(len(queries), np.inf)
    twin = np.full(len(queries), base[0])
    sizes, limits = [], []
    for distances, places in found:
        distances = distances[:, :NEIGHBOUR]
        now, size, limit = near_twins(distances, CHANCE / len(found))
        own = distances[:, 0] / np.maximum(distances[:, -1], 1e-30)
        better = (now & ~near) | ((now == near) & (own < ratio))
        ratio[better], twin[better] = own[better], base[places[better, 0]]
        near |= now
        sizes.append(size)
        limits.append(limit)
    return near, ratio, twin, sizes[0], limits[0]


def moved_neighbours(
    data: Dataset, queries: IntArray, base: IntArray, candidates: IntArray
) -> tuple[Floats, IntArray]:
    """Distances and places (q, NEIGHBOUR) of the nearest among candidates (q, k), places in `base`
    (n,), when pictures may be moved by a pixel; nearest first.
    """
    distances = np.empty((len(queries), NEIGHBOUR))
    places = np.empty((len(queries), NEIGHBOUR), np.int64)
    pictures = grey_pictures(data, queries)
    for start in range(0, len(queries), MOVED_STEP):
        some = np.sort(candidates[start : start + MOVED_STEP], axis=1)
        others = grey_pictures(data, base[some.ravel()])
        shape = (*some.shape, *others.shape[1:])
        found = shift_distances(pictures[start : start + len(some)], others.reshape(shape))
        found[:, 1:][some[:, 1:] == some[:, :-1]] = np.inf  # a candidate of several views
        order = np.argsort(found, axis=1, kind="stable")[:, :NEIGHBOUR]
        distances[start : start + len(some)] = np.take_along_axis(found, order, axis=1)
        places[start : start + len(some)] = np.take_along_axis(some, order, axis=1)
    return distances, places


def near_twins(
    distances: Floats, chance: float = CHANCE
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], float, float]:
    """Which rows have a near twin (q,), the dimension m, and the limit of d₁/d₆.

    distances: (q, 6) of the nearest training rows, rising. chance: share that chance may give.
    """
    last = distances[:, -1]
    usable = last > 0
    if not usable.any():
        return np.zeros(len(distances), np.bool_), 0.0, 0.0
    middle = float(np.median(distances[usable, 2] / last[usable]))
    size = math.log(0.5) / math.log(min(max(middle, 1e-3), 0.999))
    # P(smallest of five uniforms < u) = chance
    u = 1 - (1 - chance) ** (1 / (NEIGHBOUR - 1))
    limit = min(MOST, u ** (1 / size))
    near = np.zeros(len(distances), np.bool_)
    near[usable] = distances[usable, 0] < limit * last[usable]
    return near, size, limit


def conflicting_labels(sample: Sample) -> Check:
    """Equal inputs with different labels.

    What it sees: development rows whose inputs are equal while their classes differ.
    Why it matters: no classifier can get all of them right: they set a ceiling.
    Evidence: share of such rows, and the ceiling, the share that a perfect classifier of
    these rows would get. More than 0.5 % is a warning for pictures, sound and tables of mostly
    different rows; where rows repeat anyway, or below that, a note.
    When it is wrong: a table with few columns of words has equal rows by nature; the ceiling holds.
    Remedies: look at them and correct; drop them; soften labels.
    Slide: "Regularization".
    """
    data, rows = sample.data, sample.split.development
    keys, labels = data.keys[rows], data.labels[rows]
    pairs, counts = np.unique(keys * sample.classes + labels, return_counts=True)
    owner = pairs // sample.classes
    distinct, start, sizes = np.unique(owner, return_index=True, return_counts=True)
    best = np.maximum.reduceat(counts, start) if len(counts) else counts
    total = np.add.reduceat(counts, start) if len(counts) else counts
    mixed = sizes > 1
    value = float(total[mixed].sum() / max(1, len(rows)))
    if not mixed.any():
        words = f"No two of the {len(rows):,} development rows are equal with different labels."
        return Check("D06", "conflicting-labels", "pass", 0.0, CONFLICTS, words)
    ceiling = float(best.sum() / len(rows))
    first = [rows[np.flatnonzero(keys == k)[:SHOWN]] for k in distinct[mixed][:2]]
    shown = "; ".join(
        ", ".join(f"{data.names[r]} ({data.classes[data.labels[r]]})" for r in some)
        for some in first
    )
    words = (
        f"{counted(int(total[mixed].sum()), 'row')} ({value:.2%}) have equal inputs and different "
        f"labels, for instance {shown}. No classifier can exceed {ceiling:.2%} on these rows."
    )
    grave = value > CONFLICTS and len(distinct) > 0.9 * len(rows)
    mend = (
        Remedy("look at these rows and correct the labels, or drop them"),
        Remedy("soften the labels", (("regularize", "(L2(0.0001), LabelSmoothing())"),)),
    )
    return Check(
        "D06", "conflicting-labels", "warning" if grave else "note", value, CONFLICTS, words, mend,
        "Regularization",
    )  # fmt: skip
