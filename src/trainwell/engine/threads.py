"""How many cores are ours, and how many threads a computation should use.

Small networks run faster on one thread than on two; convolutions use all cores. Two processes with
two threads each on two cores were measured 20 to 200 times slower than with one each, so the
number of threads never exceeds the cores that this process may really use.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

MANY = 3e8  # operations of one batch forward from which a second thread pays


def cores() -> int:
    """Cores this process may use: CPU affinity, and the limit of its control group."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            ours = min(ours, max(1, math.floor(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no control group limit here
    return max(1, ours)


def choose_threads(work: float, jobs: int | None) -> int:
    """Set torch's threads for this training and return their number.

    work: floating-point operations of one batch forward; below MANY the threads would spend their
    time waiting for each other. The last bits of results depend on the number of threads, so it
    follows from the machine and the command alone, never from how busy the machine is at the
    moment; the run records it.
    """
    threads = min(jobs or cores(), cores()) if work >= MANY else 1
    torch.set_num_threads(threads)
    return threads
