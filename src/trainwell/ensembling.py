"""`ensemble`: several finished runs on the same data as one model, if that is better.

Members are the kinds of networks that the runs have kept. Weights and temperatures are chosen on
out-of-fold rows that all runs have judged; the test part, which all runs must share, measures what
came of it. Slide: "Ensemble".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell import metrics
from trainwell import model as models
from trainwell.data.dataset import IntArray
from trainwell.data.imbalance import unmeasured
from trainwell.ensemble import combine
from trainwell.ensemble.calibrate import scaled
from trainwell.ensemble.rows import together
from trainwell.ensemble.select import LEAST_ROWS
from trainwell.errors import UserError
from trainwell.kinds import Kind
from trainwell.model import Model
from trainwell.report.ensemble import write_page
from trainwell.run import load_run, new_folder, write_json
from trainwell.version import __version__
from trainwell.voting import Candidates, Voting, decide, weighted
from trainwell.voting_table import Opened, voting_table

Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Source:
    """A finished run as an ensemble sees it: what it is, its model, its predictions (oof.npz)."""

    folder: Path
    result: Mapping[str, Any]
    model: Model
    arrays: Arrays

    @property
    def test_rows(self) -> IntArray:
        """Row numbers of the test part; empty where there is none."""
        return np.asarray(self.arrays["test_rows"], np.int64)


@dataclass(frozen=True, eq=False)
class Ensembled:
    """The folder that was written, and the content of its ensemble.json."""

    folder: Path
    result: Mapping[str, Any]
    page: Path


def ensemble_runs(
    runs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    keep: bool = False,
    seed: int = 0,
    trust: bool = False,
) -> Ensembled:
    """Build an ensemble from the networks of finished runs on the same data and test part.

    Writes model/ (for `predict`), ensemble.json and ensemble.html into a new folder. The weighted
    vote is kept only if it beats the best kind of networks on rows that did not choose it; else the
    model is that kind alone. What decides is the metric that decided in the runs. keep: keep the
    vote anyway. trust: whether code that a model names
    may run (Custom). Raises UserError where runs do not fit together.
    """
    sources = [_source(Path(run), trust) for run in runs]
    check_alike(sources)
    candidates, labels, groups = _candidates(sources)
    metric = _metric(sources)
    voting = decide(candidates, labels, groups, seed, metric["name"])
    chosen = voting.selection
    assert chosen is not None
    if keep or voting.kept == "ensemble":
        voting = replace(voting, kept="ensemble", model=weighted(candidates, chosen))
    else:
        alone = candidates.plain[chosen.best]
        voting = replace(voting, kept="best kind", model=alone)
    opened, missing = _opened(sources)
    folder = new_folder(out, "ensemble")
    models.save(voting.model, folder / "model")
    result = _result(sources, voting, labels, groups, seed, opened)
    result |= {"run": str(folder), "metric": metric, "no_test": missing}
    write_json(folder / "ensemble.json", result)
    return Ensembled(folder, result, write_page(result, folder))


def _source(folder: Path, trust: bool) -> Source:
    run = load_run(folder)
    if (run.result.get("ensemble") or {}).get("single"):
        problem = "holds one network that learned from an ensemble, whose validation rows it knows"
        raise UserError(str(folder), problem, "Train without --single.")
    path = folder / "oof.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for name in ("rows", "labels", "probabilities", "test_rows", "test_labels"):
            arrays[name]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(str(path), f"cannot be read ({error})", "Train again.") from None
    return Source(folder, run.result, models.load(folder, trust), arrays)


def check_alike(sources: Sequence[Source]) -> None:
    """Raise the UserError that says which run does not fit the first one, and why."""
    where, todo = "ensemble", "Name runs on the same data with the same --seed and --test."
    if len({s.folder.resolve() for s in sources}) < 2:
        raise UserError(where, "needs at least two different runs", todo)
    first = sources[0]
    for other in sources[1:]:
        place, than = str(other.folder), f"than {first.folder}"
        digests = [s.result.get("data_digest") for s in (first, other)]
        if other.model.classes != first.model.classes:
            raise UserError(place, f"knows other classes {than}", todo)
        if other.model.schema != first.model.schema:
            raise UserError(place, f"has inputs of another form {than}", todo)
        if None not in digests and digests[0] != digests[1]:
            raise UserError(place, f"was trained on other data {than}", todo)
        same_test = np.array_equal(other.test_rows, first.test_rows) and np.array_equal(
            other.arrays["test_labels"], first.arrays["test_labels"]
        )
        if not same_test:
            raise UserError(place, f"was tested on other rows {than}", todo)
        _, mine, its = np.intersect1d(
            first.arrays["rows"], other.arrays["rows"], return_indices=True
        )
        if not np.array_equal(first.arrays["labels"][mine], other.arrays["labels"][its]):
            raise UserError(place, f"has other labels {than}", todo)


def _candidates(sources: Sequence[Source]) -> tuple[Candidates, IntArray, IntArray | None]:
    """The runs' kinds on the rows that all have judged out of fold; labels and groups of these."""
    rows = np.asarray(sources[0].arrays["rows"], np.int64)
    for source in sources[1:]:
        rows = np.intersect1d(rows, source.arrays["rows"])
    if len(rows) < LEAST_ROWS:
        problem = f"only {len(rows)} rows were judged out of fold by all runs"
        raise UserError("ensemble", problem, "Name runs with the same folds.")
    names = _names([s.folder for s in sources])
    kinds: list[Kind] = []
    owners: list[int] = []
    plain, voices = [], []
    for source, name in zip(sources, names, strict=True):
        for kind, model, heard in _kinds(source, rows):
            title = f"{name}: {kind}" if kind else name
            recipe = model.parts[0].recipe
            owners += [len(kinds)] * len(heard)
            kinds.append(Kind(title, "run", recipe, (), model.folds))
            named = tuple(replace(part, kind=title) for part in model.parts)
            plain.append(replace(model, parts=named))
            voices.append(heard)
    first = sources[0].arrays
    labels = np.asarray(first["labels"][np.searchsorted(first["rows"], rows)], np.int64)
    groups = first["groups"][rows] if "groups" in first else None
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None
    found = Candidates(tuple(kinds), tuple(plain), rows, np.concatenate(voices), tuple(owners))
    return found, labels, groups


