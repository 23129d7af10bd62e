"""Who takes part in which part, and with which environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.tasks import CNN, LETTER, SCALING_K, SCALING_N, SEEDS, Task

ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TWO = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}


@dataclass(frozen=True)
class Contender:
    """One row of a table: `code` is module:function inside benchmarks."""

    part: str
    name: str
    title: str
    code: str
    task: Task
    cores: str  # what it uses, in words
    environment: Mapping[str, str] = field(default_factory=dict)
    few: int | None = None  # trainings really run where all would take too long
    number: int = 0  # members, rows or processes, in the scaling part


def _keras(backend: str, threads: Mapping[str, str]) -> dict[str, str]:
    return {**threads, "KERAS_BACKEND": backend}


ALL = (
    Contender("seeds", "trainwell", "trainwell", "ours:tables", SEEDS, "1 thread", ONE),
    Contender("seeds", "torch", "PyTorch by hand", "plain:one_process", SEEDS, "1 thread", ONE),
    Contender(
        "seeds", "torch2", "PyTorch by hand", "plain:two_processes", SEEDS, "2 processes", ONE
    ),
    Contender("letter", "trainwell", "trainwell", "ours:tables", LETTER, "1 thread", ONE),
    Contender(
        "letter", "trainwell2", "trainwell", "ours:two_processes", LETTER, "2 processes", ONE
    ),
    Contender(
        "letter", "torch", "PyTorch by hand", "plain:one_process", LETTER, "1 thread", ONE, few=10
    ),
    Contender("letter", "sklearn", "scikit-learn", "letter:sklearn", LETTER, "1 thread", ONE),
    Contender(
        "letter", "sklearn2", "scikit-learn", "letter:sklearn_two", LETTER, "2 processes", ONE
    ),
    Contender("letter", "pytabkit", "pytabkit", "letter:pytabkit", LETTER, "1 thread", ONE),
    Contender("letter", "skorch", "skorch", "letter:skorch", LETTER, "1 thread", ONE, few=10),
    Contender(
        "letter", "lightning", "Lightning", "letter:lightning", LETTER, "1 thread", ONE, few=4
    ),
    Contender("letter", "fastai", "fastai", "letter:fastai", LETTER, "1 thread", ONE, few=4),
    Contender(
        "letter",
        "keras_jax",
        "Keras on JAX",
        "letter:keras",
        LETTER,
        "2 threads",
        _keras("jax", TWO),
        few=4,
    ),
    Contender(
        "letter",
        "keras_torch",
        "Keras on torch",
        "letter:keras",
        LETTER,
        "1 thread",
        _keras("torch", ONE),
        few=2,
    ),
    Contender("cnn", "trainwell", "trainwell", "ours:pictures", CNN, "2 threads", TWO),
    Contender("cnn", "torch", "PyTorch by hand", "plain:pictures", CNN, "2 threads", TWO),
    Contender("cnn", "lightning", "Lightning", "pictures:lightning", CNN, "2 threads", TWO),
    Contender("cnn", "fastai", "fastai", "pictures:fastai", CNN, "2 threads", TWO),
    Contender(
        "cnn", "keras_jax", "Keras on JAX", "pictures:keras", CNN, "2 threads", _keras("jax", TWO)
    ),
    Contender(
        "cnn",
        "keras_torch",
        "Keras on torch",
        "pictures:keras",
        CNN,
        "2 threads",
        _keras("torch", TWO),
    ),
    *(
        Contender("scaling", f"members {k}", "", "ours:growing_members", SEEDS, "", ONE, number=k)
        for k in SCALING_K
    ),
    *(
        Contender("scaling", f"rows {n}", "", "ours:growing_rows", SEEDS, "", ONE, number=n)
        for n in SCALING_N
    ),
    *(
        Contender(
            "scaling", f"processes {p}", "", "ours:growing_processes", SEEDS, "", ONE, number=p
        )
        for p in (1, 2)
    ),
)
PARTS = tuple(dict.fromkeys(c.part for c in ALL))


def of_part(part: str, quick: bool) -> list[Contender]:
    """The contenders of a part; a quick run leaves the largest scaling steps out."""
    if quick and part == "scaling":
        return [c for c in ALL if c.part == part and c.number <= 1000 and c.number != 128]
    return [c for c in ALL if c.part == part]


def find(part: str, name: str) -> Contender:
    """The contender of that name."""
    return next(c for c in ALL if (c.part, c.name) == (part, name))
