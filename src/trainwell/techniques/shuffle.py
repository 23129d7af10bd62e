"""The order in which an epoch shows the training rows. Slide: "Shuffle"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

Shuffle = Literal["every_epoch", "once", "never", "by_class"]

# What each choice is for.
ORDERS: dict[str, str] = {
    "every_epoch": """\
A new random order of the rows in every epoch: the default.

Every row is shown once before any is shown again, and the batches of two epochs differ. Reshuffling
converges faster than drawing with replacement, and batches are small pictures of the whole set,
which batch norm needs. Source: slide "Shuffle"; Mishchenko et al. 2020.""",
    "once": """\
One random order, the same in every epoch.

Saves nothing here; up to 0.3 points worse than new orders. Rows that do not fill a last batch are
never shown. For comparisons. Source: slide "Shuffle".""",
    "never": """\
The rows in the order in which the data have them.

Harmless if that order is random; files are often sorted by class, writer or time. For seeing what
that does. Source: slide "Shuffle".""",
    "by_class": """\
All rows of one class, then all of the next: the worst order.

A plain network hardly suffers at modest rates, one with batch norm does not work at all: the
statistics of its batches are those of single classes. For seeing why one shuffles.
Source: slide "Shuffle"; Ioffe and Szegedy 2015.""",
}


def ordered(
    rows: Ints,
    labels: Ints | None,
    how: Shuffle,
    first: np.random.Generator,
    now: np.random.Generator,
) -> Ints:
    """Rows (n,) in the order of an epoch.

    labels (n,): needed for an order by class alone. first, now: random streams of the first epoch
    and of this one.

    >>> import numpy as np
    >>> stream = np.random.default_rng(0)
    >>> ordered(np.array([5, 6, 7]), np.array([1, 0, 1]), "by_class", stream, stream)
    array([6, 5, 7])
    """
    import numpy as np

    match how:
        case "every_epoch":
            return now.permutation(rows)
        case "once":
            return first.permutation(rows)
        case "never":
            return rows
        case "by_class":
            assert labels is not None
            return rows[np.argsort(labels, kind="stable")]
