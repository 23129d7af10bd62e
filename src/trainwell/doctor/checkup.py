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

    @classmethod
    def joined(cls, first: Iterable[Check], second: Iterable[Check], seconds: float) -> Checkup:
        """Two lists of checks one after the other, in their orders.

        Both may look for one problem, such as unscaled inputs in the data and in what enters the
        network: of checks with the same code and name the heavier stays, of equals the first.
        """
        before, after = list(first), list(second)
        rivals = {_key(c): c for c in after}
        kept = [c for c in before if _weight(c) >= _weight(rivals.get(_key(c), c))]
        held = {_key(c) for c in kept}
        return cls((*kept, *(c for c in after if _key(c) not in held)), seconds)

    @property
    def worst(self) -> Level:
        """The heaviest level of all checks that were made; "pass" where there are none."""
        return max(
            (c.level for c in self.checks if not c.undecided), key=LEVELS.index, default="pass"
        )

    def findings(self) -> list[Finding]:
        """Checks that did not pass, in the same order."""
        return [f for c in self.checks if (f := c.as_finding()) is not None]

    def to_json(self) -> dict[str, Any]:
        """Plain data: {"checks": [...]}."""
        return {"checks": [c.to_json() for c in self.checks]}

    def __str__(self) -> str:
        """A table, one check a row with its remedies; what was not made; a line that counts."""
        made = [c for c in self.checks if not c.undecided]
        width = max((len(c.name) for c in made), default=0)
        lines = []
        for c in made:
            lines.append(
                f"{WORDS[c.level]}  {c.code}  {c.name:<{width}}  {_number(c.value):>7}  {c.words}"
            )
            if c.level != "pass":
                lines += [f"{'':12}{'':{width}}         - {remedy}" for remedy in c.remedies]
        return "\n".join([*lines, *self._left_out(), self._summary()])

    def _left_out(self) -> list[str]:
        """At most one line: the checks that were not made."""
        names = [c.name for c in self.checks if c.undecided]
        return [f"not decided for lack of time: {', '.join(names)}"] if names else []

    def _summary(self) -> str:
        counts = counts_by_level(c.level for c in self.checks if not c.undecided)
        names = {"fault": "fault", "warning": "warning", "note": "note", "pass": "passed"}
        parts = [
            f"{count} {names[level]}{'s' if count > 1 and level != 'pass' else ''}"
            for level, count in counts.items()
            if count
        ]
        left_out = sum(c.undecided for c in self.checks)
        parts += [f"{left_out} not decided"] if left_out else []
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
            if c.undecided:
                continue
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
        summary = "<br>".join(map(html.escape, [*self._left_out(), self._summary()]))
        return f"<table>{head}{''.join(rows)}</table><p>{summary}</p>"


def _key(check: Check) -> tuple[str, str]:
    return check.code, check.name


def _weight(check: Check) -> int:
    """Its level as a number; below all others where it was not made."""
    return -1 if check.undecided else LEVELS.index(check.level)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
