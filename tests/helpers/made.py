"""Run folders made of invented numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trainwell import metrics


def scores(rng: np.random.Generator, n: int, classes: int, shift: float) -> dict[str, Any]:
    labels = rng.integers(0, classes, n)
    odds = rng.normal(size=(n, classes))
    odds[np.arange(n), labels] += shift
    p = np.exp(shift * odds)
    return metrics.score(labels, p / p.sum(axis=1, keepdims=True), 0, resamples=100).to_json()


def run_json(
    classes: int = 10, seed: int = 0, test: bool = True, members: int = 5
) -> dict[str, Any]:
    """What a finished run writes; invented, but with sizes that fit together."""
    rng = np.random.default_rng(seed)
    names = [str(k) for k in range(classes)]
    n = 36 * classes
    labels = np.arange(n) % classes
    said = np.where(rng.random(n) < 0.96, labels, rng.integers(0, classes, n))
    table = metrics.confusion(labels, said, classes)
    per_class = [
        {"class": name, "n": c.n, "recall": c.recall.to_json(), "precision": c.precision.to_json()}
        for name, c in zip(names, metrics.per_class(labels, said, classes), strict=True)
    ]
    rates = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    ladder = [
        {
            "lr": lr,
            "log_loss": None if lr > 0.3 else {"value": v, "low": v * 0.85, "high": v * 1.2},
            "accuracy": None if lr > 0.3 else 1 - v / 4,
            "diverged": lr > 0.3,
        }
        for lr in rates
        for v in [0.08 + 0.12 * (np.log10(lr / 0.05)) ** 2]
    ]
    return {
        "name": "digits",
        "kind": "images",
        "run": "runs/digits-20261123-160000",
        "command": "trainwell fit digits --seed 0",
        "seed": 0,
        "version": "0.1.0",
        "test": scores(rng, n, classes, 4.0) if test else None,
        "test_openings": 1 if test else 0,
        "validation": scores(rng, 4 * n, classes, 3.9),
        "train": {
            k: v
            for k, v in scores(rng, 4 * n, classes, 6.0).items()
            if k in ("accuracy", "log_loss", "n")
        },
        "baselines": [
            {
                "name": name,
                "says": says,
                "test": scores(rng, n, classes, shift) if test else None,
                "validation": scores(rng, 4 * n, classes, shift),
            }
            for name, says, shift in [
                ("majority", "always the most frequent class", 0.0),
                ("linear", "logistic regression", 3.4),
                ("boosted tree", "gradient boosting", 3.2),
            ]
        ],
        "classes": names,
        "confusion": table.tolist(),
        "confusion_part": "test" if test else "validation",
        "per_class": per_class,
        "data": {
            "rows": 5 * n,
            "counts": {name: int(rng.integers(174, 184)) for name in names},
            "imbalance": 1.05,
            "features": 64,
            "duplicates": 3,
            "conflicting_rows": 0,
            "range": [0, 240],
            "picture": {"channels": 1, "height": 8, "width": 8},
            "constant_features": 2,
            "groups": None,
            "shape": [1, 8, 8],
            "skipped": [{"where": "3/bad.png", "why": "not a picture: the file ends early"}],
            "notes": ["3 pictures occur twice; copies were kept in the same part."],
        },
        "split": {
            "test": n if test else 0,
            "folds": [{"train": 1150, "validation": 287}] * members,
            "notes": ["Stratified by class."],
        },
        "recipe": {
            "model": "Mlp(hidden=(256, 256))",
            "init": "He()",
            "preprocess": "Standardize()",
            "augment": "Shift(pixels=1)",
            "loss": "CrossEntropy()",
            "regularize": "(L2(strength=0.0001), Dropout(drop=0.2))",
            "optimizer": "Adam()",
            "schedule": "Cosine()",
            "lr": 0.05,
            "batch_size": 64,
            "epochs": 40,
            "patience": 10,
        },
        "ladder": {
            "rates": ladder,
            "chosen": 0.05,
            "edge": False,
            "says": "Nine rates, each trained for 5 epochs. 0.05 had the lowest validation loss; "
            "0.02 and 0.1 lie within its interval.",
        },
        "members": [
            {
                "member": k,
                "fold": k,
                "seed": k,
                "epochs": 31 + k,
                "best_epoch": 24 + k % 3,
                "validation_accuracy": 0.97 + 0.002 * k,
                "validation_log_loss": 0.1 - 0.003 * k,
                "diverged": False,
            }
            for k in range(members)
        ],
        "ensemble": {
            "members": members,
            "test_gain": {"value": 0.004, "low": -0.002, "high": 0.01},
            "says": f"The {members} members vote with equal weight.",
        },
        "reliability": [
            {
                "confidence": sure,
                "from": sure - 0.05,
                "to": min(1.0, sure + 0.03),
                "n": n // 4,
                "accuracy": {"value": right, "low": right - 0.08, "high": right + 0.02},
            }
            for sure, right in [(0.62, 0.55), (0.81, 0.84), (0.93, 0.95), (0.99, 0.98)]
        ],
        "mistakes": [
            {
                "row": 17,
                "where": "3/0017.png",
                "label": "3",
                "said": "8",
                "confidence": 0.97,
                "given": 0.02,
                "unusual": [{"column": "width", "value": 12.5, "usual": [1.0, 3.0]}],
            }
        ],
        "findings": [],
        "decisions": [],
        "coach": {
            "ran": True,
            "words": "3 remedies tried, none adopted",
            "ended": "everything that it would try was tried",
            "first": {"score_words": "90.0 %", "networks": 3, "diverged": 0, "findings": []},
        },
        "race": {"arms": [], "runs": 3, "words": "rate 0.01: 90.0 %; shown to be better: none"},
        "warnings": ["Two columns of pixels are the same in every picture."],
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0",
            "platform": "Linux x86_64",
            "cores": 2,
            "threads": 1,
            "device": "cpu",
        },
        "parameters": 84234,
        "seconds": 41.2,
        "peak_mb": 512,
        "started": "2026-11-23T16:00:00",
    }


def history(members: int = 5, epochs: int = 31, seed: int = 0) -> str:
    """history.csv of members that learn, then overfit a little."""
    rng = np.random.default_rng(seed)
    rows = ["member,epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy"]
    for k in range(members):
        slow = 3 + 0.6 * k
        for e in range(1, epochs + k + 1):
            loss = 2.2 * np.exp(-e / slow) + 0.01 + 0.01 * rng.random()
            val = 2.2 * np.exp(-e / slow) + 0.06 + 0.02 * k + 0.0015 * e + 0.02 * rng.random()
            train = f"{loss:.5f},{1 - loss / 4:.5f}" if e % 3 or e == 1 else ","
            rows.append(f"{k},{e},0.05,{train},{val:.5f},{1 - val / 4:.5f}")
    return "\n".join(rows) + "\n"


def write(
    folder: Path, facts: dict[str, Any], rows: str | None = None, pictures: bool = True
) -> Path:
    """A run folder on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "history.csv").write_text(history() if rows is None else rows, encoding="utf-8")
    if pictures:
        from sklearn.datasets import load_digits

        digits = load_digits()
        first = np.concatenate([np.flatnonzero(digits.target == k)[:10] for k in range(10)])
        images = (digits.images[first] * 15.9).astype(np.uint8)[:, None]
        np.savez(folder / "examples.npz", images=images, labels=digits.target[first])
    return folder
