"""How much memory may still be taken, and how much this process has held at most."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ASSUMED = 4 << 30  # bytes, where the system does not say
KEEP_BLOCK, KEEP_FREE = 32 << 20, 256 << 20  # bytes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of glibc
_UNLIMITED = 1 << 60  # cgroups of the first version write "no limit" as a very large number


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still take, at least 0.

    The smallest of what the system has free, what the control groups of the process leave
    (containers, batch queues) and what its limits on data and address space leave.
    root: where /proc and /sys are looked for.
    """
    left = [*_system(root), *_groups(root), *_limits(root)]
    return max(0, min(left, default=ASSUMED))


def peak_megabytes(root: Path = Path("/")) -> int:
    """The most memory this process has held so far, in MiB; 0 where the system does not say.

    On Linux this is its own mark: the one of `getrusage` starts at the size of whoever
    started the process.
    """
    status = _numbers(root / "proc/self/status")
    if "VmHWM" in status:
        return round(status["VmHWM"] / (1 << 20))
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def _system(root: Path) -> Iterator[int]:
    """What the machine has free, or half of what it has where only that is known."""
    found = _numbers(root / "proc/meminfo")
    if "MemAvailable" in found:
        yield found["MemAvailable"]
        return
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # not on Windows
        return


def _groups(root: Path) -> Iterator[int]:
    """What is left in each control group around the process, of either version."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, inside = (*line.split(":", 2), "", "")[:3]
        if kinds == "":
            tops = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
            most, now, spare = "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            tops = [root / "sys/fs/cgroup/memory"]
            most, now = "memory.limit_in_bytes", "memory.usage_in_bytes"
            spare = "total_inactive_file"
        else:
            continue
        # Inside a container the group's own folder may be shown as the top one.
        parts = [part for part in inside.split("/") if part]
        for top in tops:
            for depth in range(len(parts), -1, -1):
                folder = top.joinpath(*parts[:depth])
                limit, used = _text(folder / most).strip(), _text(folder / now).strip()
                if limit.isdigit() and used.isdigit() and int(limit) < _UNLIMITED:
                    # Pages of files that nobody uses are given back when memory is short.
                    unused = _numbers(folder / "memory.stat").get(spare, 0)
                    yield int(limit) - max(0, int(used) - unused)


def _limits(root: Path) -> Iterator[int]:
    """What the limits of the process (ulimit -d, ulimit -v) leave."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    status = _numbers(root / "proc/self/status")
    for limit, used in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            yield most - status.get(used, 0)


def _numbers(path: Path) -> dict[str, int]:
    """Lines such as "VmData:  120 kB" or "inactive_file 4096", in bytes."""
    found = re.findall(r"^(\w+):?[ \t]+(\d+)( kB)?$", _text(path), flags=re.M)
    return {name: int(number) << (10 if unit else 0) for name, number, unit in found}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def keep_freed_memory() -> None:
    """Ask the C library to keep freed blocks for the next step instead of giving them back.

    Activations of some megabytes come and go in every step. glibc returns them to the system and
    gets them anew, zeroed page by page: 10 to 25 % of a step. Kept are blocks up to KEEP_BLOCK, as
    long as no more than KEEP_FREE lies free at the end. Left alone where the user has set
    MALLOC_ variables, and where the C library is another one.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, KEEP_BLOCK)
    mallopt(_M_TRIM_THRESHOLD, KEEP_FREE)
