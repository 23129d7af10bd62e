"""What a run's numbers say, in sentences: baselines, over-fitting, trust, what was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainwell.report.numbers import finite
from trainwell.report.words import plain, points
from trainwell.terminal import unmeasured

Json = Mapping[str, Any]

SHARES = ("accuracy", "balanced_accuracy", "macro_f1")
SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}


def judged(facts: Json) -> str:
    """The part the headline speaks of: the test part where there is one."""
    return "test" if facts.get("test") else "validation"


def deciding(facts: Json) -> str:
    """The metric that decided and is told first."""
    name = str((facts.get("metric") or {}).get("name") or "accuracy")
    return name if name in SCORES else "accuracy"


def verdict(facts: Json) -> str:
    """One sentence: is the network shown to beat the best baseline on the very same rows?

    By the paired difference that run.json holds; of runs without one, by whether the two intervals
    overlap.
    """
    part = judged(facts)
    first = deciding(facts) if deciding(facts) in SHARES else "accuracy"
    network = (facts.get(part) or {}).get(first) or {}
    found = [
        (scores["value"], str(b.get("name")), scores, b.get("against") or {})
        for b in facts.get("baselines") or []
        if finite((scores := (b.get(part) or {}).get(first) or {}).get("value"))
    ]
    if not found or not finite(network.get("value")):
        return ""
    value, name, scores, against = max(found, key=lambda f: f[0])
    gap = 100 * (network["value"] - value)
    ahead = f"{abs(gap):.1f} points {'above' if gap >= 0 else 'below'}"
    if abs(gap) < 0.05:
        ahead = "level with"
    by = "" if first == "accuracy" else f", {SCORES[first].lower()}"
    if partly := unmeasured(facts):
        by = f"{by or ', rows'} of {partly['share']}"
    best = f"the best baseline ({name}, {points(value)} %{by})"
    rows = plain((facts.get(part) or {}).get("n"))
    if against.get("metric") == first:
        return f"The network is {ahead} {best}{_paired_words(against, name, rows)}"
    return _overlap_words(network, scores, f"{ahead} {best}", name, rows, bool(by))


def _paired_words(against: Json, name: str, rows: str) -> str:
    """The rest of the sentence: the interval of the difference, and what it shows."""
    found, word = against.get("difference") or {}, against.get("verdict")
    low, high = found.get("low"), found.get("high")
    told = ""
    if finite(low) and finite(high):
        told = f"; on the same rows the difference is {100 * low:+.1f} to {100 * high:+.1f} points"
    if word == "better":
        return f"{told}: on data like these, the network is better."
    if word == "worse":
        return f"{told}: on data like these, use {name} instead."
    if word == "no difference that matters":
        return f"{told}: a difference that matters is ruled out, so {name} will do as well."
    return (
        f"{told}: these {rows} rows alone do not show which of the two is better. "
        "Nor do they show that they are equal."
    )


def _overlap_words(
    network: Json, scores: Json, told: str, name: str, rows: str, named: bool
) -> str:
    """The sentence of runs that hold no paired difference."""
    gap = 100 * (network["value"] - scores["value"])
    ends = [network.get("low"), network.get("high"), scores.get("low"), scores.get("high")]
    if not all(map(finite, ends)):
        return f"The network is {told}; without intervals that shows little."
    if network["low"] > scores["high"]:
        return (
            f"The network is {told}, and the two intervals do not overlap: "
            "on data like these, the network is better."
        )
    if network["high"] < scores["low"]:
        return (
            f"The network is {told}, and the two intervals do not overlap: "
            f"on data like these, use {name} instead."
        )
    if abs(gap) < 0.05:
        best = told.partition(" the best")[2]
        return (
            f"The network and the best{best} "
            f"{'score alike' if named else 'are equally often right'}: "
            "these rows do not show that the network is needed."
        )
    side = "better" if gap > 0 else "worse"
    return (
        f"The network is {told}, but the two intervals overlap: these "
        f"{rows} rows alone do not show that it is {side}. "
        "Nor do they show that the two are equal."
    )


def gap(facts: Json) -> str:
    """Training against validation accuracy of single networks, in words.

    Not against the vote out of fold: that of several networks is better than one of them is.
    """
    scores = facts.get("train") or {}
    train = (scores.get("accuracy") or {}).get("value")
    validation = scores.get("validation_accuracy")
    if not finite(validation):  # runs of before it was kept
        members = [m.get("validation_accuracy") for m in facts.get("members") or []]
        known = [v for v in members if finite(v)]
        validation = sum(known) / len(known) if known else None
    if not finite(train) or not finite(validation):
        return ""
    return (
        "Single networks, with the weights of each one's best epoch: "
        f"{points(train)} % right on {sample_words(facts)}, {points(validation)} % on validation "
        f"rows, a gap of {points(train - validation)} points."
    )


def sample_words(facts: Json) -> str:
    """Which training rows were scored: all, or a sample of them."""
    scores = facts.get("train") or {}
    n, rows = scores.get("n"), scores.get("rows")
    if finite(n) and finite(rows) and n < rows:
        return f"a sample of {plain(n)} of {plain(rows)} training rows"
    return "training rows"


def trust(facts: Json) -> str:
    """Is the network as often right as it is sure? In words, with the calibration error."""
    scores = facts.get(judged(facts)) or {}
    error, right = scores.get("ece") or {}, scores.get("accuracy") or {}
    bins = facts.get("reliability") or []
    rows = sum(b["n"] for b in bins)
    if not rows or not finite(error.get("value")) or not finite(right.get("value")):
        return ""
    sure = sum(b["n"] * b["confidence"] for b in bins) / rows
    told = (
        f"On average it is {points(sure)} % sure and {points(right['value'])} % right; "
        f"the calibration error is {points(error['value'])} points"
    )
    if all(finite(error.get(k)) for k in ("low", "high")):
        told += f" (95 % interval {points(error['low'])}–{points(error['high'])})"
    off = [b for b in bins if not b["accuracy"]["low"] <= b["confidence"] <= b["accuracy"]["high"]]
    if not off:
        return f"{told}. No bin is outside its interval: take its probabilities at their word."
    over = sum(b["confidence"] > b["accuracy"]["high"] for b in off)
    side = "too sure" if over == len(off) else "not sure enough" if not over else "off"
    return f"{told}. In {len(off)} of {len(bins)} bins it is {side}."


def chosen(facts: Json) -> list[str]:
    """What was chosen on validation rows in this run, in words: it flatters their scores."""
    found = []
    members = [m for m in facts.get("members") or [] if isinstance(m, Mapping)]
    if any((m.get("epochs") or 0) > 1 for m in members):
        found.append("the best epoch of each network" if len(members) > 1 else "the best epoch")
    ladder = facts.get("ladder") or {}
    losses = [(r.get("log_loss") or {}).get("value") for r in ladder.get("rates") or []]
    if sum(map(finite, losses)) > 1:
        found.append("the learning rate")
    decisions = [d for d in facts.get("decisions") or [] if isinstance(d, Mapping)]
    adopted = [str(d.get("tried")) for d in decisions if d.get("outcome") == "adopted"]
    if adopted:
        found.append(f"what the coach changed ({'; '.join(adopted)})")
    if "ThresholdMove" in str((facts.get("recipe") or {}).get("balance")):
        found.append("the thresholds of the classes (each half of the rows by the other half)")
    voting = facts.get("ensemble") or {}
    kinds = voting.get("kinds") or []
    if voting.get("kept") == "ensemble":
        found.append("the ensemble's weights and temperatures")
    elif len(kinds) > 1:
        found.append(f"which of {len(kinds)} kinds of networks is kept")
    if voting.get("members") == 1 and len(members) > 1 and not kinds:
        found.append("which network is kept")
    return found
