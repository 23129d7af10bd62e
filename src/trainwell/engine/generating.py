"""Generated samples: made of each fold's training rows, and shown to its networks in training only.

The samples stand behind the real rows in `Examples`, so row numbers of folds, validation and test
mean what they meant before. Slide: "Data augmentation".
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwell.data.bulk import joined
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import Fold
from trainwell.engine.inputs import FoldInputs
from trainwell.engine.members import Added, Examples
from trainwell.files import write_whole
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.augment.generated import SampleMaker
from trainwell.techniques.augment.sample_checks import SampleReport
from trainwell.techniques.augment.samples import Rows, Samples

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Generated:
    """The samples of every fold, technique by technique: makers × folds."""

    makers: tuple[SampleMaker, ...]
    samples: tuple[tuple[Samples, ...], ...]

    @property
    def reports(self) -> list[SampleReport]:
        """All reports, technique by technique, fold after fold."""
        return [s.report for own in self.samples for s in own]

    @property
    def nothing(self) -> bool:
        """Whether no sample is added anywhere."""
        return not any(len(s.labels) for own in self.samples for s in own)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data for run.json: a report for each technique and fold."""
        return [
            {"maker": repr(maker), "fold": fold} | s.report.to_json()
            for maker, own in zip(self.makers, self.samples, strict=True)
            for fold, s in enumerate(own)
        ]


def makers_of(recipe: Recipe) -> tuple[SampleMaker, ...]:
    """The techniques of a recipe that make samples."""
    return tuple(a for a in recipe.augment if isinstance(a, SampleMaker))


def generate(
    data: Dataset,
    folds: Sequence[Fold],
    makers: Sequence[SampleMaker],
    seed: int,
    kept: Path | None = None,
    say: Callable[[SampleMaker, int], None] = lambda maker, fold: None,
) -> Generated:
    """Samples for every fold, each made of its training rows alone.

    kept: a folder in which finished samples are kept, so that going on need not make them anew.
    say: told which technique begins with which fold.
    """
    found = []
    for number, maker in enumerate(makers):
        own = []
        for place, fold in enumerate(folds):
            path = None if kept is None else kept / f"samples-{number}-{place}.npz"
            samples = None if path is None or not path.exists() else read_samples(path)
            if samples is None:
                say(maker, place)
                samples = _made(data, fold, maker, stream_seed(seed, "samples", number, place))
                if path is not None:
                    write_whole(path, samples_to_bytes(samples))
            own.append(samples)
        found.append(tuple(own))
    return Generated(tuple(makers), tuple(found))


def _made(data: Dataset, fold: Fold, maker: SampleMaker, seed: int) -> Samples:
    rows = Rows(data.inputs[fold.train], data.labels[fold.train], data.schema, data.classes)
    held = fold.validation
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # bits depend on it: a comparison makes the samples that a fit makes
    try:
        samples = maker.make(rows, seed)
        # Only told, never used: what the samples teach about rows that nobody has trained on.
        return samples.judged(rows, data.inputs[held], data.labels[held], seed)
    finally:
        torch.set_num_threads(threads)


def with_samples(
    examples: Examples, data: Dataset, folds: Sequence[Fold], generated: Generated, augmented: bool
) -> Examples:
    """The examples with all samples behind the real rows; see `FoldInputs` for `augmented`."""
    if generated.nothing:
        return examples
    each = [
        [own[fold] for own in generated.samples if len(own[fold].labels)]
        for fold in range(len(folds))
    ]
    count, added = len(data), []
    for fold, some in zip(folds, each, strict=True):
        size = sum(len(s.labels) for s in some)
        added.append(Added(np.arange(count, count + size), len(fold.train)))
        count += size
    everything = [s for some in each for s in some]
    inputs = joined([data.inputs, *(s.inputs.astype(data.inputs.dtype) for s in everything)])
    labels = np.concatenate([data.labels, *(s.labels for s in everything)])
    layers, device, weights = examples.inputs.layers, examples.device, examples.weights
    if weights is not None:  # a sample counts as much as a row does on average
        weights = torch.cat([weights, weights.new_ones(count - len(data))])
    return dataclasses.replace(
        examples,
        inputs=FoldInputs(inputs, layers, device, augmented),
        labels=torch.from_numpy(labels),
        weights=weights,
        added=tuple(added),
    )


# ---- files ----------------------------------------------------------------------------------


def samples_to_bytes(samples: Samples) -> bytes:
    """The content of an .npz file; `read_samples` gives the samples back."""
    stream = io.BytesIO()
    looks = {f"look{i}": look for i, (_, look) in enumerate(samples.looks)}
    np.savez_compressed(
        stream,
        inputs=samples.inputs,
        labels=samples.labels,
        pairs=samples.pairs,
        steps=np.array([step for step, _ in samples.looks], np.int64),
        report=np.frombuffer(json.dumps(samples.report.to_json()).encode(), np.uint8),
        allow_pickle=False,
        **looks,
    )
    return stream.getvalue()


def read_samples(path: Path) -> Samples | None:
    """The samples of a file; None where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            report = SampleReport.from_json(json.loads(stored["report"].tobytes()))
            looks = [(int(s), stored[f"look{i}"]) for i, s in enumerate(stored["steps"])]
            labels: IntArray = stored["labels"]
            return Samples(stored["inputs"], labels, report, tuple(looks), stored["pairs"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
