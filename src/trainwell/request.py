"""What the user asked of `fit`, as one value that is kept so that a run can go on.

It lies in the run's `checkpoint` folder with the recipe that was given, the decisions of the run
and the checkpoints of its parts; the folder is removed when the run is complete.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt

from trainwell.callstring import conform
from trainwell.data.bulk import release
from trainwell.data.dataset import Dataset, Kind
from trainwell.data.read import read
from trainwell.engine.parts import Store
from trainwell.errors import UserError
from trainwell.files import write_whole
from trainwell.metrics import Metric
from trainwell.options import TEST_SHARE, Options
from trainwell.recipe import Recipe, edit, load_recipe, to_toml

FORMAT = 1
SAMPLE, SAMPLE_BYTES = 4096, 16 << 20  # of the data, compared when a run goes on; at most


@dataclass(frozen=True)
class Request:
    """Every argument of `fit`."""

    source: Any
    target: str | None = None
    group: str | None = None
    kind: Kind | None = None
    pattern: str | None = None
    image_size: int | None = None
    test: float | str | Path = TEST_SHARE
    out: str | Path | None = None
    budget: str | float | None = None
    seed: int = 0
    folds: int | None = None
    seeds: int | None = None
    recipe: str | Path | Recipe | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    ensemble: bool = True
    single: bool = False
    coach: bool = True
    coach_from: str | Path | None = None  # a finished run to begin with
    metric: Metric | None = None
    jobs: int | str | None = None
    checkpoint: str | float = "30s"
    precision: str = "float32"
    trust: bool = False  # never kept: who goes on with a run says so anew
    command: str = "trainwell.fit(...)"

    @property
    def options(self) -> Options:
        """What training needs to know of it."""
        names = {f.name for f in dataclasses.fields(Options)} - {"test"}
        values = {name: getattr(self, name) for name in names}
        share = float(self.test) if isinstance(self.test, int | float) else TEST_SHARE
        return Options(**values, test=share)

    def read(self) -> Dataset:
        """The data, with the test part that was named."""
        return read(
            self.source,
            target=self.target,
            group=self.group,
            kind=self.kind,
            pattern=self.pattern,
            test=None if isinstance(self.test, int | float) else self.test,
            image_size=self.image_size,
        )


def as_call(request: Request) -> str:
    """The call from Python that does the same again.

    >>> as_call(Request("iris", seeds=2))
    "trainwell.fit('iris', seeds=2)"
    """
    source = request.source
    what = repr(str(source)) if isinstance(source, str | Path) else f"<{type(source).__name__}>"
    options = [
        f"{f.name}={getattr(request, f.name)!r}"
        for f in dataclasses.fields(Request)[1:]
        if f.name not in ("command", "settings", "out", "trust")
        and getattr(request, f.name) != f.default
    ]
    if request.settings:
        options.append(f"settings={dict(request.settings)!r}")
    return f"trainwell.fit({', '.join([what, *options])})"


def begin(folder: Path, request: Request, data: Dataset, every: float) -> Store:
    """The run's checkpoint folder: new, or as it was left.

    Raises UserError where it cannot be written, and where the data are no longer the same.
    """
    store = Store(folder / "checkpoint", every)
    assert store.folder is not None
    digest = data_digest(data)
    before = store.state["decisions"].get("data", digest)
    if before != digest:
        problem = "the data are not those that the run began with"
        raise UserError(str(folder), problem, "Bring them back, or train anew.")
    if not (store.folder / "request.json").exists():
        _write_request(store.folder, request)
        _keep(folder, request, digest)
    store.once("data", lambda: digest)
    return store


def _write_request(folder: Path, request: Request) -> None:
    values = {f.name: getattr(request, f.name) for f in dataclasses.fields(Request)}
    values |= {
        "source": _place(request.source),
        "test": request.test if isinstance(request.test, float | int) else _place(request.test),
        "out": None,
        "coach_from": request.coach_from and str(Path(request.coach_from).resolve()),
        "recipe": None,
        "settings": {k: v if isinstance(v, str) else repr(v) for k, v in request.settings.items()},
    }
    try:
        if request.recipe is not None:
            own = request.recipe
            text = to_toml(own) if isinstance(own, Recipe) else Path(own).read_text("utf-8")
            write_whole(folder / "recipe.toml", text.encode(), sync=True)
        text = json.dumps({"format": FORMAT} | values)
        write_whole(folder / "request.json", text.encode(), sync=True)
    except OSError as error:
        problem = f"the run's folder cannot be written ({error.strerror or error})"
        raise UserError(str(folder), problem, "Choose another folder with --out.") from None


@dataclass(frozen=True)
class Kept:
    """What a run that is complete still knows of its data: enough to read and divide them again."""

    source: Any
    target: str | None
    group: str | None
    kind: Kind | None
    pattern: str | None
    image_size: int | None
    test: float | str
    seed: int
    digest: str


def _keep(folder: Path, request: Request, digest: str) -> None:
    """Write request.json, which stays when the checkpoints are removed."""
    names = [f.name for f in dataclasses.fields(Kept) if f.name != "digest"]
    values = {name: getattr(request, name) for name in names} | {"digest": digest}
    values["source"] = _place(request.source)
    if not isinstance(request.test, int | float):
        values["test"] = _place(request.test)
    write_whole(folder / "request.json", (json.dumps(values, indent=1) + "\n").encode())


def kept_request(folder: Path, source: Any = None) -> Kept:
    """What the data of a run were; source: the data again, where they came from memory.

    Raises UserError where the run does not say so.
    """
    where = folder / "request.json"
    try:
        kept = Kept(**json.loads(where.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        problem = f"does not say what the run was trained on ({error})"
        raise UserError(str(where), problem, "Train again.") from None
    if source is not None:
        return dataclasses.replace(kept, source=source)
    if kept.source is None:
        problem = "the run was given data from memory, which are not kept"
        raise UserError(str(folder), problem, "Hand them over again: fit(data, coach_from=folder).")
    return kept


def _place(source: Any) -> str | None:
    """A path that is right from any folder, or a sample set's name; None for data in memory."""
    if not isinstance(source, str | Path):
        return None
    path = Path(source)
    return str(path.resolve()) if path.exists() else str(source)


