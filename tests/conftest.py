"""What every test needs: one thread, arithmetic as Python knows it, no deadlines."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

settings.register_profile("trainwell", deadline=None, derandomize=True)
settings.load_profile("trainwell")
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is read from, or written to, the cache folder of whoever runs the tests."""
    os.environ["TRAINWELL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _same_arithmetic() -> Iterator[None]:
    """A training sets threads and flushes denormals; neither may reach the next test."""
    yield
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)
