"""The committed results: of the claims that there are, with conditions, and told in the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

from trainwell.claims.claim import all_claims
from trainwell.claims.words import rule_words

ROOT = Path(__file__).parent.parent.parent
RESULTS = {p.stem: json.loads(p.read_text("utf-8")) for p in (ROOT / "docs/claims").glob("*.json")}


def test_every_result_belongs_to_a_claim_and_its_rule():
    """A rule that was changed after the run has no result."""
    rules = {c.name: rule_words(c) for c in all_claims()}
    assert set(RESULTS) <= set(rules)
    for name, result in RESULTS.items():
        assert result["rule"] == rules[name], name
        assert "torch" in result["conditions"]
        assert result["seconds"] < 300
        assert not re.findall(r"\{[^{}]*\}", result["paragraph"]), name


def test_the_readme_tells_the_verdicts_of_the_results():
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.split("<!-- claims -->")[1].split("<!-- end of claims -->")[0]
    told = dict(re.findall(r"^\| (.*) \| ([a-z ]*) \|$", table, flags=re.M))
    told.pop("claim", None)
    assert told == {r["says"]: r["verdict"] for r in RESULTS.values()}


def test_the_deck_map_names_claims_that_exist():
    deck = (ROOT / "docs" / "deck-map.md").read_text("utf-8")
    names = {c.name for c in all_claims()}
    for listed in re.findall(r"claims? ((?:`[a-z0-9_]+`(?:, | and )?)+)", deck):
        assert set(re.findall(r"`([a-z0-9_]+)`", listed)) <= names, listed
