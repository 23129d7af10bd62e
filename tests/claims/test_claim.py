"""Claim files: every one is valid, and mistakes are told all at once."""

from __future__ import annotations

import pytest

from trainwell.catalogue import SLIDES
from trainwell.claims.claim import all_claims, claim_from_toml
from trainwell.claims.trials import PLAIN, grid_of
from trainwell.claims.words import rule_words
from trainwell.data.sample_list import find_sample
from trainwell.errors import UserError
from trainwell.recipe import edit

CLAIMS = all_claims()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.name)
def test_a_claim_is_complete(claim):
    assert claim.slide in SLIDES
    assert find_sample(claim.data) is not None
    assert rule_words(claim).startswith("Reproduced when")
    assert claim.full.repetitions >= claim.quick.repetitions >= 6  # else no test could decide
    assert all(word for word in vars(claim.words).values())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.name)
def test_every_recipe_of_a_claim_can_be_read(claim):
    for arm in claim.arms:
        for settings in grid_of({**claim.tune, **arm.tune}, arm.set):
            for changes in (claim.recipe, arm.set, dict(settings)):
                edit(PLAIN, changes, claim.name)


def test_files_are_named_as_their_claims():
    from importlib.resources import files

    names = {p.name for p in (files("trainwell.claims") / "files").iterdir()}
    assert names == {f"{c.name}.toml" for c in CLAIMS}


def test_all_mistakes_are_told_at_once():
    text = """
name = "x"
slid = "Dropout"
[quick]
rows = -1
[[arm]]
name = "a"
[[contrast]]
name = "c"
measure = "accuracy"
of = "b"
expect = "abov"
"""
    with pytest.raises(UserError) as caught:
        claim_from_toml(text, "x.toml")
    for part in ("slid", "rows", "abov", "sentence"):
        assert part in str(caught.value)


def test_names_that_do_not_exist_are_told():
    whole = next(c for c in CLAIMS if c.name == "more_data")
    from importlib.resources import files

    text = (files("trainwell.claims") / "files" / f"{whole.name}.toml").read_text("utf-8")
    with pytest.raises(UserError, match='no arm "n51"'):
        claim_from_toml(text.replace('of = "n50"', 'of = "n51"'), "x.toml")
