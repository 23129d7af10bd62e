"""A classifier in the manner of scikit-learn: `fit`, `predict`, `predict_proba`, `score`.

It trains in memory what `trainwell.fit` trains in a run folder, and measures nothing: use it inside
pipelines, cross-validation and searches of scikit-learn, which do their own measuring.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import (
    assert_all_finite,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor, nn

from trainwell.budget import parse_time
from trainwell.committee import settle, train_committee
from trainwell.data.arrays import read_arrays_like, understand
from trainwell.data.columns import encode_column, infer_column
from trainwell.data.dataset import Column, Dataset, IntArray, Kind, Numbered, Schema, TableSchema
from trainwell.data.rows import Rows
from trainwell.data.sources import is_frame
from trainwell.data.table import narrowed, precision_of
from trainwell.errors import UserError
from trainwell.model import Model
from trainwell.options import Options, chosen_recipe
from trainwell.recipe import Mlp, Recipe
from trainwell.techniques.models import Custom

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
KINDS = ("table", "images", "audio")
TINY = 1e-300  # a probability that became 0


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Neural networks as a scikit-learn classifier.

    One network for each of `folds` parts of the rows (times `networks`): each learns from the other
    parts and stops where it is best on its own. Their probabilities are averaged, so every row
    trains, and nothing is held back for a test: that is the caller's business (cross_val_score).
    Missing values may stay; columns of words, truth values and dates of a DataFrame become numbers
    as in `trainwell.fit`, but none is left out.

    Parameters
    ----------
    recipe: every choice of a training: a Recipe, a recipe file, or None for one that suits data
        of this kind and size.
    settings: fields of the recipe to change, as text or values: {"optimizer": "Momentum()"}.
    hidden: widths of the hidden layers, (64, 64); None: as the recipe says.
    lr: learning rate; None: the recipe's, or one found by a ladder of rates on the folds.
    epochs: at most so many; None: as the recipe says.
    folds: parts of the rows. 1: a single network that learns from 80 or 90 % of the rows.
    networks: per fold, with different initial weights.
    budget: seconds, or "10m"; None: no limit. Where the clock ends a training, a repetition may
        give another model, and a ConvergenceWarning says so.
    kind: "table" for X (N, D); "images" for uint8 (N, H, W), (N, C, H, W) or (N, H, W, C);
        "audio" for waveforms (N, T), int16 or float in [-1, 1].
    rate: samples per second of clips.
    random_state: equal numbers (and rows, in any order) give equal models; None takes a new one.

    Attributes
    ----------
    classes_ (C,), n_features_in_, feature_names_in_ (for a DataFrame): as usual.
    model_: the trainwell Model; recipe_: the recipe that trained, with its learning rate.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> Classifier(lr=0.01, epochs=20, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    classes_: Array
    model_: Model
    recipe_: Recipe
    n_features_in_: int

    def __init__(
        self,
        recipe: Recipe | str | Path | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        hidden: tuple[int, ...] | None = None,
        lr: float | None = None,
        epochs: int | None = None,
        folds: int = 5,
        networks: int = 1,
        budget: float | str | None = None,
        kind: Kind = "table",
        rate: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.hidden = hidden
        self.lr = lr
        self.epochs = epochs
        self.folds = folds
        self.networks = networks
        self.budget = budget
        self.kind = kind
        self.rate = rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on X (N, ...) and labels y (N,) of any kind.

        sample_weight (N,): what each row counts in the loss and in the choice of rate and epoch. A
        whole weight k gives the model that repeating the row k times gives, 0 the one without it.
        Raises ValueError for what cannot be used, also for rows of one class only.
        """
        self._check_parameters()
        rows = self._rows(X, reset=True)
        labels = self._labels(y, rows)
        weights = None if sample_weight is None else _weights(sample_weight, rows)
        if weights is not None:
            counts = weights > 0
            rows, labels, weights = rows[counts], labels[counts], weights[counts]
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            problem = f"at least two classes are needed, got only one class: {classes[0]!r}"
            raise ValueError(f"{type(self).__name__}: {problem}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with _value_errors():
            schema, inputs = _learned(rows, self.kind, self.rate)
            data, left = settle(_dataset(schema, inputs, codes, classes), weights)
            found = train_committee(
                data,
                left,
                self._recipe(data),
                folds=self.folds,
                networks=self.networks,
                seed=seed,
                budget=None if self.budget is None else parse_time(str(self.budget), "budget"),
            )
        if found.late:
            words = f"the budget of {self.budget} ended the training early; the best is kept"
            warnings.warn(words, ConvergenceWarning, stacklevel=2)
        if self.kind == "images":
            self.n_features_in_ = int(np.prod(schema.shape))
        self.classes_, self.model_, self.recipe_ = classes, found.model, found.recipe
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (N, C) in the order of `classes_`: the mean over all networks."""
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        with _value_errors():
            inputs = _alike(rows, self.model_.schema)
        model = _precise(self.model_) if self.model_.schema.kind == "table" else self.model_
        return model.probabilities(inputs)

    def predict(self, X: Any) -> Array:
        """The most probable class of each row (N,)."""
        chosen = self.predict_proba(X).argmax(axis=1)
        found: Array = self.classes_[chosen]
        return found

    def decision_function(self, X: Any) -> Floats:
        """Log probabilities (N, C); of two classes log p₁ - log p₀ (N,), above 0 for the second."""
        logs: Floats = np.log(np.maximum(self.predict_proba(X), TINY))
        return logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        pictures = isinstance(self.kind, str) and self.kind == "images"
        tags.input_tags.allow_nan = isinstance(self.kind, str) and self.kind == "table"
        tags.input_tags.two_d_array = not pictures
        tags.input_tags.three_d_array = pictures
        return tags

    def _check_parameters(self) -> None:
        """Raise ValueError for a parameter that is none; its value is not changed."""
        for name, most in (("folds", 50), ("networks", 100), ("epochs", 10**6)):
            value = getattr(self, name)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not (name == "epochs" and value is None) and not (whole and 1 <= value <= most):
                self._refuse(name, f"a whole number from 1 to {most}")
        if self.lr is not None and not (isinstance(self.lr, Real) and 0 < self.lr < float("inf")):
            self._refuse("lr", "a number above 0, or None")
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            self._refuse("kind", f"one of {', '.join(KINDS)}")
        if self.hidden is not None and not (
            isinstance(self.hidden, tuple | list)
            and all(isinstance(width, Integral) and width > 0 for width in self.hidden)
        ):
            self._refuse("hidden", "widths such as (64, 64), or None")
        if self.settings is not None and not isinstance(self.settings, Mapping):
            self._refuse("settings", "a mapping from names to values, or None")
        if self.recipe is not None and not isinstance(self.recipe, Recipe | str | Path):
            self._refuse("recipe", "a Recipe, the path of a recipe file, or None")

    def _refuse(self, name: str, wanted: str) -> None:
        who, got = type(self).__name__, getattr(self, name)
        raise ValueError(f"The '{name}' parameter of {who} must be {wanted}. Got {got!r} instead.")

    def _recipe(self, data: Dataset) -> Recipe:
        """The recipe that all parameters together ask for."""
        settings = dict(self.settings or {})
        if self.lr is not None:
            settings["lr"] = float(self.lr)
        if self.epochs is not None:
            settings["epochs"] = int(self.epochs)
        recipe = chosen_recipe(data, Options(recipe=self.recipe, settings=settings), "settings")
        if self.hidden is None:
            return recipe
        if not isinstance(recipe.model, Mlp):
            problem = f"widths are for the model Mlp, the recipe has {type(recipe.model).__name__}"
            raise UserError("hidden", problem, "Leave it out, or change the model in settings.")
        return replace(recipe, model=replace(recipe.model, hidden=tuple(map(int, self.hidden))))

    def _rows(self, X: Any, reset: bool) -> Array | pd.DataFrame:
        """X as a DataFrame, where its columns must be understood, or as an array that is checked.

        reset: note number and names of the columns; else they must be those that were noted.
        """
        if self.kind == "images":
            pictures: Array = check_array(
                X, dtype=None, ensure_2d=False, allow_nd=True, estimator=self, input_name="X"
            )
            return pictures
        frame: Any = X.to_pandas() if hasattr(X, "to_pandas") else X
        if self.kind == "table" and is_frame(frame):
            validate_data(self, frame, reset=reset, skip_check_array=True)
            table: pd.DataFrame = frame
            if not table.size:
                raise ValueError(f"X needs rows and columns, got the shape {table.shape}")
            return table
        finite: bool | str = "allow-nan" if self.kind == "table" else True
        try:
            array: Array = validate_data(self, frame, reset=reset, ensure_all_finite=finite)
            return array
        except ValueError:
            import pandas as pd

            words = np.asarray(frame)
            if self.kind != "table" or words.dtype.kind not in "OU" or words.ndim != 2:
                raise
            # Words among the values, as a ColumnTransformer may give: columns as in a DataFrame.
            validate_data(self, words, reset=reset, skip_check_array=True)
            return pd.DataFrame(words)

    def _labels(self, y: Any, rows: Any) -> Array:
        if y is None:
            who = type(self).__name__
            raise ValueError(f"{who} requires y to be passed, but the target y is None")
        labels: Array = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        check_consistent_length(rows, labels)
        return labels


def _weights(given: Any, rows: Any) -> Floats:
    """Weights (N,), checked."""
    weights: Floats = check_array(
        given, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must be 1D, got the shape {weights.shape}")
    check_consistent_length(rows, weights)
    if (weights < 0).any():
        raise ValueError("sample_weight must not be negative")
    if not weights.any():
        raise ValueError("sample_weight must hold a number above zero, all weights are zero")
    return weights


def _dataset(schema: Schema, inputs: Array, codes: IntArray, classes: Array) -> Dataset:
    names = tuple(map(str, classes.tolist()))
    return Dataset("X", schema, inputs, codes.astype(np.int64), names, Numbered("row", len(inputs)))


def _learned(rows: Any, kind: Kind, rate: int | None) -> tuple[Schema, Array]:
    """What the columns, pictures or clips are, and the examples as networks take them."""
    if kind != "table":
        inputs, schema = understand(rows, "X", kind, rate)
        return schema, inputs
    if is_frame(rows):
        place = Rows("X", rows, np.arange(len(rows)))
        columns = tuple(
            infer_column(rows.iloc[:, j], str(name), place) for j, name in enumerate(rows.columns)
        )
        numbers = _encoded(rows, columns)
    else:
        columns, numbers = tuple(Column(f"x{j}", "number") for j in range(rows.shape[1])), rows
    taken = narrowed(numbers)
    return TableSchema(columns, "y", precision=precision_of(taken)), taken


def _alike(rows: Any, schema: Schema) -> Array:
    """New examples in the form of those that were learned from."""
    if not isinstance(schema, TableSchema):
        return read_arrays_like(rows, None, schema, "X").inputs
    if not is_frame(rows) and any(column.type != "number" for column in schema.columns):
        import pandas as pd

        rows = pd.DataFrame(rows)
    numbers = _encoded(rows, schema.columns) if is_frame(rows) else rows
    edge = np.finfo(schema.precision).max  # a number beyond it is as large as they get
    return np.clip(numbers, -edge, edge).astype(schema.precision)


def _encoded(rows: pd.DataFrame, columns: tuple[Column, ...]) -> Floats:
    """The columns, by their places, as numbers (N, D), NaN where missing."""
    place = Rows("X", rows, np.arange(len(rows)))
    parts = [encode_column(rows.iloc[:, j], column, place)[0] for j, column in enumerate(columns)]
    return np.concatenate(parts, axis=1)


class _Double(nn.Module):
    """A network that computes in float64."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(x.double())
        return outputs


def _precise(model: Model) -> Model:
    """The model in float64: then no row's probabilities depend, in their last digits, on the rows
    that are predicted together with it. Networks of one's own stay as they are."""
    if any(isinstance(part.recipe.model, Custom) for part in model.parts):
        return model
    parts = [replace(part, network=_Double(copy.deepcopy(part.network))) for part in model.parts]
    return replace(model, parts=tuple(parts))


@contextmanager
def _value_errors() -> Iterator[None]:
    """Mistakes of the user as scikit-learn reports them."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error
