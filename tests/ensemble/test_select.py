"""Greedy selection, its honest gain, diversity and contributions: by hand and by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.diversity import (
    contributions,
    diversity,
    mean_of_pairs,
    weaker_that_help,
)
from trainwell.ensemble.greedy import Search, greedy
from trainwell.ensemble.rows import Floats, Ints, row_hits, row_losses
from trainwell.ensemble.select import select
from trainwell.errors import UserError
from trainwell.metrics import accuracy, log_loss

QUICK = Search(rounds=20, bags=3)


def truth(rng: np.random.Generator, n: int, c: int = 3) -> tuple[Floats, Floats, Ints]:
    """Logits, the true chances of every class, and labels drawn from them."""
    z = rng.normal(size=(n, c)) * 2
    p = softmax(z)
    return z, p, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, c - 1)


def softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    found: Floats = e / e.sum(axis=-1, keepdims=True)
    return found


def unlike(rng: np.random.Generator, m: int, n: int, noise: float = 1.5) -> tuple[Floats, Ints]:
    """Members that see the truth through noise of their own."""
    z, _, y = truth(rng, n)
    return softmax(z + rng.normal(size=(m, *z.shape)) * noise), y


def test_greedy_finds_the_best_small_mixture() -> None:
    """One bag of all rows, no start beyond the best: as good as trying every pair and triple."""
    members, y = unlike(np.random.default_rng(0), 5, 400)
    search = Search(rounds=60, bags=1, share=1.0, start=1)
    found = log_loss(y, soft_vote(members, greedy(members, y, search)))
    for size in (1, 2, 3, 4, 5):
        for some in itertools.combinations(range(5), size):
            assert found <= log_loss(y, soft_vote(members[list(some)])) + 2e-3


def test_one_round_by_hand() -> None:
    """Each round adds what lowers the loss of the mean most: compared with the slow way."""
    members, y = unlike(np.random.default_rng(1), 4, 50)
    counts = np.zeros(4)
    losses = [log_loss(y, p) for p in members]
    counts[int(np.argmin(losses))] += 1
    paths = [counts.copy()]
    for _ in range(7):
        tried = [log_loss(y, soft_vote(members, counts + np.eye(4)[m])) for m in range(4)]
        counts = counts + np.eye(4)[int(np.argmin(tried))]
        paths.append(counts)
    best = min(paths, key=lambda c: log_loss(y, soft_vote(members, c)))
    wanted = best / best.sum()
    wanted[wanted < 0.25 / 4] = 0
    found = greedy(members, y, Search(rounds=7, bags=1, share=1.0, start=1))
    np.testing.assert_allclose(found, wanted / wanted.sum())


@given(st.integers(0, 1000))
@settings(max_examples=25)
def test_weights_sum_to_one_and_follow_their_members(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members, y = unlike(rng, 5, 60)
    gone = rng.random((5, 60)) < 0.3
    gone[0] &= ~gone.all(axis=0)
    members[gone] = np.nan
    found, order = greedy(members, y, QUICK, seed=seed), rng.permutation(5)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    np.testing.assert_allclose(greedy(members[order], y, QUICK, seed=seed), found[order])


def test_twins_share_the_weight_and_change_nothing() -> None:
    members, y = unlike(np.random.default_rng(2), 3, 200)
    whole = soft_vote(members, greedy(members, y, Search(bags=1, share=1.0, start=1)))
    twins = np.concatenate([members, members])
    found = soft_vote(twins, greedy(twins, y, Search(bags=1, share=1.0, start=1)))
    assert log_loss(y, found) == pytest.approx(log_loss(y, whole), abs=2e-3)


def test_useless_members_are_left_out() -> None:
    rng = np.random.default_rng(3)
    _, p, y = truth(rng, 400)
    members = np.concatenate([p[None], rng.dirichlet(np.ones(3), (6, 400))])
    assert greedy(members, y).round(2)[0] > 0.9


def test_members_that_know_all_leave_nothing_to_gain() -> None:
    """One member knows the true chances, the others nothing: at most 5 % are kept, 60 trials."""
    kept, sure = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        _, p, y = truth(rng, 120)
        members = np.concatenate([p[None], rng.dirichlet(np.ones(3), (5, 120))])
        found = select(members, y, QUICK, repeats=2, seed=seed)
        kept += found.verdict == "kept"
        sure += int(found.best == 0)
        assert found.verdict == "kept" or found.advice.max() == 1
    assert kept <= 3
    assert sure >= 58


def test_flattened_copies_leave_nothing_to_gain() -> None:
    """Copies with too little certainty say nothing new; chance must not sell them. 60 trials."""
    kept = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        _, p, y = truth(rng, 150)
        members = np.stack([(1 - a) * p + a / 3 for a in (0.0, 0.1, 0.2, 0.35, 0.5)])
        kept += select(members, y, QUICK, repeats=2, seed=seed).verdict == "kept"
    assert kept <= 5  # P(more | 5 %) = 8 %


def test_the_gain_is_that_on_new_rows() -> None:
    """Mean gain of 40 selections, and the mean of what the same ensembles gain on 4000 new rows."""
    said, real, verdicts = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        members, y = unlike(rng, 5, 150)
        new, z = unlike(rng, 5, 4000)
        found = select(members, y, QUICK, repeats=2, calibrate=False, seed=seed)
        said.append(found.gain.value)
        real.append((row_losses(new[found.best], z) - row_losses(found(new), z)).mean())
        verdicts.append(found.verdict)
    error = np.std(np.subtract(said, real)) / len(said) ** 0.5
    assert abs(np.mean(said) - np.mean(real)) < 3 * error + 0.1 * np.mean(real)
    assert np.mean(said) < np.mean(real) + 2 * error  # half the rows choose: never too much
    assert verdicts.count("kept") >= 34
    assert "worse" not in verdicts


def test_rows_that_chose_flatter() -> None:
    """Why the gain is nested: on its own rows a selection among noise seems to gain."""
    own, honest = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        _, p, y = truth(rng, 60)
        members = np.concatenate([p[None], rng.dirichlet(np.ones(3), (20, 60))])
        found = select(members, y, Search(rounds=20, bags=1, share=1.0), calibrate=False, repeats=2)
        own.append(log_loss(y, members[found.best]) - log_loss(y, found(members)))
        honest.append(found.gain.value)
    assert np.mean(own) > 0
    assert np.mean(honest) < 0


def test_a_selection_says_what_it_is() -> None:
    members, y = unlike(np.random.default_rng(0), 5, 800)
    found = select(members, y, QUICK, repeats=2)
    assert found.verdict == "kept"
    assert found.advice is found.weights
    assert "beats its best member" in found.words
    assert found.gain.low > 0
    assert accuracy(y, found(members)) > accuracy(y, members[found.best])
    again = select(members, y, QUICK, repeats=2)
    assert (again.gain, again.words) == (found.gain, found.words)
    one = select(members[:1], y, QUICK)
    assert (one.verdict, one.words) == ("not shown", "one network, nothing to choose from")
    by_hits = select(members, y, QUICK, repeats=2, decide="share")
    assert (by_hits.verdict == "kept") == (by_hits.share.low > 0)
    with pytest.raises(UserError, match="expected at least 8 rows to choose and to judge, got 5"):
        select(members[:, :5], y[:5])


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    members, y = unlike(rng, 4, 40)
    groups = np.repeat(np.arange(40), 6)
    copies = np.repeat(members, 6, axis=1), np.repeat(y, 6)
    plain = select(*copies, QUICK, repeats=2)
    whole = select(*copies, QUICK, repeats=2, groups=groups)
    assert whole.gain.high - whole.gain.low > 1.5 * (plain.gain.high - plain.gain.low)


# --- diversity -----------------------------------------------------------------------------------


def test_pairwise_measures_by_hand() -> None:
    """Right and wrong of two members on eight rows, two classes."""
    a, b = [1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 1, 0, 0]
    members = np.array([[[r, 1 - r] for r in row] for row in (a, b)], np.float64)
    found = diversity(members, np.zeros(8, np.int64))
    n11, n10, n01, n00 = 3, 2, 1, 2
    cross = n11 * n00 - n10 * n01
    assert found.disagreement[0, 1] == 3 / 8
    assert found.double_fault[0, 1] == 2 / 8
    assert found.q[0, 1] == cross / (n11 * n00 + n10 * n01)
    assert found.correlation[0, 1] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.error.tolist() == [3 / 8, 4 / 8]
    assert found.ratio == pytest.approx((3 / 8) / (3.5 / 8))
    np.testing.assert_allclose(np.diag(found.disagreement), 0)
    np.testing.assert_allclose(found.q, found.q.T)


def test_pairs_are_compared_on_rows_of_both() -> None:
    members, y = unlike(np.random.default_rng(0), 3, 80)
    holes = members.copy()
    holes[0, :30], holes[1, 50:] = np.nan, np.nan
    assert diversity(holes, y).q[0, 1] == diversity(members[:, 30:50], y[30:50]).q[0, 1]
    apart = members.copy()
    apart[0, :40], apart[1, 40:] = np.nan, np.nan
    measured = diversity(apart, y)
    assert np.isnan(measured.disagreement[0, 1])
    assert np.isfinite(mean_of_pairs(measured.disagreement))


def test_independent_errors_have_no_correlation() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((4, 4000)) < 0.8
    members = np.stack([right, ~right], axis=2).astype(np.float64)
    found = diversity(members, np.zeros(4000, np.int64))
    assert abs(mean_of_pairs(found.correlation)) < 0.03
    assert mean_of_pairs(found.double_fault) == pytest.approx(0.04, abs=0.006)


def test_a_contribution_is_the_change_without_it() -> None:
    members, y = unlike(np.random.default_rng(0), 4, 120)
    members[2, :20] = np.nan
    members[3, 20:60] = np.nan
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    whole = soft_vote(members, weights)
    for c in contributions(members, y, weights):
        rest = np.delete(members, c.member, axis=0)
        without = soft_vote(rest, np.delete(weights, c.member))
        assert c.share.value == pytest.approx(accuracy(y, whole) - accuracy(y, without))
        assert c.log_loss.value == pytest.approx(log_loss(y, without) - log_loss(y, whole))
        own = ~np.isnan(members[c.member, :, 0])
        assert c.alone == pytest.approx(row_hits(members[c.member, own], y[own]).mean())
        assert c.weight == pytest.approx(weights[c.member])


def test_a_weaker_member_that_helps_and_one_that_harms() -> None:
    """A weak voter with errors of its own helps; an over-confident one that is wrong harms."""
    rng = np.random.default_rng(0)
    z, _, y = truth(rng, 3000)
    noise = rng.normal(size=(3, *z.shape)) * np.array([1.2, 1.2, 2.0])[:, None, None]
    members = np.concatenate([softmax(z + noise), softmax(rng.normal(size=(1, 3000, 3)) * 8)])
    found = contributions(members, y)
    assert found[2].weaker
    assert 2 in weaker_that_help(found)
    assert 3 not in weaker_that_help(found)
    assert found[3].verdict == "harms"
    assert [c.member for c in contributions(members, y, [1, 1, 0, 0])] == [0, 1]
    assert contributions(members, y, [1, 0, 0, 0]) == ()


def test_a_row_that_one_member_judges_alone_has_no_contribution() -> None:
    members, y = unlike(np.random.default_rng(0), 2, 30)
    members[0, :10] = np.nan
    found = contributions(members, y)
    rest = soft_vote(members[:, 10:])
    gain = log_loss(y[10:], members[1, 10:]) - log_loss(y[10:], rest)
    assert found[0].log_loss.value == pytest.approx(gain * 20 / 30)
