"""What decides: means over rows are the metrics' differences, and classes have the same say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwell import metrics
from trainwell.ensemble.calibrate import temperature, temperatures
from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.diversity import Contribution, contributions, weaker_that_help
from trainwell.ensemble.greedy import Search, greedy
from trainwell.ensemble.measures import (
    alone,
    class_weights,
    equal_rows,
    row_gains,
    share_of,
    weighs_classes,
)
from trainwell.ensemble.rows import Floats, Ints, paired, row_losses
from trainwell.ensemble.select import best_against, select
from trainwell.ensemble.wording import is_shown, lower_or_higher
from trainwell.stats import Interval, wilson

METRICS: tuple[metrics.Metric, ...] = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
SCORES = {
    "accuracy": metrics.accuracy,
    "balanced_accuracy": metrics.balanced_accuracy,
    "macro_f1": metrics.macro_f1,
}


def uneven(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> tuple[Floats, Ints]:
    """The chances of every class by a row's features where classes have these shares, and labels.

    A row's features are one number per class, larger by 1.6 for its own.
    """
    y = rng.choice(len(shares), n, p=shares)
    x = rng.normal(size=(n, len(shares))) + 1.6 * np.eye(len(shares))[y]
    return softmax(1.6 * x + np.log(shares)), y


def softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    found: Floats = e / e.sum(axis=-1, keepdims=True)
    return found


def adjusted(natural: Floats, shares: tuple[float, ...]) -> Floats:
    """Chances with the classes' shares taken out: what aims at balanced accuracy."""
    found: Floats = natural / np.array(shares)
    return found / found.sum(axis=-1, keepdims=True)


SHARES = (0.82, 0.15, 0.03)


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_means_over_rows_are_the_metrics_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.choice(4, 60, p=[0.6, 0.25, 0.1, 0.05])
    a, b = rng.dirichlet(np.ones(4), (2, 60))
    there = np.unique(y)
    a, b = a[:, there], b[:, there]  # a class that never occurs has no F1
    y = np.searchsorted(there, y)
    for metric in METRICS:
        saved, won = row_gains(a, b, y, metric).mean(axis=0)
        score = SCORES[share_of(metric)]
        assert won == pytest.approx(score(y, a) - score(y, b), abs=1e-12)
        weights = class_weights(y) if weighs_classes(metric) else np.ones(len(y))
        expected = (weights * (row_losses(b, y) - row_losses(a, y))).mean()
        assert saved == pytest.approx(expected, abs=1e-12)
        same = a.argmax(axis=1) == b.argmax(axis=1)
        assert (row_gains(a, b, y, metric)[same, 1] == 0).all()


