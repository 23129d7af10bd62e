"""Rules one by one, on evidence made by hand: what makes each speak, and what keeps it silent."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from trainwell.doctor import (
    fit_rules,
    gradient_rules,
    label_rules,
    outcome_rules,
    rate_rules,
    schedule_rules,
    stopping_rules,
)
from trainwell.doctor.evidence import Arm, Evidence, Floats, Layer, Setup
from trainwell.doctor.finding import Check, Finding
from trainwell.doctor.label_rules import finds_classes
from trainwell.doctor.thresholds import THRESHOLDS as LIMITS


def curve(*parts: Floats) -> Floats:
    """Three members that differ by a little."""
    one = np.concatenate(parts)
    return np.stack([one, one * 1.01, one * 0.99])


def made(train: Floats, setup: Setup = Setup(), **more: Any) -> Evidence:  # noqa: B008
    """Evidence of ten classes with this training loss, and a validation loss a little above."""
    series = {
        "lr": np.full(train.shape, 0.1),
        "train_loss": train,
        "train_accuracy": np.clip(1 - train / 2.6, 0.1, 1),
        "val_loss": train + 0.05,
        "val_accuracy": np.clip(1 - (train + 0.05) / 2.6, 0.1, 1),
        "val_error": np.full(train.shape, 0.02),
    }
    given = more.pop("series", {})
    return Evidence(
        np.arange(1.0, train.shape[1] + 1),
        {**series, **given},
        setup=setup,
        **{"classes": 10, "val_rows": 500, "sample_rows": 500, **more},
    )


FALLING = curve(2.2 * np.exp(-np.arange(30) / 4) + 0.02)


def level(finding: Finding | None) -> str:
    return "silent" if finding is None else finding.level


def arm(name: str, accuracy: float, loss: float, runs: int = 5) -> Arm:
    wiggle = np.linspace(-0.001, 0.001, runs)
    return Arm(name, (("x", name),), loss + wiggle, accuracy + wiggle, loss + wiggle)


def raced(*arms: Arm, **more: Any) -> Evidence:
    return made(FALLING, race=(arm("control", 0.90, 0.30), *arms), **more)


def test_a_race_over_rates_decides() -> None:
    high, low = rate_rules.learning_rate_too_high, rate_rules.learning_rate_too_low
    worse, better = arm("lr x2", 0.85, 0.4), arm("lr /2", 0.96, 0.2)
    assert level(high(raced(worse, better), LIMITS)) == "fault"
    assert low(raced(worse, better), LIMITS) is None
    same = raced(arm("lr x2", 0.905, 0.29), arm("lr /2", 0.90, 0.31))
    assert high(same, LIMITS) is None and low(same, LIMITS) is None
    assert rate_rules.rate_is_cleared(same, LIMITS)
    # Less loss without more accuracy is no alarm; a gain within the noise of few rows is none.
    assert level(low(raced(arm("lr x2", 0.903, 0.2)), LIMITS)) == "note"
    assert level(low(raced(arm("lr x2", 0.94, 0.28), val_rows=60), LIMITS)) == "silent"
    # Two runs are too few; a run that diverged counts as a bad one.
    two = made(FALLING, race=(arm("control", 0.9, 0.3, 2), arm("lr /2", 0.99, 0.1, 2)))
    assert high(two, LIMITS) is None
    lost = dataclasses.replace(arm("control", 0.5, 0.5), loss=np.full(5, math.inf))
    assert level(high(made(FALLING, race=(lost, better)), LIMITS)) == "fault"


def test_a_ladder_that_ends_inside_clears_the_rate() -> None:
    assert rate_rules.rate_is_cleared(made(FALLING, ladder={"edge": False}), LIMITS)
    assert not rate_rules.rate_is_cleared(made(FALLING, ladder={"edge": True}), LIMITS)
    assert rate_rules.suspects_rate(made(FALLING, ladder={"edge": True}), LIMITS)
    assert not rate_rules.suspects_rate(made(FALLING), LIMITS)


def test_loss_that_ends_above_a_guess_is_a_high_rate_unless_it_falls_smoothly() -> None:
    rng = np.random.default_rng(0)
    wild = 3 + rng.normal(0, 0.3, (3, 30))
    assert level(rate_rules.learning_rate_too_high(made(wild), LIMITS)) == "fault"
    slow = curve(np.linspace(2.9, 2.6, 30))
    assert rate_rules.learning_rate_too_high(made(slow), LIMITS) is None
    assert level(rate_rules.learning_rate_too_low(made(slow), LIMITS)) == "fault"


def test_a_loss_that_is_not_finite() -> None:
    loss = FALLING.copy()
    loss[1, 7:] = math.nan
    evidence = made(FALLING, series={"train_loss": loss, "val_loss": loss})
    found = rate_rules.loss_not_finite(evidence, LIMITS)
    assert found is not None and "epoch 8 (1 of 3 trainings)" in found.words
    ended = {n: np.where(np.isnan(loss), math.nan, s) for n, s in made(FALLING).series.items()}
    assert rate_rules.loss_not_finite(made(FALLING, series=ended), LIMITS) is None
    hole = FALLING.copy()
    hole[:, 3] = math.nan
    assert rate_rules.loss_not_finite(made(FALLING, series={"val_loss": hole}), LIMITS) is None


def test_inputs_that_are_not_finite_are_told_from_a_high_rate() -> None:
    nothing = np.full((3, 3), math.nan)
    lost = {"gradient": nothing, "weight": np.ones((3, 3)), "mean": nothing}
    evidence = made(
        np.full((3, 2), math.nan),
        diverged=(True,) * 3,
        layers=(Layer("1", "weight", lost), Layer("2", "units", {"mean": nothing})),
    )
    found = rate_rules.loss_not_finite(evidence, LIMITS)
    assert found is not None and "NaN or infinite" in found.words
    assert rate_rules.learning_rate_too_high(evidence, LIMITS) is None


def test_swings_that_do_not_calm_down() -> None:
    swing = 0.4 * (-1.0) ** np.arange(30)
    wild = curve(1.6 + swing)
    assert level(stopping_rules.oscillating_loss(made(wild), LIMITS)) == "warning"
    assert level(stopping_rules.oscillating_loss(made(curve(0.5 + swing)), LIMITS)) == "note"
    calming = curve(1.6 + swing * np.exp(-np.arange(30) / 6))
    assert stopping_rules.oscillating_loss(made(calming), LIMITS) is None
    assert stopping_rules.oscillating_loss(made(wild, unit="step"), LIMITS) is None


def test_a_plateau_is_a_note_until_annealing_wins() -> None:
    rng = np.random.default_rng(1)
    flat = np.concatenate([np.full((3, 10), 1.5), np.full((3, 30), 0.9)], axis=1)
    flat = flat + rng.normal(0, 0.01, flat.shape)
    constant = Setup(schedule="Constant")
    assert level(stopping_rules.plateau(made(flat, constant), LIMITS)) == "note"
    race = (arm("control", 0.7, 0.9), arm("annealed", 0.75, 0.7))
    assert level(stopping_rules.plateau(made(flat, constant, race=race), LIMITS)) == "warning"
    assert stopping_rules.plateau(made(FALLING, constant), LIMITS) is None


def test_a_loss_still_falling_was_stopped_too_early() -> None:
    short = curve(2.2 * np.exp(-np.arange(10) / 6))
    assert level(stopping_rules.stopped_too_early(made(short), LIMITS)) == "warning"
    assert stopping_rules.stopped_too_early(made(FALLING), LIMITS) is None
    one = made(short, series={n: s[:1] for n, s in made(short).series.items()})
    assert level(stopping_rules.stopped_too_early(one, LIMITS)) == "note"
    longer = raced(arm("longer", 0.95, 0.2))
    assert level(stopping_rules.stopped_too_early(longer, LIMITS)) == "warning"
    unhelped = made(short, race=(arm("control", 0.9, 0.3), arm("longer", 0.9, 0.3)))
    assert stopping_rules.stopped_too_early(unhelped, LIMITS) is None


def test_trained_too_long_is_a_note() -> None:
    rising = np.concatenate([np.linspace(2, 0.5, 10), np.linspace(0.5, 1.0, 20)])
    evidence = made(FALLING, series={"val_loss": curve(rising)})
    found = stopping_rules.trained_too_long(evidence, LIMITS)
    assert level(found) == "note" and found is not None and "epoch 10 of 30" in found.words
    assert stopping_rules.trained_too_long(made(FALLING), LIMITS) is None


def test_a_schedule_that_collapsed_while_the_loss_fell() -> None:
    rates = curve(0.1 * 0.3 ** np.arange(30.0))
    stopped = curve(np.concatenate([np.linspace(2.2, 1.6, 5), np.full(25, 1.59)]))
    evidence = made(stopped, series={"lr": rates})
    assert level(schedule_rules.schedule_collapsed(evidence, LIMITS)) == "fault"
    done = made(FALLING, series={"lr": rates})
    assert schedule_rules.schedule_collapsed(done, LIMITS) is None
    assert schedule_rules.schedule_collapsed(made(stopped), LIMITS) is None


def test_settings_of_the_optimiser() -> None:
    odd = made(FALLING, Setup(momentum=0.95, batch_size=2, eps=1e-20))
    found = schedule_rules.optimiser_settings(odd, LIMITS)
    assert level(found) == "note" and found is not None and "2 rows per step" in found.words
    usual = made(FALLING, Setup(momentum=0.9, batch_size=32, eps=1e-8))
    assert schedule_rules.optimiser_settings(usual, LIMITS) is None


def units(name: str, first: float, last: float, epochs: int = 30) -> Layer:
    values = curve(np.linspace(first, last, epochs + 1))
    return Layer("2", "units", {name: np.clip(values, 0, 1), "spread": np.ones_like(values)})


def test_silent_units_are_a_fault_only_where_nothing_is_learned() -> None:
    flat = curve(np.full(30, 2.3))
    dying = (units("dead", 0.0, 0.9),)
    assert level(gradient_rules.dying_relu(made(flat, layers=dying), LIMITS)) == "fault"
    assert level(gradient_rules.dying_relu(made(FALLING, layers=dying), LIMITS)) == "note"
    always = (units("dead", 0.6, 0.6),)
    assert gradient_rules.dying_relu(made(flat, layers=always), LIMITS) is None
    full = (units("saturated", 0.8, 0.9),)
    assert level(gradient_rules.saturated_units(made(flat, layers=full), LIMITS)) == "fault"
    assert level(gradient_rules.saturated_units(made(FALLING, layers=full), LIMITS)) == "note"


def gradients(first: Floats, last: Floats) -> tuple[Layer, ...]:
    def layer(name: str, values: Floats) -> Layer:
        norms = {"gradient": curve(values), "weight": np.ones((3, len(values)))}
        return Layer(name, "weight", norms)

    return layer("1", first), layer("3", last)


def test_small_gradients_vanish_only_where_the_loss_is_stuck() -> None:
    faint = gradients(np.full(31, 1e-6), np.full(31, 0.1))
    flat = curve(np.full(30, 2.3))
    deep = Setup(depth=12, normalised=False)
    assert level(gradient_rules.vanishing_gradient(made(flat, layers=faint), LIMITS)) == "fault"
    assert gradient_rules.vanishing_gradient(made(FALLING, layers=faint), LIMITS) is None
    stuck = made(flat, deep, layers=faint)
    found = gradient_rules.deep_without_normalisation(stuck, LIMITS)
    assert found is not None and "vanishing gradient" in found.words
    normal = made(flat, Setup(depth=12, normalised=True), layers=faint)
    assert gradient_rules.deep_without_normalisation(normal, LIMITS) is None
    assert gradient_rules.deep_without_normalisation(made(FALLING, deep), LIMITS) is None


def test_gradients_that_jump_matter_with_the_loss() -> None:
    norms = np.ones(31)
    norms[[11, 21]] = 200
    loss = FALLING.copy()
    loss[:, [10, 20]] += 1.0
    layers = gradients(norms, norms)
    assert level(gradient_rules.exploding_gradient(made(loss, layers=layers), LIMITS)) == "warning"
    assert gradient_rules.exploding_gradient(made(FALLING, layers=layers), LIMITS) is None


def confusion(recalls: list[float], rows: list[int]) -> Any:
    found = np.zeros((len(rows), len(rows)), np.int64)
    for c, (recall, n) in enumerate(zip(recalls, rows, strict=True)):
        found[c, c] = round(recall * n)
        found[c, 0 if c else 1] += n - found[c, c]
    return found


def test_a_minority_that_is_not_found() -> None:
    rare = confusion([0.99, 0.95, 0.1], [500, 400, 40])
    found = outcome_rules.minority_ignored(
        made(FALLING, confusion=rare, class_names=("a", "b", "c"), classes=3), LIMITS
    )
    assert found is not None and found.where is not None
    assert found.level == "warning" and found.where.classes == (2,) and "rows of c" in found.words
    few = confusion([0.99, 0.95, 0.5], [500, 400, 4])
    assert outcome_rules.minority_ignored(made(FALLING, confusion=few, classes=3), LIMITS) is None
    hard = confusion([0.9, 0.2], [100, 100])
    assert outcome_rules.minority_ignored(made(FALLING, confusion=hard, classes=2), LIMITS) is None


def test_one_answer_for_all_rows() -> None:
    base = -0.7 * math.log(0.7) - 0.3 * math.log(0.3)
    rows: dict[str, Any] = {"classes": 2, "class_counts": (700, 300)}
    rows["series"] = {"val_accuracy": np.full((3, 30), 0.7)}
    collapsed = made(curve(np.full(30, base)), confusion=confusion([1, 0], [700, 300]), **rows)
    assert level(outcome_rules.collapsed_predictor(collapsed, LIMITS)) == "fault"
    counts_unknown = dataclasses.replace(collapsed, confusion=None)
    assert level(outcome_rules.collapsed_predictor(counts_unknown, LIMITS)) == "fault"
    # Hard but honest: hardly better than the majority in accuracy, but not in loss.
    rows["series"] = {**rows["series"], "val_loss": np.full((3, 30), 0.8 * base)}
    hard = made(FALLING, confusion=confusion([0.97, 0.1], [700, 300]), **rows)
    assert outcome_rules.collapsed_predictor(hard, LIMITS) is None


def test_validation_that_is_too_good() -> None:
    better = made(FALLING, series={"train_accuracy": curve(np.full(30, 0.8))})
    better = dataclasses.replace(
        better, series={**better.series, "val_accuracy": curve(np.full(30, 0.95))}
    )
    assert level(outcome_rules.too_good(better, LIMITS)) == "note"
    loose = dataclasses.replace(better, clean_train=False)
    assert outcome_rules.too_good(loose, LIMITS) is None
    assert outcome_rules.too_good(made(FALLING), LIMITS) is None


def test_uncertain_numbers_give_no_verdict() -> None:
    assert outcome_rules.no_verdict(made(FALLING), LIMITS) is None
    half = {"val_accuracy": curve(np.full(30, 0.7))}
    small = made(FALLING, val_rows=40, series=half)
    assert level(outcome_rules.no_verdict(small, LIMITS)) == "note"


def test_members_together_beat_one() -> None:
    alone = {"val_accuracy": np.full((3, 30), 0.90)}
    counts = confusion([0.95, 0.95], [500, 500])
    evidence = made(FALLING, series=alone, confusion=counts, best=(30, 30, 30))
    assert level(outcome_rules.ensemble_pays(evidence, LIMITS)) == "note"
    same = dataclasses.replace(evidence, confusion=confusion([0.9, 0.9], [500, 500]))
    assert outcome_rules.ensemble_pays(same, LIMITS) is None


def test_a_gap_needs_a_loss_that_rose() -> None:
    perfect = {"train_accuracy": np.ones((3, 30)), "val_accuracy": curve(np.full(30, 0.85))}
    rose = curve(np.concatenate([np.linspace(2, 0.5, 10), np.linspace(0.5, 0.9, 20)]))
    rises = made(FALLING, series={**perfect, "val_loss": rose})
    assert level(fit_rules.overfitting(rises, LIMITS)) == "warning"
    steady = made(FALLING, series={**perfect, "val_loss": FALLING + 0.4})
    assert level(fit_rules.overfitting(steady, LIMITS)) == "note"
    small = {**perfect, "val_accuracy": curve(np.full(30, 0.97))}
    assert fit_rules.overfitting(made(FALLING, series=small), LIMITS) is None
    race = (arm("control", 0.85, 0.5), arm("regularised", 0.89, 0.4))
    helped = made(FALLING, series={**perfect, "val_loss": FALLING + 0.4}, race=race)
    assert level(fit_rules.overfitting(helped, LIMITS)) == "warning"


def test_an_unstable_or_cut_training_is_not_overfitting() -> None:
    """Both losses rise: the weights got worse for all rows, which is no learning by heart."""
    apart = {"train_accuracy": curve([0.6, 0.9, 0.8]), "val_accuracy": curve([0.5, 0.7, 0.6])}
    short = curve([1.2, 0.6, 0.9])
    lost = {**apart, "val_loss": short + 0.5}
    assert level(fit_rules.overfitting(made(short, series=lost), LIMITS)) == "note"
    kept = made(curve([1.2, 0.6, 0.55]), series=lost)
    assert level(fit_rules.overfitting(kept, LIMITS)) == "warning"
    # Where only some epochs were scored on training rows, those say it.
    gaps = curve([1.2, 0.6, 0.9, 1.0])
    gaps[:, 2] = np.nan
    more = {"train_accuracy": curve([0.6, 0.9, 0.8, 0.8]), "val_accuracy": curve([0.5, 0.6] * 2)}
    rose = made(gaps, series={**more, "val_loss": curve([1.7, 1.1, 1.4, 1.5])})
    assert level(fit_rules.overfitting(rose, LIMITS)) == "note"


def test_augmentation_that_hurts() -> None:
    hurts = raced(arm("no augmentation", 0.95, 0.2))
    assert level(fit_rules.augmentation_hurts(hurts, LIMITS)) == "warning"
    helps = raced(arm("no augmentation", 0.88, 0.35))
    assert fit_rules.augmentation_hurts(helps, LIMITS) is None


def test_rare_classes_that_are_found_are_no_guess() -> None:
    guess, finds = np.array([[480, 0], [32, 0]]), np.array([[420, 60], [8, 24]])
    lucky = np.array([[478, 2], [31, 1]])
    assert finds_classes(finds)
    assert not finds_classes(guess) and not finds_classes(lucky) and not finds_classes(None)
    assert not finds_classes(np.array([[336, 144], [20, 12]]))  # at random


SHARES = (480, 24)
GUESS = -sum(n / 504 * math.log(n / 504) for n in SHARES)
CHECK = Check("D10", "misaligned-labels", "warning", 0.5, 0.05, "words.")
LEAK = Check("D13", "leaking-column", "warning", 0.5, 0.2, "words.")


def by_heart(best: float, counts: tuple[int, ...] = SHARES, **more: Any) -> Evidence:
    """Two classes, learned by heart; best: the lowest validation loss over that of a guess. In one
    fold no training is surely better than a guess, and all are as often right."""
    shares = np.array(counts) / sum(counts)
    base = float(-(shares * np.log(shares)).sum())
    series = {
        "val_loss": curve(base * np.concatenate([[1.2, best], np.linspace(best, 2, 28)])),
        "val_accuracy": np.full((3, 30), shares.max()),
        "val_error": np.full((3, 30), 0.25 * base),
    }
    given = {"classes": 2, "class_counts": counts, "val_rows": 100, "checks": (CHECK,)}
    return made(FALLING * base / 2.3, series=series, **(given | more))


def test_labels_of_uneven_classes_are_judged_by_all_trainings_together() -> None:
    judge = label_rules.labels_not_learnable
    found = judge(by_heart(1.0), LIMITS)
    assert level(found) == "fault" and found is not None
    assert f"log loss {GUESS:.3f} at best, a guess {GUESS:.3f}" in found.words
    assert "right" not in found.words  # 95 of 100 are, whatever is learned
    assert judge(by_heart(0.8), LIMITS) is None
    # Of even classes accuracy shows it, as the loss of one fold does not.
    assert level(judge(by_heart(0.8, (252, 252)), LIMITS)) == "fault"
    even = judge(by_heart(1.0, (252, 252)), LIMITS)
    assert even is not None and "50 % right, a guess 50 %" in even.words


def test_labels_of_uneven_classes_need_evidence_that_accuracy_does_not_hide() -> None:
    judge = label_rules.labels_not_learnable
    fits = dataclasses.replace(CHECK, level="pass", value=0.025)
    assert judge(by_heart(1.0, checks=(fits,)), LIMITS) is None
    assert judge(by_heart(1.0, checks=()), LIMITS) is None
    missed, found = np.array([[478, 2], [24, 0]]), np.array([[470, 10], [10, 14]])
    told = judge(by_heart(1.0, checks=(), confusion=missed), LIMITS)
    assert told is not None and "balanced accuracy 50 %, a guess 50 %" in told.words
    assert judge(by_heart(1.0, confusion=found), LIMITS) is None
    # Simple models are as often right as a guess, whatever they find.
    lazy = {"reference": {"linear": 0.95}, "checks": ()}
    assert judge(by_heart(1.0, **lazy), LIMITS) is None
    assert level(judge(by_heart(1.0, (252, 252), reference={"linear": 0.5}), LIMITS)) == "fault"


def test_labels_that_one_input_predicts_belong_to_their_rows() -> None:
    for counts in (SHARES, (252, 252)):
        leak = by_heart(1.0, counts, checks=(CHECK, LEAK))
        assert label_rules.labels_not_learnable(leak, LIMITS) is None
        none = dataclasses.replace(LEAK, level="pass")
        dull = by_heart(1.0, counts, checks=(CHECK, none))
        assert level(label_rules.labels_not_learnable(dull, LIMITS)) == "fault"
