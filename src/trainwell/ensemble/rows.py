"""What all ensembles share: which member judges which row, honest repetitions, paired intervals.

Members' predictions are probabilities (M, n, C) of M members for n rows and C classes. A member may
speak only of rows that it was not trained on: its probabilities are nan in all others. Predictions
out of fold have such holes everywhere, predictions of a test part have none.
Every function is pure: the same arguments and seed give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from trainwell.errors import UserError
from trainwell.metrics import SMALLEST
from trainwell.paired import no_narrower
from trainwell.stats import Interval, bca_ends

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Combination = Callable[[Floats], Floats]  # members (M, n, C) -> probabilities (n, C)
Learner = Callable[[Floats, Ints], Combination]  # members, labels (n,) -> what was learned

RESAMPLES = 2000
FEW = 10  # units below which Student's interval replaces the bootstrap
SIGNS = 6  # differences below which even a sign test cannot reach 5 % (2 · 0.5^5 = 0.06)
MANY, ALIKE = 20_000, 20  # units, and units for each value, from which values are drawn
CELLS = 4_000_000  # counts of a bootstrap held at once


def held_out(members: Floats) -> Bools:
    """Which member may judge which row (M, n): those that are not nan.

    Raises UserError where the shape is another, a row is nan in part, or no member judges a row.

    >>> held_out(np.array([[[0.9, 0.1], [np.nan, np.nan]], [[0.6, 0.4], [0.2, 0.8]]])).tolist()
    [[True, False], [True, True]]
    """
    if members.ndim != 3 or 0 in members.shape:
        todo = "Stack the members' probabilities."
        problem = f"expected (members, rows, classes), got the shape {members.shape}"
        raise UserError("members", problem, todo)
    missing = np.isnan(members)
    held = ~missing[:, :, 0]
    if (missing != missing[:, :, :1]).any():
        raise UserError("members", "a row is nan for some classes only", "Give all or none.")
    alone = np.flatnonzero(~held.any(axis=0))
    if len(alone):
        problem = f"no member judges row {alone[0]} ({len(alone)} such rows)"
        raise UserError("members", problem, "Leave these rows out.")
    return held


def together(members: Floats, kinds: Sequence[int]) -> Floats:
    """One voice per kind (G, n, C): the mean over the members of a kind that may judge the row.

    kinds: the kind of each member (M,), numbers from 0. The networks of all folds of one recipe
    are one kind: each judges its own fold, together they judge every row. Rows that no member of
    a kind may judge stay nan.

    >>> nan = np.nan
    >>> folds = np.array([[[0.9, 0.1], [nan, nan]], [[nan, nan], [0.2, 0.8]]])
    >>> together(folds, [0, 0]).tolist()
    [[[0.9, 0.1], [0.2, 0.8]]]
    """
    held = held_out(members)
    own = np.asarray(kinds)[None, :] == np.arange(max(kinds) + 1)[:, None]  # (G, M)
    count = own.astype(np.float64) @ held.astype(np.float64)
    total = np.einsum("gm,mnc->gnc", own.astype(np.float64), np.where(held[..., None], members, 0))
    found: Floats = np.where(count[..., None] > 0, total / np.maximum(count, 1)[..., None], np.nan)
    return found


def filled(members: Floats) -> Floats:
    """The members with their holes filled: by the mean of those that may judge the row."""
    held = held_out(members)[..., None]
    known = np.where(held, members, 0.0)
    mean = known.sum(axis=0) / held.sum(axis=0)
    found: Floats = np.where(held, members, mean)
    return found


def parts(
    labels: Ints, count: int, seed: int, groups: npt.NDArray[np.integer] | None = None
) -> Ints:
    """The part 0..count-1 of each row (n,), drawn at random, classes shared out evenly.

    groups (n,): rows of one group stay together; the parts are then about equal in rows.

    >>> np.bincount(parts(np.array([0] * 4 + [1] * 6), 2, seed=0)).tolist()
    [5, 5]
    """
    rng, n = np.random.default_rng(seed), len(labels)
    if groups is None:
        shuffled = rng.permutation(n)
        by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
        found = np.empty(n, np.int64)
        found[by_class] = (np.arange(n) + rng.integers(count)) % count
        return found
    _, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    if len(sizes) < count:
        problem = f"{len(sizes)} groups cannot be shared out over {count} parts"
        raise UserError("groups", problem, "Judge on more groups, or do without groups.")
    order = rng.permutation(len(sizes))
    place, load = np.empty(len(sizes), np.int64), np.zeros(count, np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        place[group] = load.argmin()
        load[place[group]] += sizes[group]
    return place[member]


def cross_fitted(
    learn: Learner,
    members: Floats,
    labels: Ints,
    *,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    groups: npt.NDArray[np.integer] | None = None,
) -> Floats:
    """Honest probabilities (R, n, C) of a combination that learns: no row judges what it taught.

    The rows are cut into `folds` parts, R = repeats times anew; each part is predicted by what was
    learned from the others. With folds = 2 half the rows teach, which is a little less than the
    combination of all rows is worth.
    """
    n = len(labels)
    out = np.empty((repeats, n, members.shape[2]))
    for repeat in range(repeats):
        part = parts(labels, folds, seed + repeat, groups)
        for number in range(folds):
            here = part == number
            if here.any():
                learned = learn(members[:, ~here], labels[~here])
                out[repeat, here] = learned(members[:, here])
    return out


def paired(
    differences: Floats,
    seed: int,
    groups: npt.NDArray[np.integer] | None = None,
    resamples: int = RESAMPLES,
    hits: Sequence[float | None] | None = None,
) -> tuple[Interval, ...]:
    """Means over rows of K paired differences (n, K), each with its BCa interval.

    The units drawn with replacement are rows, or whole groups (n,) where there are any. Fewer than
    10 units get Student's interval of the ratio Σ difference / Σ rows. Where fewer than 6 units
    differ from 0 at all the interval covers 0: so few signs prove nothing.
    hits (K,): for a column of differences of hits the number of equal rows that it is worth (n; see
    `measures.equal_rows`); its interval is then no narrower than so many rows allow
    (`trainwell.paired`), or than the number of groups where none of them differs. None: another
    score, for which no such floor is known.
    """
    d = np.asarray(differences, np.float64).reshape(len(differences), -1)
    if groups is None:
        sums, sizes = d, np.ones(len(d))
    else:
        _, member = np.unique(groups, return_inverse=True)
        sizes = np.bincount(member).astype(np.float64)
        sums = np.zeros((len(sizes), d.shape[1]))
        np.add.at(sums, member, d)
    if not len(sums):
        raise ValueError("an interval of no rows")
    found = _student(sums, sizes) if len(sums) < FEW else _bootstrap(sums, sizes, seed, resamples)
    differ = (np.abs(sums) > 1e-15).sum(axis=0)
    shown = [
        i if count >= SIGNS else Interval(i.value, min(i.low, 0.0), max(i.high, 0.0))
        for i, count in zip(found, differ, strict=True)
    ]
    if hits is None:
        return tuple(shown)
    return tuple(
        i if rows is None else no_narrower(i, rows if count else min(rows, len(sums)))
        for i, rows, count in zip(shown, hits, differ, strict=True)
    )


def _student(sums: Floats, sizes: Floats) -> list[Interval]:
    """Ratios Σ sums / Σ sizes of few units, with linearised residuals and Student's t."""
    from scipy.special import stdtrit

    count, values = len(sums), sums.sum(axis=0) / sizes.sum()
    if count == 1:
        return [Interval(float(v), -math.inf, math.inf) for v in values]
    rest = (sums - sizes[:, None] * values) / sizes.sum()
    half = stdtrit(count - 1, 0.975) * np.sqrt(count / (count - 1) * (rest**2).sum(axis=0))
    return [
        Interval(float(v), float(v - h), float(v + h)) for v, h in zip(values, half, strict=True)
    ]


