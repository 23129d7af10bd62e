"""Warnings of a run without the count of openings, which grows with every run of a machine."""

from __future__ import annotations

from collections.abc import Sequence


def but_openings(warnings: Sequence[str]) -> list[str]:
    """The other warnings, in their order."""
    return [words for words in warnings if not words.startswith("these test rows were opened")]
