"""A checkup: all checks made before a training, as one value that can be printed."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trainwell.doctor.finding import (
    LEVELS,
    ORDER,
    Check,
    Finding,
    Level,
    counts_by_level,
)

WORDS: dict[Level, str] = {"pass": "PASS", "note": "NOTE", "warning": "WARN", "fault": "FAIL"}


@dataclass(frozen=True)
class Checkup:
    """Checks in the order in which they are to be read, and the seconds that they took.

    >>> twice = Check("N03", "softmax-twice", "fault", 1.0, 1e-4, "Rows sum to 1.")
    >>> print(Checkup.of([twice], 0.5))
    FAIL  N03  softmax-twice        1  Rows sum to 1.
    1 check in 0.5 s: 1 fault.
    """

    checks: tuple[Check, ...]
    seconds: float

    @classmethod
    def of(cls, checks: Iterable[Check], seconds: float) -> Checkup:
        """Faults first, then warnings, notes and passes; causes before symptoms within each."""
        place = {code: number for number, code in enumerate(ORDER)}
        # What follows from another problem comes after it: a tiny batch cannot be overfitted
        # because of something that stands elsewhere in this list.
        place |= {"F08": len(ORDER), "F09": len(ORDER) + 1, "R02": len(ORDER) + 2}

        def rank(check: Check) -> tuple[int, int]:
            code = "F08" if check.name == "zero-gradient" else check.code
            return -LEVELS.index(check.level), place.get(code, len(ORDER))

        return cls(tuple(sorted(checks, key=rank)), seconds)

    @property
    def worst(self) -> Level:
        """The heaviest level of all checks; "pass" where there are none."""
        return max((c.level for c in self.checks), key=LEVELS.index, default="pass")

    def findings(self) -> list[Finding]:
        """Checks that did not pass, in the same order."""
        return [f for c in self.checks if (f := c.as_finding()) is not None]

    def to_json(self) -> dict[str, Any]:
        """Plain data: {"checks": [...]}."""
        return {"checks": [c.to_json() for c in self.checks]}

    def __str__(self) -> str:
        """A table, one check a row, remedies below it, and a line that counts."""
        width = max((len(c.name) for c in self.checks), default=0)
        lines = []
        for c in self.checks:
            lines.append(
                f"{WORDS[c.level]}  {c.code}  {c.name:<{width}}  {_number(c.value):>7}  {c.words}"
            )
            if c.level != "pass":
                lines += [f"{'':12}{'':{width}}         - {remedy}" for remedy in c.remedies]
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        counts = counts_by_level(c.level for c in self.checks)
        names = {"fault": "fault", "warning": "warning", "note": "note", "pass": "passed"}
        parts = [
            f"{count} {names[level]}{'s' if count > 1 and level != 'pass' else ''}"
            for level, count in counts.items()
            if count
        ]
        total = "1 check" if len(self.checks) == 1 else f"{len(self.checks)} checks"
        return f"{total} in {self.seconds:.1f} s: {', '.join(parts) or 'nothing to say'}."

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        colours: dict[Level, str] = {
            "fault": "#b3261e",
            "warning": "#9a6700",
            "note": "#31537c",
            "pass": "#2e6b34",
        }
        rows = []
        for c in self.checks:
            says = html.escape(c.words)
            if c.level != "pass" and c.remedies:
                items = "".join(f"<li>{html.escape(str(r))}</li>" for r in c.remedies)
                says += f"<ul>{items}</ul>"
            rows.append(
                f'<tr><td style="color:{colours[c.level]};font-weight:bold">{WORDS[c.level]}</td>'
                f"<td>{html.escape(c.code)}</td><td>{html.escape(c.name)}</td>"
                f'<td style="text-align:right">{_number(c.value)}</td>'
                f'<td style="text-align:left">{says}</td></tr>'
            )
        head = "<tr><th></th><th>code</th><th>check</th><th>measured</th><th>says</th></tr>"
        summary = html.escape(self._summary())
        return f"<table>{head}{''.join(rows)}</table><p>{summary}</p>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
