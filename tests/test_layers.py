"""What must stay cheap: importing trainwell and asking for help load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "sklearn", "pandas", "scipy", "pyarrow", "PIL", "soundfile")


HELP = """
import sys
from trainwell.cli import main
sys.argv = {arguments!r}
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "code",
    [
        "import trainwell",
        HELP.format(arguments=["trainwell", "--help"]),
        HELP.format(arguments=["trainwell", "fit", "--help"]),
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    check = f"{code}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
