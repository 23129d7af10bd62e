"""The zoo of planted faults: its truth, halves, draws and tables do what its page says."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_rel

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no package of ours

from benchmarks.doctor import published, tables, truth, zoo  # noqa: E402
from benchmarks.doctor.data import (  # noqa: E402
    Duplicates,
    Imbalanced,
    LabelNoise,
    Leak,
    Material,
    Scaled,
    Sorted,
    draw,
)
from benchmarks.doctor.judge import Judged  # noqa: E402

from trainwell.doctor.evidence import Evidence, Layer, Setup  # noqa: E402

CASES = zoo.all_cases()
WINE = Material("wine", 120, 4, 58)


def card(accuracy: list[float], **others: Any) -> dict[str, Any]:
    return {
        "runs": len(accuracy) // 3,
        "metric": "accuracy",
        "test_accuracy": accuracy,
        "test_balanced": accuracy,
        "val_accuracy": accuracy,
        "diverged": [False] * len(accuracy),
        "race_accuracy": [accuracy, accuracy],
    } | others


def test_statistics_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0.90, 0.02, 9), rng.normal(0.87, 0.02, 9)
    mean, p_t, p_flip, effect = truth.compare(good, bad)
    assert p_t == pytest.approx(ttest_rel(good, bad).pvalue)
    exact = permutation_test((good, bad), lambda a, b: np.mean(a - b), permutation_type="samples")
    assert p_flip == pytest.approx(exact.pvalue)
    assert effect == pytest.approx(mean / np.sqrt((good.var(ddof=1) + bad.var(ddof=1)) / 2))


def test_a_fault_must_do_harm_and_a_spared_run_does_not_count() -> None:
    noise = np.random.default_rng(1).normal(0, 0.004, 12)
    good = list(0.9 + noise)
    bad = [*(0.8 + noise[:9] / 2), *good[9:]]
    found = truth.truth_of_fault(card(bad), card(good))
    assert found.verdict == "fault" and found.hit == (True, True, True, False)
    slight = list(0.89 + noise)  # one point: not enough, however sure
    assert truth.truth_of_fault(card(slight), card(good)).verdict == "equivalent"


def test_overstatement_is_validation_beyond_the_test() -> None:
    noise = np.random.default_rng(2).normal(0, 0.004, 12)
    honest = card(list(0.8 + noise), metric="overstated")
    flattered = card(list(0.8 - noise), metric="overstated", val_accuracy=list(0.9 + noise))
    assert truth.truth_of_fault(flattered, honest).verdict == "fault"
    assert truth.truth_of_fault(honest, honest).verdict == "equivalent"


def test_a_beaten_configuration_is_not_healthy() -> None:
    own = list(0.9 + np.random.default_rng(3).normal(0, 0.004, 12))
    assert truth.truth_of_healthy(card(own), 0.85).verdict == "healthy"
    assert truth.truth_of_healthy(card(own), 0.95).verdict == "unsound"
    won = card(own, race_accuracy=[own, [a + 0.03 for a in own]])
    assert truth.truth_of_healthy(won, None).verdict == "unsound"
    assert truth.truth_of_healthy(card(own, diverged=[True] * 12), None).verdict == "unsound"


def test_halves_keep_data_and_family_together() -> None:
    half = zoo.sides(CASES)
    assert half == zoo.sides(tuple(reversed(CASES))) and set(half) == {c.name for c in CASES}
    groups: dict[str, set[str]] = {}
    for case in CASES:
        if case.faulty:
            groups.setdefault(case.group, set()).add(half[case.name])
    assert all(len(sides) == 1 for sides in groups.values())
    for faulty in (False, True):
        share = np.mean([half[c.name] == "development" for c in CASES if c.faulty == faulty])
        assert 0.4 < share < 0.6


def test_planted_cases_differ_from_their_twin_in_what_was_planted() -> None:
    by_name = {c.name: c for c in CASES}
    for case in (c for c in CASES if c.faulty):
        twin = by_name[case.twin]
        assert not twin.faulty and twin.runs >= case.runs
        kept = dataclasses.replace(case.material, plants=twin.material.plants)
        assert kept == twin.material
        changed = case.recipe != twin.recipe or case.material != twin.material
        assert changed, case.name


def test_draws_of_twins_share_rows_and_folds_are_even() -> None:
    plain, again = draw(WINE, 3), draw(WINE, 3)
    np.testing.assert_array_equal(plain.data.inputs, again.data.inputs)
    scaled = draw(dataclasses.replace(WINE, plants=(Scaled(2.0),)), 3)
    np.testing.assert_array_equal(plain.data.labels, scaled.data.labels)
    for fold in plain.split.folds:
        assert len(fold.train) == 90 and len(fold.validation) == 30
        assert not set(fold.train) & set(fold.validation)
        counts = np.bincount(plain.data.labels[fold.validation], minlength=3)
        assert counts.max() - counts.min() < 12  # of classes with 32 to 48 of 120 rows
    assert not np.array_equal(plain.data.inputs, draw(WINE, 4).data.inputs)


def test_plants_touch_development_rows_only() -> None:
    plain = draw(WINE, 0)
    n, labels = plain.development, plain.data.labels

    def planted(plant: Any) -> Any:
        return draw(dataclasses.replace(WINE, plants=(plant,)), 0)

    noisy = planted(LabelNoise(0.4)).data.labels
    assert np.mean(noisy[:n] != labels[:n]) == pytest.approx(0.4)
    np.testing.assert_array_equal(noisy[n:], labels[n:])
    copied = planted(Duplicates(0.4)).data
    assert len(np.unique(copied.keys[:n])) <= 0.6 * n + 1
    np.testing.assert_array_equal(copied.inputs[n:], plain.data.inputs[n:])
    leak = planted(Leak()).data
    assert np.corrcoef(leak.inputs[:n, -1], labels[:n])[0, 1] > 0.99
    assert abs(np.corrcoef(leak.inputs[n:, -1], labels[n:])[0, 1]) < 0.6
    ordered = planted(Sorted()).data.labels[:n]
    assert (np.diff(ordered) >= 0).all()
    rare = dataclasses.replace(WINE, rows=60, plants=(Imbalanced(8.0),))
    counts = np.sort(np.bincount(draw(rare, 0).data.labels[:60]))
    assert counts[-1] / counts[0] > 6


def evidence(series: dict[str, list[float]], weights: dict[str, float], **setup: Any) -> Evidence:
    epochs = len(series["train_loss"])
    measures = {n: np.full((1, epochs + 1), v) for n, v in weights.items()}
    if weights["gradient"]:
        measures["weight"] = measures["weight"] + np.arange(epochs + 1) / 100  # they move
    layers = tuple(Layer(name, "weight", measures) for name in ("0", "2"))
    return Evidence(
        np.arange(1.0, epochs + 1),
        {n: np.array([v]) for n, v in series.items()},
        layers=layers,
        setup=Setup(**setup),
        diverged=(False,),
    )


def test_published_rules_on_curves_made_by_hand() -> None:
    falling = [1.0 / (1 + e) for e in range(12)]
    rising = [1 - v / 2 for v in falling]
    sound = {"gradient": 0.1, "weight": 3.0, "update": 1e-3, "zero": 0.1, "magnitude": 1e-3}
    curves = {"train_loss": falling, "val_loss": falling}
    curves |= {"train_accuracy": rising, "val_accuracy": [0.9 * a for a in rising]}
    healthy = published.symptoms(evidence(curves, sound, lr=0.005, epochs=12))
    assert not healthy["AUTOTRAINER"] and not healthy["DeepDiagnosis"]
    stuck = {n: [2.3] * 12 if "loss" in n else [0.1] * 12 for n in curves}
    dead = sound | {"gradient": 0.0, "zero": 1.0, "magnitude": 0.0}
    found = published.symptoms(evidence(stuck, dead, lr=0.05, epochs=12))
    assert found["AUTOTRAINER"] >= {"dying", "slow"}
    assert "zero" in found["DeepLocalize"] and "vanishing" in found["DeepDiagnosis"]
    assert "rate high" in found["UMLAUT"] and "zero" in found["SageMaker Debugger"]
    wild = curves | {"train_accuracy": [0.5, 0.9] * 6}
    swinging = published.symptoms(evidence(wild, sound, lr=0.005, epochs=12))
    assert "oscillating" in swinging["AUTOTRAINER"]
    assert all(s in published.MEANS for t in found.values() for s in t)


def test_rates_know_that_runs_of_one_configuration_are_alike() -> None:
    def run(case: str, number: int, hit: bool) -> Judged:
        alarms = {"doctor": ("R02",) if hit else ()}
        return Judged(case, "f", number, "development", True, "", (), (), alarms, {})

    judged = [run(f"case {c}", r, c < 5) for c in range(10) for r in range(20)]
    found = tables.rate(judged, lambda j: bool(j.alarms["doctor"]))
    assert (found["hits"], found["runs"], found["configurations"]) == (100, 200, 10)
    wilson, own = found["wilson"], found["clustered"]
    assert own[1] - own[0] > 3 * (wilson[1] - wilson[0])


def test_the_page_shows_the_results() -> None:
    results = ROOT / "benchmarks" / "doctor" / "results.json"
    if not results.exists():
        pytest.skip("no results are kept yet")
    page = results.with_suffix(".md").read_text(encoding="utf-8")
    assert page == tables.as_markdown(json.loads(results.read_text(encoding="utf-8")))
