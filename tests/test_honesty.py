"""Attacks on the numbers: labels of chance, answers in a column, strange test rows, copies."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import trainwell as tw
from trainwell.checking import check_data
from trainwell.data.read import read
from trainwell.data.split import make_split

FILE = Path(__file__).parent.parent / "benchmarks" / "duplicates.py"  # no package of ours
spec = importlib.util.spec_from_file_location("bench_duplicates", FILE)
assert spec is not None and spec.loader is not None
copies = importlib.util.module_from_spec(spec)
spec.loader.exec_module(copies)
QUICK = {"epochs": 3, "lr": 0.01}
CLASSES, ROWS = 3, 150
TABLES = (
    *("preprocess=Standardize()", "preprocess=Raw()", "preprocess=Center()", "preprocess=MinMax()"),
    *("preprocess=Robust()", "preprocess=PerSample()", "preprocess=Pca(components=0.9)"),
    *("preprocess=Whiten()", "augment=Jitter()", "augment=MixUp()", "balance=Oversample()"),
    *("balance=Smote()", "balance=ClassWeights()", "balance=LogitAdjust()", "balance=Focal()"),
    *("balance=ThresholdMove()", "balance=EffectiveNumber()", "model=Linear()"),
)
PICTURES = (
    *("augment=Shift()", "augment=Rotate()", "augment=CutMix()", "augment=Elastic()"),
    *("augment=Flip()", "preprocess=PerSample()", "preprocess=Whiten(kind='zca')"),
)
CLIPS = ("augment=AddNoise()", "augment=TimeShift()", "preprocess=(LogMel(), PerSample())")


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's looks at the data would take most of the time."""
    monkeypatch.setattr("trainwell.fitting.LEAST_TO_CHECK", 1e9)


def labels(seed: int) -> Any:
    """As many of each class, in an order of chance."""
    return np.random.default_rng(seed).permutation(np.arange(ROWS) % CLASSES)


def source(kind: str, place: Path, seed: int = 0, y: Any = None) -> Path:
    """Inputs of noise with labels that know nothing of them."""
    rng = np.random.default_rng(1000 + seed)
    inputs = {
        "table": lambda: rng.normal(size=(ROWS, 8)),
        "images": lambda: rng.integers(0, 256, (ROWS, 1, 8, 8)).astype(np.uint8),
        "audio": lambda: rng.normal(0, 3000, (ROWS, 1600)).astype(np.int16),
    }[kind]()
    path = place / f"{kind}{seed}.npz"
    np.savez(path, X=inputs, y=labels(seed) if y is None else y, rate=8000)
    return path


def covers(kind: str, change: str, seed: int, place: Path, **options: Any) -> bool:
    """Whether the interval of the sealed part holds what guessing gives."""
    field, _, value = change.partition("=")
    small = {"model": "Cnn(channels=(4,))"} if kind != "table" else {}
    run = tw.fit(
        source(kind, place, seed), kind=kind, settings=QUICK | small | {field: value},
        **({"folds": 2, "seeds": 1, "jobs": 1, "seed": seed, "coach": False,
            "ensemble": False, "budget": "1h"} | options),
        out=place / f"{kind}-{seed}",
    )  # fmt: skip
    found = run.result["test"]["accuracy"]
    assert run.result["test"]["n"] == ROWS // 5
    return bool(found["low"] <= 1 / CLASSES <= found["high"])


def most_misses(cells: int) -> int:
    """So many of 95 % intervals may miss, at a level of 1 in 1000."""
    return int(binom.ppf(0.999, cells, 0.05))


CELLS = [("table", change) for change in TABLES] + [("images", PICTURES[0]), ("audio", CLIPS[0])]
REST = [("images", change) for change in PICTURES] + [("audio", change) for change in CLIPS]


@pytest.mark.parametrize("cells", [CELLS, pytest.param(REST * 2, marks=pytest.mark.slow)])
def test_labels_of_chance_give_chance_whatever_is_switched_on(cells: Any, tmp_path: Path) -> None:
    assert len(cells) >= 20
    held = [covers(kind, change, seed, tmp_path) for seed, (kind, change) in enumerate(cells)]
    assert len(held) - sum(held) <= most_misses(len(cells))