def test_silent_rows_gain_nothing() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(3), (2, 30))
    y = rng.integers(0, 3, 30)
    b[:5] = np.nan
    for metric in METRICS:
        assert (row_gains(a, b, y, metric)[:5] == 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_alone_is_the_score_with_an_honest_interval(metric: metrics.Metric) -> None:
    """95 % intervals of balanced accuracy and macro F1 cover the value on very many rows."""
    rng = np.random.default_rng(1)
    natural, y = uneven(rng, 200_000, SHARES)
    said = adjusted(natural, SHARES)
    score = SCORES[share_of(metric)]
    true, covered = score(y, said), 0
    for _ in range(200):
        rows = rng.integers(0, len(y), 400)
        loss, share = alone(said[rows], y[rows], metric)
        assert share.value == pytest.approx(score(y[rows], said[rows]))
        covered += share.low <= true <= share.high
        assert loss.low < loss.value < loss.high
    assert covered >= 180


def test_rows_without_a_difference_leave_something_open() -> None:
    """No row differs: the interval of the hits has Wilson's width, that of the log loss has none
    to give."""
    none = np.zeros((360, 2))
    loss, hits = paired(none, 0, hits=[None, 360.0])
    assert (loss.low, loss.high) == (0.0, 0.0)
    assert hits.high == -hits.low == pytest.approx(wilson(0, 360).high)
    groups = np.repeat(np.arange(12), 30)
    _, whole = paired(none, 0, groups, hits=[None, 360.0])
    assert whole.high == pytest.approx(wilson(0, 12).high)
    some = none.copy()
    some[:20, 1] = 1
    assert paired(some, 0)[1].value == paired(some, 0, hits=[None, 360.0])[1].value


def test_classes_with_few_rows_are_worth_few() -> None:
    assert equal_rows(np.repeat([0, 1, 2], 50), "balanced_accuracy") == pytest.approx(150)
    assert equal_rows(np.repeat([0, 1], [990, 10]), "macro_f1") == pytest.approx(39.6)
    assert equal_rows(np.repeat([0, 1], [990, 10]), "log_loss") == 1000


def test_weights_count_as_repeated_rows_do() -> None:
    rng = np.random.default_rng(2)
    p, y = uneven(rng, 120, SHARES)
    members = softmax(np.log(p) * 3 + rng.normal(size=(4, *p.shape)))
    times = rng.integers(1, 4, len(y))
    again = np.repeat(np.arange(len(y)), times)
    weights = times.astype(np.float64)
    heat = temperature(members[0], y, prior=0, weights=weights)
    assert heat == pytest.approx(temperature(members[0][again], y[again], prior=0))
    each = temperatures(members, y, prior=0, weights=weights)
    assert each[0] == pytest.approx(heat)
    search = Search(bags=1, share=1.0, rounds=15)
    found = greedy(members, y, search, row_weights=weights)
    np.testing.assert_allclose(found, greedy(members[:, again], y[again], search))


def test_what_aims_at_rare_classes_is_not_beaten_by_what_does_not() -> None:
    """An adjusted voice and a plain one, both right about the chances: by the log loss of all rows
    the plain one wins, and by balanced accuracy it is shown to lose."""
    rng = np.random.default_rng(3)
    natural, y = uneven(rng, 1800, SHARES)
    members = np.stack([adjusted(natural, SHARES), natural])
    by_rows = best_against(members, y)
    assert (by_rows.best, by_rows.verdict) == (1, "kept")
    by_classes = best_against(members, y, metric="balanced_accuracy")
    assert by_classes.best == 0
    back = best_against(members, y, reference=1, metric="balanced_accuracy")
    assert (back.best, back.verdict) == (0, "kept")
    chosen = select(members, y, metric="balanced_accuracy")
    assert (chosen.best, chosen.decided) == (0, "share")
    said = metrics.balanced_accuracy(y, chosen(members))
    assert said > metrics.balanced_accuracy(y, natural) + 0.05
    assert metrics.balanced_accuracy(y, select(members, y)(members)) < said


def test_who_may_not_be_named_is_not() -> None:
    rng = np.random.default_rng(4)
    p, y = uneven(rng, 600, (0.4, 0.3, 0.3))
    noise = rng.normal(size=(3, *p.shape)) * np.array([6.0, 0.5, 0.1])[:, None, None]
    members = softmax(np.log(p) + noise)
    assert best_against(members, y).best == 2
    assert best_against(members, y, among=[0, 1]).best == 1
    assert best_against(members, y, among=[0]).verdict == "not shown"


def test_a_vote_must_beat_the_reference_too() -> None:
    """The vote gains over the best member by log loss, and not over the reference."""
    rng = np.random.default_rng(5)
    p, y = uneven(rng, 900, (0.4, 0.3, 0.3))
    unlike = softmax(np.log(p) + rng.normal(size=(3, *p.shape)) * 1.2)
    assert select(unlike, y).verdict == "kept"
    whole = np.concatenate([p[None] ** 3 / (p[None] ** 3).sum(-1, keepdims=True), unlike])
    plain = select(whole, y, calibrate=False)
    asked = select(whole, y, calibrate=False, reference=plain.best)
    assert asked.verdict == plain.verdict
    perfect = np.concatenate([unlike, np.eye(3)[y][None] * 0.98 + 0.01])
    assert select(perfect, y, reference=3).verdict == "not shown"


@pytest.mark.parametrize("metric", METRICS)
def test_the_best_is_never_weaker(metric: metrics.Metric) -> None:
    """Whatever these rows say: others are weaker than the one that was chosen as the best."""
    rng = np.random.default_rng(6)
    p, y = uneven(rng, 500, SHARES)
    members = softmax(np.log(p) + rng.normal(size=(4, *p.shape)))
    for best in range(4):
        found = contributions(members, y, metric=metric, best=best)
        assert not found[best].weaker
        assert best not in weaker_that_help(found)
    strongest = next(c.member for c in contributions(members, y, metric=metric) if not c.weaker)
    losses = [alone(m, y, metric) for m in members]
    by_loss = int(np.argmin([loss.value for loss, _ in losses]))
    by_share = int(np.argmax([share.value for _, share in losses]))
    assert strongest == (by_share if weighs_classes(metric) else by_loss)


def test_one_measure_says_who_helps() -> None:
    """Accuracy far to the right with a log loss that is shown worse is no help, where log loss
    decides; and what decides is what a picture shows right of 0."""
    up, down, open_ = Interval(0.02, 0.01, 0.03), Interval(-0.02, -0.03, -0.01), Interval(0, -1, 1)

    def verdict(share: Interval, loss: Interval, decided: str = "log loss") -> str:
        return Contribution(0, 0.5, 0.9, False, share, loss, decided).verdict  # type: ignore[arg-type]

    assert verdict(open_, up) == "helps"
    assert verdict(down, up) == "not shown"
    assert verdict(up, open_) == "not shown"
    assert verdict(up, down) == "harms"
    assert verdict(up, open_, "share") == "helps"
    assert verdict(up, down, "share") == "not shown"
    assert verdict(down, up, "share") == "harms"


def test_macro_f1_is_decided_by_macro_f1() -> None:
    rng = np.random.default_rng(7)
    natural, y = uneven(rng, 1500, SHARES)
    members = softmax(np.log(natural) + rng.normal(size=(4, *natural.shape)) * 1.5)
    found = select(members, y, metric="macro_f1", reference=0)
    vote, best = soft_vote(members), members[found.best]
    assert found.metric == "macro_f1"
    assert metrics.macro_f1(y, vote) > metrics.macro_f1(y, best)
    assert (found.verdict == "kept") == (found.share.low > 0 and found.gain.high >= 0)


def test_lower_is_told_as_lower_and_higher_as_higher() -> None:
    assert lower_or_higher(Interval(-0.0014, -0.0030, -0.0001)).startswith("0.0014 higher [")
    assert "lower" not in lower_or_higher(Interval(-0.0014, -0.0030, -0.0001))
    assert is_shown(Interval(-0.0014, -0.0030, -0.0001)) == "worse"
