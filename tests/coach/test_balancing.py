"""Remedies for class imbalance: one is kept where it plainly helps, none where nothing does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import trainwell as tw
from helpers.data import labelled
from trainwell import metrics
from trainwell.arms import Arena, Arm, cells_of
from trainwell.cli.app import app
from trainwell.coach.adjusting import Adjustment, adjustment, direction_test, expected_gain
from trainwell.coach.balance_proof import adjusted
from trainwell.coach.balancing import TRAINED, Balanced, Balancer, posthoc
from trainwell.coach.telling import line
from trainwell.data.dataset import Dataset
from trainwell.data.split import make_split
from trainwell.metrics import Metric
from trainwell.recipe import Recipe
from trainwell.significance import mcnemar
from trainwell.swaps import Floats, flip_test, swap_test
from trainwell.techniques.balance import ClassWeights, LogitAdjust
from trainwell.techniques.models.mlp import Mlp

PLAIN = Recipe(
    model=Mlp((16,), norm="none"), regularize=(), lr=0.01, epochs=8, patience=8, batch_size=32
)


def overlapping(common: int, rare: int, gap: float, seed: int = 0) -> Dataset:
    """Two clouds whose centres lie `gap` apart: the best decision depends on the shares."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [common, rare])
    return labelled(y, rng.normal(size=(len(y), 3)) + gap * y[:, None])


def balanced(
    data: Dataset, recipe: Recipe = PLAIN, metric: Metric = "balanced_accuracy", units: float = 1e9
) -> tuple[Arm, Balanced]:
    arena = Arena(data, make_split(data, seed=0, folds=3, test=0.2), probing=True)
    (start,) = arena.train([recipe], cells_of(3, 1, 0))
    return start, Balancer(arena, metric, units).improve(start)


def test_a_remedy_is_kept_where_it_plainly_helps() -> None:
    data = overlapping(900, 60, 1.2)
    start, end = balanced(data)
    assert start.balanced_accuracy.mean() < 0.7
    assert end.arm.balanced_accuracy.mean() > start.balanced_accuracy.mean() + 0.1
    adopted = [d for d in end.decisions if d.outcome == "adopted"]
    assert len(adopted) == 1
    assert adopted[0].difference is not None and adopted[0].difference.value > 0.1
    assert adopted[0].changes.keys() == {"balance"}
    assert adopted[0].rows_p is not None and adopted[0].reason == "uneven classes"
    assert sum(d.cost for d in end.decisions) == pytest.approx(end.cost)  # the placebo with them
    assert all("not shown; not shown" not in line(d) for d in end.decisions)
    assert len(end.decisions) == len(TRAINED) + len(posthoc("balanced_accuracy"))
    assert end.arm.evidence is not None and end.arm.evidence.confusion is not None


def test_none_is_kept_where_classes_lie_apart() -> None:
    start, end = balanced(overlapping(300, 40, 8.0))
    assert start.balanced_accuracy.mean() > 0.98
    assert end.arm is start
    assert end.decisions and all(d.outcome != "adopted" for d in end.decisions)


def test_none_is_kept_where_labels_have_no_meaning() -> None:
    kept = sum(
        balanced(overlapping(240, 30, 0.0, seed))[1].arm.recipe != PLAIN for seed in range(4)
    )
    assert kept <= 1


def test_none_is_kept_by_another_metric_than_the_one_that_decides() -> None:
    """Towards equal classes a balanced loss falls anyhow; macro F1 must gain by itself."""
    for seed in range(3):
        data = overlapping(420, 20, 3.0, seed)
        start, end = balanced(data, metric="macro_f1")
        if end.arm is not start:
            assert end.arm.macro_f1.mean() > start.macro_f1.mean() + 0.005
            (kept,) = [d for d in end.decisions if d.outcome == "adopted"]
            assert (
                kept.rows_p is not None and kept.p is not None and min(kept.p, kept.rows_p) < 0.05
            )


@pytest.mark.parametrize("rare", [2, 3])
def test_two_rare_rows_are_no_proof(rare: int) -> None:
    for seed in range(3):
        start, end = balanced(overlapping(160, rare, 3.0, seed))
        assert end.arm is start and end.decisions


