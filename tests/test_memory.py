"""How much memory there is: control groups of both versions, limits of the process, its mark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainwell.memory import ASSUMED, available_memory, peak_megabytes

MB = 1 << 20


def write(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n", encoding="ascii")
    return root


FREE = {"proc/meminfo": f"MemTotal: {9 << 20} kB\nMemAvailable: {8 << 20} kB"}
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 << 30),
        # The second version: the smallest of a group and the groups around it.
        (
            {
                "proc/self/cgroup": "0::/a/b",
                f"{V2}/a/b/memory.max": "max",
                f"{V2}/a/b/memory.current": 5 * MB,
                f"{V2}/a/memory.max": 100 * MB,
                f"{V2}/a/memory.current": 40 * MB,
                f"{V2}/a/memory.stat": f"anon 7\ninactive_file {10 * MB}",
            },
            70 * MB,
        ),
        # In a container the group is shown as the top one, and its path is another.
        (
            {
                "proc/self/cgroup": "0::/docker/1234",
                f"{V2}/memory.max": 64 * MB,
                f"{V2}/memory.current": 80 * MB,
            },
            0,
        ),
        # The first version, with "no limit" as a large number outside.
        (
            {
                "proc/self/cgroup": "5:cpu:/x\n4:memory:/x",
                f"{V1}/memory.limit_in_bytes": 9223372036854771712,
                f"{V1}/memory.usage_in_bytes": 1,
                f"{V1}/x/memory.limit_in_bytes": 50 * MB,
                f"{V1}/x/memory.usage_in_bytes": 20 * MB,
                f"{V1}/x/memory.stat": f"total_inactive_file {1 * MB}",
            },
            31 * MB,
        ),
    ],
    ids=["no groups", "second version", "container", "first version"],
)
def test_control_groups(tmp_path: Path, files: dict[str, object], expected: int) -> None:
    assert available_memory(write(tmp_path, FREE | files)) == expected


def test_here() -> None:
    assert 0 < available_memory() < 1 << 50
    assert ASSUMED > 0
    assert 10 < peak_megabytes() < 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("limit", ["RLIMIT_DATA", "RLIMIT_AS"])
def test_limits_of_the_process(limit: str) -> None:
    code = f"""
import resource
from trainwell.memory import available_memory
resource.setrlimit(resource.{limit}, (300 << 20, 300 << 20))
before = available_memory()
held = bytearray(100 << 20)
print(before >> 20, (before - available_memory()) >> 20)
"""
    before, taken = map(int, run(code).split())
    assert before < 300 and 99 <= taken <= 101


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_peak_is_that_of_the_process_and_not_of_its_parent() -> None:
    code = "from trainwell.memory import peak_megabytes; print(peak_megabytes())"
    outer = f"""
import subprocess, sys
held = bytearray(300 << 20)
print(subprocess.run([sys.executable, "-c", {code!r}], capture_output=True, text=True).stdout)
"""
    assert int(run(outer)) < 200


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
