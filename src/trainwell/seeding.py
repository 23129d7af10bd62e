"""Named streams of random numbers, all derived from one seed.

A stream is named by words and numbers, for instance ("shuffle", epoch). Its seed is a hash of
the member's seed and that name, so streams never share numbers, do not depend on what was
drawn elsewhere, and can be made again at any moment: nothing needs to be stored to resume.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def stream_seed(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the stream `name` of `seed`.

    >>> stream_seed(1, "shuffle", 0) == stream_seed(1, "shuffle", 0)
    True
    >>> stream_seed(1, "shuffle", 0) == stream_seed(1, "dropout", 0)
    False
    """
    text = "\x1f".join(map(str, (seed, *name)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_stream(seed: int, *name: str | int) -> torch.Generator:
    """A torch generator (CPU) for the stream `name` of `seed`."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, *name))


def numpy_stream(seed: int, *name: str | int) -> np.random.Generator:
    """A numpy generator for the stream `name` of `seed`."""
    import numpy as np

    return np.random.default_rng(stream_seed(seed, *name))