def test_knowing_nothing_gains_nothing() -> None:
    """Outputs that are the shares against even ones, and noise around both."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [880, 20])
    shares = np.tile([880 / 900, 20 / 900], (900, 1))
    assert abs(expected_gain(y, shares, np.full((900, 2), 0.5)).sum()) < 0.005
    small = 0
    for _ in range(50):
        noisy, other = (rng.normal(size=(900, 2)) * 0.3 for _ in "ab")
        plain, even = np.exp(np.log(shares) + noisy), np.exp(other)
        plain, even = (p / p.sum(axis=1, keepdims=True) for p in (plain, even))
        gain = expected_gain(y, plain, even)
        small += gain.sum() > 0.005 and flip_test(gain) <= 0.05
    assert small <= 5


def test_nothing_is_tried_without_need() -> None:
    even, uneven = overlapping(60, 60, 1.0), overlapping(120, 20, 1.0)
    given = tw.Recipe(**{**vars(PLAIN), "balance": ClassWeights()})
    for data, recipe, metric in (
        (even, PLAIN, "balanced_accuracy"),
        (uneven, given, "balanced_accuracy"),
        (uneven, PLAIN, "accuracy"),
    ):
        start, end = balanced(data, recipe, metric)  # type: ignore[arg-type]
        assert end.arm is start and end.decisions == () and end.cost == 0


def test_outputs_are_moved_without_any_training() -> None:
    start, end = balanced(overlapping(300, 20, 1.2), units=0.5)
    assert end.cost == 0
    told = {d.tried: d for d in end.decisions}
    assert told[f"balance: {LogitAdjust()!r}"].outcome == "not trained"
    moved = told[f"balance: {LogitAdjust(when='prediction')!r}"]
    assert moved.difference is not None and moved.placebo is None and moved.cost == 0
    kept = {id(t.theta) for t in end.arm.trained if t is not None}
    assert kept == {id(t.theta) for t in start.trained if t is not None}


def test_screening_comes_before_proof_where_units_are_few() -> None:
    _, end = balanced(overlapping(300, 20, 1.2), units=15.0)
    outcomes = [d.outcome for d in end.decisions]
    assert outcomes.count("screened out") == len(TRAINED) - 2
    assert 0 < end.cost <= 15.0
    assert sum(d.cost for d in end.decisions) == pytest.approx(end.cost)
    for d in end.decisions:
        if d.outcome == "screened out":
            assert d.reached is not None and d.told.startswith("reached ")
            assert "balanced accuracy in short trainings; others did" in d.told


# ---- how far outputs are moved -----------------------------------------------------------------


def moved(p: Floats, shares: Floats, tau: float) -> Floats:
    found = p * shares**-tau
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def world(
    sizes: tuple[int, ...], apart: float, seed: int, known: str = "shares"
) -> tuple[np.ndarray, Floats]:
    """Labels, and the exact chances in clouds whose centres lie `apart`, for rows with these
    shares ("shares"), or as if classes were even ("even")."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(size=(len(sizes), 5)) * apart
    x = centres[y] + rng.normal(size=(len(y), 5))
    z = -0.5 * ((x[:, None] - centres) ** 2).sum(axis=2)
    if known == "shares":
        z += np.log(np.asarray(sizes) / sum(sizes))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return y, p / p.sum(axis=1, keepdims=True)


TAIL = (100, 65, 42, 27, 18, 11, 7, 5, 3, 2)


@pytest.mark.parametrize("sizes", [TAIL, (600, 60), (200, 40, 20)])
def test_the_direction_is_shown_where_outputs_follow_the_shares(sizes: tuple[int, ...]) -> None:
    """Exact chances, classes that overlap: τ = 1 is right, and a few rare rows show it."""
    shown = whole = 0
    for seed in range(20):
        y, p = world(sizes, 1.0, seed)
        shares = np.asarray(sizes) / sum(sizes)
        found = adjustment(y, {t: p if t == 0 else moved(p, shares, t) for t in (0.0, 0.5, 1.0)})
        shown += found.p <= 0.025
        whole += found.tau == 1.0
        assert found.gain > 0
    assert shown >= 15 and whole >= 15


@pytest.mark.parametrize("sizes", [TAIL, (600, 60), (200, 40, 20)])
def test_the_direction_is_not_shown_where_nothing_is_to_be_gained(sizes: tuple[int, ...]) -> None:
    """Chances as if classes were even; and outputs that know nothing but shares and noise."""
    rng = np.random.default_rng(0)
    small = 0
    for seed in range(100):
        y, p = world(sizes, 1.0, seed, known="even")
        small += direction_test(y, p) <= 0.05
        z = np.log(np.asarray(sizes)) + rng.normal(size=p.shape)
        noise = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        small += direction_test(y, noise) <= 0.05
    assert small <= 10  # of 200


