"""What every test needs: one thread, arithmetic as Python knows it, no deadlines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can import `helpers`
settings.register_profile("trainwell", deadline=None, derandomize=True)
settings.load_profile("trainwell")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_arithmetic() -> Iterator[None]:
    """A training sets threads and flushes denormals; neither may reach the next test."""
    yield
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)
