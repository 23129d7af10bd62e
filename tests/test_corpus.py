"""The corpus of bad and odd inputs: each ends as it must (see tests/corpus)."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus import CASES, FAMILIES, Case, carry_out


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{family}: {case.name}", marks=[pytest.mark.slow] * case.slow)
        for family, cases in FAMILIES.items()
        for case in cases
    ],
)
def test_it_ends_as_it_must(case: Case, tmp_path: Path) -> None:
    carry_out(case, tmp_path)


def test_names_tell_cases_apart_and_every_case_says_what_must_be_seen() -> None:
    for cases in FAMILIES.values():
        assert len({case.name for case in cases}) == len(cases)
    assert all(case.says or case.seen for case in CASES)
    assert len(CASES) >= 150