def test_the_slope_is_that_of_the_expected_balanced_accuracy() -> None:
    """Against a small step: (B(τ) - B(0)) / τ, B the mean over classes of p of the right one."""
    y, p = world(TAIL, 1.0, 3)
    shares, tau = np.asarray(TAIL) / sum(TAIL), 1e-5

    def expected(chances: Floats) -> float:
        right = chances[np.arange(len(y)), y]
        return float(np.mean([right[y == c].mean() for c in range(len(TAIL))]))

    slope = (expected(moved(p, shares, tau)) - expected(p)) / tau
    logs, right = np.log(shares), p[np.arange(len(y)), y]
    parts = right * (p @ logs - logs[y]) / (np.asarray(TAIL)[y] * len(TAIL))
    assert parts.sum() == pytest.approx(slope, rel=1e-3)
    assert direction_test(y, p) == flip_test(parts)


def test_timid_outputs_are_not_moved_the_whole_way() -> None:
    """A tenth of all probability spread evenly: τ = 1 would call nearly everything rare."""
    y, p = world((900, 30), 1.5, 0)
    timid = 0.9 * p + 0.1 / 2
    shares = np.array([900, 30]) / 930
    found = adjustment(
        y, {t: timid if t == 0 else moved(timid, shares, t) for t in (0.0, 0.5, 1.0)}
    )
    assert found.tau < 1.0


def test_groups_give_one_piece_of_evidence() -> None:
    y, p = world((600, 60), 1.0, 0)
    assert direction_test(y, p) < 0.01
    assert direction_test(y, p, np.zeros(len(y), int)) > 0.3


def test_a_proved_direction_speaks_for_the_step_alone() -> None:
    """One p for every move towards equal classes; other remedies share the other half."""
    found = adjusted([0.3, 0.3, 0.01, 0.2], [1.0, 0.5, 0.0, 0.0], Adjustment(1.0, 0.05, 0.02))
    assert found.tolist() == pytest.approx([0.04, 0.04, 0.04, 0.4])
    assert adjusted([0.01, 0.04], [1.0, 0.0], None).tolist() == pytest.approx([0.02, 0.04])
    assert adjusted([0.3], [1.0], Adjustment(1.0, 0.05, 0.7)).tolist() == [1.0]


# ---- the test on rows --------------------------------------------------------------------------


def test_for_accuracy_swaps_are_mcnemars_test() -> None:
    rng = np.random.default_rng(0)
    truth, a = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    b = np.where(rng.random(200) < 0.3, truth, a)
    found = swap_test(truth, a, b, 2, "accuracy")
    assert found == pytest.approx(mcnemar(a == truth, b == truth).exact, abs=0.005)


def test_swaps_keep_their_level_where_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    small = 0
    for seed in range(200):
        truth = np.repeat([0, 1, 2], [150, 20, 8])
        a, b = (np.where(rng.random(178) < 0.7, truth, rng.integers(0, 3, 178)) for _ in "ab")
        small += swap_test(truth, a, b, 3, "balanced_accuracy", seed=seed) <= 0.05
    assert small <= 20  # 10 expected; more than 20 has a chance of 0.1 %


def test_rare_classes_have_their_say_and_groups_swap_together() -> None:
    truth = np.repeat([0, 1], [990, 10])
    a, b = np.zeros(1000, int), np.where(truth == 1, 1, 0)
    b[:10] = 1  # as many frequent rows are lost as rare ones are found
    assert swap_test(truth, a, b, 2, "accuracy") == 1.0
    for metric in ("balanced_accuracy", "macro_f1"):
        assert swap_test(truth, a, b, 2, metric) < 0.01  # type: ignore[arg-type]
    one_speaker = np.zeros(1000, int)
    assert swap_test(truth, a, b, 2, "balanced_accuracy", one_speaker) == 1.0
    assert swap_test(truth, a, a, 2, "balanced_accuracy") == 1.0