def _kinds(source: Source, rows: IntArray) -> list[tuple[str, Model, Floats]]:
    """Name, model (its networks alike) and voices (V, n, C) of every kind that a run has kept.

    A run that kept no voices (--no-ensemble, or an older version) is one kind that says what the
    run said out of fold.
    """
    arrays, parts = source.arrays, source.model.parts
    if "voices" not in arrays:
        where = np.searchsorted(arrays["rows"], rows)
        heard = np.asarray(arrays["probabilities"], np.float64)[None, where]
        return [("", source.model, _whole(heard))]
    where = np.searchsorted(arrays["voice_rows"], rows)
    found = []
    names = list(dict.fromkeys(part.kind for part in parts))
    for name in names:
        own = [i for i, part in enumerate(parts) if part.kind == name]
        plain = [replace(parts[i], weight=1.0, temperature=1.0) for i in own]
        heard = np.asarray(arrays["voices"], np.float64)[arrays["voice_kinds"] == name][:, where]
        title = name if len(names) > 1 else ""
        found.append((title, replace(source.model, parts=tuple(plain)), _whole(heard)))
    return found


def _whole(stored: Floats) -> Floats:
    """Probabilities that sum to 1 in double precision; they were kept in single."""
    found: Floats = stored / stored.sum(axis=-1, keepdims=True)
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """What to call runs: their folders' names, or paths where two have the same name."""
    short = [f.resolve().name for f in folders]
    return short if len(set(short)) == len(short) else [str(f) for f in folders]


def _metric(sources: Sequence[Source]) -> dict[str, Any]:
    """What decides: the metric of the runs; of the first one where they differ, with words."""
    found = [s.result.get("metric") or {"name": "accuracy", "why": ""} for s in sources]
    names = {str(f["name"]) for f in found}
    if len(names) == 1:
        return dict(found[0])
    why = f"the runs were decided by {', '.join(sorted(names))}: that of the first one is taken"
    return dict(found[0]) | {"why": why}


def _opened(sources: Sequence[Source]) -> tuple[Opened | None, str]:
    """What all networks said of the shared test rows; None and why where that is not known."""
    if not len(sources[0].test_rows):
        return None, "the runs have no test part"
    found = []
    for source in sources:
        arrays = source.arrays
        if "test_members" not in arrays or "voices" not in arrays:
            why = "was trained with --no-ensemble, or by an older version"
            return None, (
                f"{source.folder} has not kept what each of its networks says of the test rows: "
                f"it {why}"
            )
        parts = source.model.parts
        for name in dict.fromkeys(part.kind for part in parts):
            own = [i for i, part in enumerate(parts) if part.kind == name]
            found.append(_whole(np.asarray(arrays["test_members"], np.float64)[own]))
    first = sources[0].arrays
    groups = first["groups"][sources[0].test_rows] if "groups" in first else None
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None
    labels = np.asarray(first["test_labels"], np.int64)
    return Opened(labels, groups, np.concatenate(found)), ""


def _result(
    sources: Sequence[Source],
    voting: Voting,
    labels: IntArray,
    groups: IntArray | None,
    seed: int,
    opened: Opened | None,
) -> dict[str, Any]:
    """The content of ensemble.json."""
    first, chosen = sources[0].result, voting.selection
    assert chosen is not None
    heard = _answer(voting, chosen.voices(voting.candidates.voices))
    test = None
    if opened is not None:
        owners = voting.candidates.kind_of_network
        heat = chosen.temperatures[list(owners)]
        said = _answer(voting, together(scaled(opened.said, heat), owners))
        test = metrics.score(opened.labels, said, seed, opened.groups).to_json()
    part, judging = ("validation", labels) if opened is None else ("test", opened.labels)
    classes = list(sources[0].model.classes)
    counts = np.bincount(judging, minlength=len(classes))
    todo = f"train the runs with {part} rows of every class"
    return {
        "name": first["name"],
        "kind": first["kind"],
        "version": __version__,
        "runs": [str(s.folder) for s in sources],
        "classes": classes,
        "imbalance": {"unmeasured": unmeasured(counts, classes, part, todo)},
        "members": len(voting.model.parts),
        "parameters": voting.model.parameters,
        "test": test,
        "validation": metrics.score(labels, heard, seed, groups).to_json(),
        "test_openings": max(s.result.get("test_openings") or 0 for s in sources),
        "ensemble": voting_table(voting, labels, groups, seed, opened),
    }


def _answer(voting: Voting, heard: Floats) -> Floats:
    """What is kept says, from the voices of all kinds (G, n, C)."""
    chosen = voting.selection
    assert chosen is not None
    if voting.kept == "ensemble":
        return combine.soft_vote(heard, chosen.weights)
    alone: Floats = heard[chosen.best]
    return alone