def load_request(folder: Path, source: Any = None) -> Request:
    """What was asked in a run that was begun in this folder.

    source: the data again, where they came from memory. Raises UserError where there is none.
    """
    where = folder / "checkpoint" / "request.json"
    try:
        values = json.loads(where.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise ValueError("it was written by another version")
        _check_types(values)
        request = Request(**values | {"trust": False})
    except FileNotFoundError:
        todo = "Name the folder of a run that was interrupted."
        raise UserError(str(folder), "holds no run that could go on", todo) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(str(where), f"cannot be read ({error})", "Train again.") from None
    recipe = folder / "checkpoint" / "recipe.toml"
    if recipe.exists():
        request = dataclasses.replace(request, recipe=recipe)
    if request.source is None and source is None:
        problem = "the run was given data from memory, which are not kept"
        raise UserError(str(folder), problem, "Hand them over again: resume(folder, source=data).")
    return request if source is None else dataclasses.replace(request, source=source)


def _check_types(values: dict[str, Any]) -> None:
    """Raise ValueError for a value that `fit` would not have taken."""
    hints = get_type_hints(Request)
    wrong = []
    for name in values.keys() & hints.keys() - {"source", "recipe", "settings", "trust"}:
        wrong += conform(values[name], hints[name], name)[1]
    if not isinstance(values.get("source"), str | None):
        wrong.append("source must be a text")
    if not isinstance(values.get("settings", {}), dict):
        wrong.append("settings must be names and values")
    if wrong:
        raise ValueError("; ".join(wrong))


def named_code(request: Request) -> str | None:
    """Where the code lies that a request's recipe names (Custom, Own), else None."""
    recipe = Recipe()
    if isinstance(request.recipe, Recipe):
        recipe = request.recipe
    elif request.recipe is not None:
        recipe = load_recipe(Path(request.recipe), recipe)
    naming = {k: v for k, v in request.settings.items() if k in ("model", "augment")}
    return edit(recipe, naming, "--set").named_code


def data_digest(data: Dataset) -> str:
    """What tells these data from others: shapes, labels, groups, and some of the rows."""
    found = hashlib.sha256(repr((data.inputs.shape, str(data.inputs.dtype), data.classes)).encode())
    found.update(_bytes(data.labels))
    if data.groups is not None:
        found.update(_bytes(data.groups))
    count = min(SAMPLE, len(data), max(1, SAMPLE_BYTES // data.inputs[:1].nbytes))
    rows = np.unique(np.linspace(0, len(data) - 1, count, dtype=int))
    found.update(_bytes(data.inputs[rows]))
    release(data.inputs)
    return found.hexdigest()


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