def _bootstrap(sums: Floats, sizes: Floats, seed: int, resamples: int) -> list[Interval]:
    both = np.column_stack([sums, sizes])
    drawn = _drawn(both, np.random.default_rng(seed), resamples)
    total = both.sum(axis=0)
    value, rest = total[:-1] / total[-1], total - both
    draws, left_out = drawn[:, :-1] / drawn[:, -1:], rest[:, :-1] / rest[:, -1:]
    return [bca_ends(float(v), draws[:, k], left_out[:, k]) for k, v in enumerate(value)]


def _drawn(both: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Sums (resamples, K) over units (n, K) drawn with replacement, n at a time.

    Hits take few values. Among many units it is then quicker to draw how often each value comes,
    which is the same distribution: a multinomial one.
    """
    units = len(both)
    if units >= MANY:
        kinds, counts = np.unique(both, axis=0, return_counts=True)
        if len(kinds) * ALIKE <= units:
            often = rng.multinomial(units, counts / units, size=resamples)
            return np.asarray(often.astype(np.float64) @ kinds)
    drawn = np.empty((resamples, both.shape[1]))
    step = max(1, CELLS // units)
    for start in range(0, resamples, step):
        some = min(step, resamples - start)
        picks = rng.integers(0, units, (some, units)) + units * np.arange(some)[:, None]
        counts = np.bincount(picks.ravel(), minlength=some * units).reshape(some, units)
        drawn[start : start + some] = counts.astype(np.float64) @ both
    return drawn


def right_chance(probabilities: Floats, labels: Ints) -> Floats:
    """Probability (..., n) of the right class, from (..., n, C)."""
    found: Floats = probabilities[..., np.arange(len(labels)), labels]
    return found


def row_losses(probabilities: Floats, labels: Ints) -> Floats:
    """-ln p(right class) (..., n), p clipped at 1e-15; nan stays nan."""
    found: Floats = -np.log(np.clip(right_chance(probabilities, labels), SMALLEST, 1.0))
    return found


def row_hits(probabilities: Floats, labels: Ints) -> Floats:
    """1 where the most probable class is the right one, else 0 (..., n); nan stays nan."""
    missing = np.isnan(probabilities[..., 0])
    right = np.where(missing[..., None], 0.0, probabilities).argmax(axis=-1) == labels
    found: Floats = np.where(missing, np.nan, right)
    return found