def test_scores_from_totals() -> None:
    rng = np.random.default_rng(2)
    truth, p = rng.integers(0, 4, 60), rng.random((60, 4))
    said = p.argmax(axis=1)
    table = metrics.confusion(truth, said, 4)
    totals = np.stack([table.diagonal(), table.sum(axis=1), table.sum(axis=0)])
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        expected = getattr(metrics, name)(truth, p)
        assert float(metrics.from_totals(totals, name)) == pytest.approx(expected)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="log_loss"):
        metrics.from_totals(totals, "log_loss")


# ---- end to end --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uneven_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = overlapping(600, 40, 1.2)
    rows = ["a,b,c,y"]
    for x, y in zip(data.inputs.tolist(), data.labels.tolist(), strict=True):
        rows.append(",".join(f"{v:.4f}" for v in x) + (",yes" if y else ",no"))
    path = tmp_path_factory.mktemp("uneven") / "uneven.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


SMALL = [
    *("--folds", "3", "--seeds", "1", "--set", "epochs=8", "--set", "lr=0.01"),
    *("--set", "model=Mlp((16,), norm='none')", "--set", "regularize=()"),
]


def test_fit_with_the_coach_keeps_a_remedy(
    uneven_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    app(
        ["fit", str(uneven_csv), "--coach", "--out", str(out), *SMALL, "--quiet", "--json"],
        standalone_mode=False,
    )
    text = capsys.readouterr().out
    result = json.loads(text.splitlines()[-1])
    assert result["metric"]["name"] == "balanced_accuracy" and not result["metric"]["asked"]
    assert result["imbalance"]["ratio"] == 15 and result["imbalance"]["majority_errors"] == 32
    adopted = [d for d in result["decisions"] if d["outcome"] == "adopted"]
    assert adopted and adopted[0]["because"] == "imbalance"
    assert "balance" in adopted[0]["changes"] and result["recipe"]["balance"] != "None"
    assert adopted[0]["difference"]["value"] > 0.1
    assert result["validation"]["balanced_accuracy"]["value"] > 0.7
    # accuracy is that of a guess, yet rare rows are found: labels are learnable
    assert not any(f["code"] == "D10" for f in result["findings"])
    assert "balanced accuracy" in text.splitlines()[1]
    assert "15.0 to 1" in text and 'recall of "yes"' in text
    machines = {b["name"]: b["test"] for b in result["baselines"] if b["name"].startswith("SVM")}
    assert machines["SVM"]["log_loss"]["value"] is None
    # the lecture's remark: it favours the class with more samples, though adjustable
    plain, weighted = (machines[n]["balanced_accuracy"]["value"] for n in ("SVM", "SVM, weighted"))
    assert plain < 0.6 < weighted
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<h2>Yardsticks</h2>" in page and "SVM, weighted" in page and "Uneven classes" in page
    assert "balanced accuracy" in page.split("</h1>")[0]


def test_another_metric_can_be_asked_for(
    uneven_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for metric, words in (("macro_f1", "macro f1"), ("log_loss", "log loss")):
        out = tmp_path / metric
        options = ["--metric", metric, "--no-coach", "--quiet", "--json"]
        app(["fit", str(uneven_csv), "--out", str(out), *SMALL, *options], standalone_mode=False)
        text = capsys.readouterr().out
        result = json.loads(text.splitlines()[-1])
        assert result["metric"] == {"name": metric, "why": "asked for", "asked": True}
        assert words in text.splitlines()[1].lower()
        page = (out / "report.html").read_text(encoding="utf-8").lower()
        assert words in page.split("</h1>")[0]


def test_compare_by_macro_f1(uneven_csv: Path) -> None:
    found = tw.compare(
        "epochs=4; lr=0.01; model=Mlp((8,), norm='none')",
        "epochs=4; lr=0.01; model=Mlp((8,), norm='none'); balance=ClassWeights()",
        uneven_csv,
        folds=3,
        looks=(1,),
        metric="macro_f1",
    )
    arm = found.arms[0]
    assert found.metric == "macro_f1" and found.unit.name == "points"
    assert np.allclose(found.scores(0), arm.macro_f1)
    assert not np.allclose(arm.macro_f1, arm.balanced_accuracy)


def test_a_metric_that_is_none(uneven_csv: Path) -> None:
    with pytest.raises(tw.UserError, match="no metric"):
        tw.fit(uneven_csv, metric="acuracy")  # type: ignore[arg-type]
