"""A claim as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainwell.claims.claim import Claim
from trainwell.claims.words import rule_words


def described(claim: Claim, result: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `claims show` prints, as text and by name. result: the last one, if there is any."""
    lines = [f'"{claim.sentence}"', f"slide {claim.slide}; source: {claim.source}", ""]
    if claim.footnote:
        lines += [f"footnote: {claim.footnote}", ""]
    lines.append(f"data: {claim.data}")
    if claim.experiment:
        lines.append(f"experiment: {claim.experiment}")
    if claim.recipe:
        lines.append("all arms: " + "; ".join(f"{k}={v}" for k, v in claim.recipe.items()))
    for name, values in claim.tune.items():
        lines.append(f"each arm chooses {name} on validation rows: {', '.join(values)}")
    for arm in claim.arms:
        settings = "; ".join(f"{k}={v}" for k, v in arm.set.items())
        lines.append(f"  {arm.name}: {arm.says}" + (f" [{settings}]" if settings else ""))
    for label, size in (("quick", claim.quick), ("full", claim.full)):
        length = f"{size.epochs} epochs" if size.epochs else f"{size.steps} steps"
        lines.append(
            f"{label}: {size.repetitions} repetitions of {size.rows} training, "
            f"{size.validation} choosing and {size.decision} deciding rows, {length}"
        )
    lines += ["", f"rule: {rule_words(claim)}"]
    if result:
        lines += ["", f"last result: {result['verdict']}. {result['paragraph']}"]
    return {
        "name": claim.name,
        "slide": claim.slide,
        "sentence": claim.sentence,
        "rule": rule_words(claim),
        "verdict": result["verdict"] if result else None,
        "text": "\n".join(lines),
    }
