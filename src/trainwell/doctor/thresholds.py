"""Every threshold of the rules over a training, in one value.

They were chosen on one half of the trainings of benchmarks/doctor and are reported on the other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Numbers that decide when a rule speaks."""


THRESHOLDS = Thresholds()