@pytest.mark.slow
def test_labels_of_chance_give_chance_with_coach_and_ensemble(tmp_path: Path) -> None:
    held = []
    for seed in range(20):
        # The coach chooses the rate and whatever it likes; the members vote.
        options = {"coach": True, "ensemble": True, "folds": 3, "seeds": 2, "budget": "10s"}
        held.append(covers("table", "epochs=5", 100 + seed, tmp_path, **options))
    assert 20 - sum(held) <= most_misses(20)


def test_a_test_of_what_has_a_signal_is_not_at_chance(tmp_path: Path) -> None:
    """The same cells would show an answer that leaks from the test part."""
    y = labels(0)
    path = tmp_path / "told.npz"
    np.savez(path, X=np.random.default_rng(0).normal(size=(ROWS, 8)) + 2 * y[:, None], y=y)
    run = tw.fit(
        path,
        settings=QUICK | {"epochs": 20},
        folds=2,
        seeds=1,
        out=tmp_path / "run",
        jobs=1,
        coach=False,
    )
    assert run.result["test"]["accuracy"]["low"] > 0.6


def test_a_column_that_holds_the_answer_is_reported() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    frame = pd.DataFrame(rng.normal(size=(400, 5)), columns=list("abcde"))
    frame["answer"] = y * 10 + rng.normal(0, 0.1, 400)
    frame["class"] = np.array(["ash", "oak", "elm"])[y]
    level = {c.name: (c.level, c.words) for c in check_data(frame, target="class").checks}
    assert (
        level["leaking-column"][0] in ("warning", "fault")
        and '"answer"' in level["leaking-column"][1]
    )
    clean = check_data(frame.drop(columns="answer"), target="class").checks
    assert {c.name: c.level for c in clean}["leaking-column"] == "pass"


CHAINS = {
    "table": ("Standardize()", "MinMax()", "Robust()", "Whiten()", "Pca(components=0.9)"),
    "images": ("Standardize()", "Whiten(kind='zca')", "MinMax()"),
    "audio": ("(LogMel(), Standardize())",),
}


@pytest.mark.parametrize(
    ("kind", "chain"), [(k, c) for k, chains in CHAINS.items() for c in chains]
)
def test_a_constant_in_test_rows_changes_no_parameter(
    kind: str, chain: str, tmp_path: Path
) -> None:
    """Weights and fitted pre-processing are the same to the bit: nothing looks at the test part."""
    plain = source(kind, tmp_path)
    with np.load(plain) as stored:
        arrays = dict(stored)
    split = make_split(read(plain, kind=kind), seed=0, folds=2, test=0.2)
    sealed = np.setdiff1d(np.arange(ROWS), split.development)
    inputs = arrays["X"].reshape(ROWS, -1)
    inputs[sealed, : inputs.shape[1] // 2] = {"table": 1e6, "images": 255, "audio": 32767}[kind]
    changed = tmp_path / "changed" / plain.name
    changed.parent.mkdir()
    np.savez(changed, **arrays)
    small = {"model": "Cnn(channels=(4,))"} if kind == "audio" else {"model": "Mlp(hidden=(16,))"}
    weights, scores = [], []
    for place in (plain, changed):
        run = tw.fit(
            place, kind=kind, settings=QUICK | small | {"preprocess": chain}, folds=2, seeds=1,
            jobs=1, budget="1h", out=place.parent / "run", coach=False, ensemble=False,
        )  # fmt: skip
        weights.append((run.folder / "model" / "weights.safetensors").read_bytes())
        scores.append(run.result["test"]["log_loss"]["value"])
    assert weights[0] == weights[1] and scores[0] != scores[1]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("digits", "exact"), ("digits", "noise"), ("digits", "brighter")),
        *(("breast_cancer", "jittered"), ("fsdd", "hiss"), ("fsdd", "later")),
    ],
)
def test_copies_across_parts_are_found(name: str, change: str) -> None:
    from trainwell.data.samples import is_present

    if not is_present(name):
        pytest.skip(f"{name} is not there; name its folder in TRAINWELL_DATA")
    count, right, found = copies.planted(name, getattr(copies, change))
    assert right / count >= (0.99 if change == "exact" else 0.9)
    assert right / found >= 0.9
