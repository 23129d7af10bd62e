"""The scikit-learn estimator: scikit-learn's own checks, its meta-estimators, weights, tables."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import trainwell as tw
from trainwell import committee
from trainwell.committee import settle
from trainwell.data.arrays import read_arrays
from trainwell.model import load, save

QUICK: dict[str, Any] = {"lr": 0.02, "epochs": 15, "folds": 3, "random_state": 0}


@parametrize_with_checks([tw.Classifier()])
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.mark.parametrize("bunch", [load_wine, load_breast_cancer, load_digits])
def test_as_accurate_as_the_network_of_scikit_learn(bunch: Any) -> None:
    X, y = bunch(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    settings = {} if len(X) < 300 else {"lr": 0.005, "epochs": 30}
    ours = tw.Classifier(random_state=0, **settings).fit(Xa, ya).score(Xb, yb)
    peer = make_pipeline(StandardScaler(), MLPClassifier((64, 64), max_iter=500, random_state=0))
    theirs = peer.fit(Xa, ya).score(Xb, yb)
    noise = np.sqrt(2 * theirs * (1 - theirs) / len(yb))  # of a difference of two such shares
    assert ours >= theirs - noise


def test_repetition_order_and_threads_change_nothing(iris: Any) -> None:
    X, y = iris
    one = tw.Classifier(**QUICK).fit(X, y).predict_proba(X)
    state = torch.get_num_threads(), torch.random.get_rng_state()
    np.testing.assert_array_equal(one, tw.Classifier(**QUICK).fit(X, y).predict_proba(X))
    order = np.random.default_rng(1).permutation(len(y))
    np.testing.assert_array_equal(
        one, tw.Classifier(**QUICK).fit(X[order], y[order]).predict_proba(X)
    )
    other = tw.Classifier(**QUICK | {"random_state": 1}).fit(X, y).predict_proba(X)
    assert not np.array_equal(one, other)
    assert torch.get_num_threads() == state[0]
    assert torch.equal(torch.random.get_rng_state(), state[1])


def test_a_fit_writes_nothing(iris: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINWELL_CACHE", str(tmp_path / "cache"))
    tw.Classifier(epochs=4, folds=2, random_state=0).fit(*iris)
    assert not list(tmp_path.iterdir())


# Weights


def test_whole_weights_are_repeated_rows(iris: Any) -> None:
    X, y = iris
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), weights)
    weighted = tw.Classifier(**QUICK).fit(X, y, sample_weight=weights)
    repeated = tw.Classifier(**QUICK).fit(X[rows], y[rows])
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    doubled = tw.Classifier(**QUICK).fit(X, y, sample_weight=np.full(len(y), 2.0))
    twice = tw.Classifier(**QUICK).fit(np.concatenate([X, X]), np.concatenate([y, y]))
    np.testing.assert_array_equal(doubled.predict_proba(X), twice.predict_proba(X))


@pytest.mark.parametrize("weight", [0.25, 0.7, 2.6])
def test_probabilities_are_shares_of_the_weights(weight: float) -> None:
    """Rows of both labels at the same places: the lowest weighted loss is the share of weights."""
    places = np.repeat([0.0, 1.0], 200) + np.linspace(0, 1e-3, 400)
    X = np.concatenate([places, places])[:, None]
    y = np.repeat([0, 1], 400)
    weights = np.where(y == 1, weight, 1.0)
    plain = {"regularize": "(L2(1e-6),)", "model": "Linear()"}
    found = tw.Classifier(lr=0.02, epochs=30, folds=3, settings=plain, random_state=0)
    shares = found.fit(X, y, sample_weight=weights).predict_proba(X)[:, 1]
    np.testing.assert_allclose(shares, weight / (1 + weight), atol=0.04)


def test_settled_weights_keep_every_rows_say() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 3, (50, 2)).astype(float), rng.integers(0, 2, 50)
    weights = rng.random(50) * 5
    data, left = settle(read_arrays(X, y), weights)
    assert left is not None
    np.testing.assert_allclose(left.mean(), 1)
    scale = weights.sum() / len(data)
    for row, label in {(tuple(r), c) for r, c in zip(X.tolist(), y.tolist(), strict=True)}:
        before = weights[(row == X).all(axis=1) & (y == label)].sum()
        mine = (data.inputs == np.float32(row)).all(axis=1) & (data.labels == label)
        np.testing.assert_allclose(left[mine].sum() * scale, before)
    assert len(settle(read_arrays(X, y), np.full(50, 1e9))[0]) <= 10_000


def test_weights_that_are_none_are_refused(iris: Any) -> None:
    X, y = iris
    few = (np.ones(3), "inconsistent")
    for weights, word in ((-np.ones(150), "negative"), (np.zeros(150), "zero"), few):
        with pytest.raises(ValueError, match=word):
            tw.Classifier(**QUICK).fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="only one class"):
        tw.Classifier(**QUICK).fit(X, y, sample_weight=(y == "setosa").astype(float))


# Meta-estimators


def test_meta_estimators(iris: Any) -> None:
    X, y = iris
    quick = tw.Classifier(**QUICK)
    assert cross_val_score(make_pipeline(StandardScaler(), quick), X, y, cv=3).mean() > 0.9
    grid = {"hidden": [(8,), (32, 16)], "settings": [None, {"optimizer": "Momentum()"}]}
    search = GridSearchCV(quick, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.recipe_.model.hidden == search.best_params_["hidden"]
    calibrated = CalibratedClassifierCV(quick, cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.9
    vote = VotingClassifier(
        [("net", quick), ("line", LogisticRegression(max_iter=500))], voting="soft"
    )
    assert vote.fit(X, y).score(X, y) > 0.9


@pytest.mark.slow  # workers import torch
def test_processes_of_a_search_find_the_same(iris: Any) -> None:
    scores = [cross_val_score(tw.Classifier(**QUICK), *iris, cv=2, n_jobs=n) for n in (1, 2)]
    np.testing.assert_array_equal(*scores)


def test_clone_and_parameters() -> None:
    recipe = tw.Recipe(lr=0.1)
    one = tw.Classifier(recipe, settings={"epochs": 3}, hidden=(4,), random_state=2)
    two = clone(one)
    assert two.get_params() == one.get_params() and not hasattr(two, "model_")
    assert two.set_params(folds=2).folds == 2
    assert "random_state=2" in repr(one)


def test_pickle_joblib_and_model_files_keep_the_model(iris: Any, tmp_path: Path) -> None:
    X, y = iris
    one = tw.Classifier(**QUICK).fit(X, y)
    joblib.dump(one, tmp_path / "one.joblib")
    for two in (pickle.loads(pickle.dumps(one)), joblib.load(tmp_path / "one.joblib")):
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
        np.testing.assert_array_equal(one.predict(X), two.predict(X))
    save(one.model_, tmp_path / "model")
    found = tw.predict(load(tmp_path / "model"), X)
    assert list(found.labels) == one.predict(X).tolist()
    np.testing.assert_allclose(found.probabilities, one.predict_proba(X), atol=1e-5)


# Tables


def people(rows: int = 120) -> tuple[pd.DataFrame, np.ndarray]:
    """Words, truth values, dates, numbers and holes; the town alone decides."""
    rng = np.random.default_rng(0)
    town = rng.choice(["Aachen", "Bonn", "Celle"], rows)
    frame = pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(40, 9, rows)),
            "town": town,
            "member": rng.random(rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, rows), "D"),
            "children": pd.array(rng.choice([0, 1, None], rows), dtype="Int64"),
            "sort": pd.Categorical(rng.choice(["x", "y"], rows)),
        }
    )
    return frame, np.where(town == "Bonn", "yes", "no")


def test_a_table_of_all_types_of_columns() -> None:
    X, y = people()
    found = tw.Classifier(**QUICK).fit(X, y)
    assert found.score(X, y) > 0.95
    assert found.feature_names_in_.tolist() == list(X.columns) and found.n_features_in_ == 6
    some = X.iloc[:3].assign(town=["Bonn", "Ulm", None])  # a new word counts as missing
    assert found.predict(some)[0] == "yes" and np.isfinite(found.predict_proba(some)).all()
    with pytest.raises(ValueError, match="same order"):
        found.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match='column "age": expected a finite number'):
        found.predict(X.assign(age=np.inf))


def test_arrays_of_words_and_column_transformers() -> None:
    X, y = people()
    words = X[["age", "town", "member"]].to_numpy(object)
    found = tw.Classifier(**QUICK).fit(words, y)
    assert found.score(words, y) > 0.95
    rest = ColumnTransformer([("age", StandardScaler(), ["age"])], remainder="passthrough")
    piped = make_pipeline(rest, tw.Classifier(**QUICK)).fit(X[["age", "town"]], y)
    assert piped.score(X[["age", "town"]], y) > 0.95
    hot = ColumnTransformer([("town", OneHotEncoder(), ["town"])], remainder="passthrough")
    piped = make_pipeline(hot, tw.Classifier(**QUICK)).fit(X[["age", "town"]], y)
    assert piped.score(X[["age", "town"]], y) > 0.95


def test_holes_constants_and_huge_values(iris: Any) -> None:
    X, y = iris
    odd = np.column_stack([X, np.ones(150), np.full(150, np.nan), X[:, 0] * 1e300])
    odd[::7, 0] = np.nan
    found = tw.Classifier(**QUICK).fit(odd, y)
    assert found.score(odd, y) > 0.9
    plain = tw.Classifier(**QUICK).fit(X, y)
    assert np.isfinite(plain.predict_proba(np.full((1, 4), 1e300))).all()
    with pytest.raises(ValueError, match="infinity"):
        plain.predict(np.full((1, 4), np.inf))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32, object])
def test_types_of_numbers(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (60, 3))
    y = X[:, 0] ^ X[:, 1]
    own, plain = X.astype(dtype, order="F"), X.astype(np.float64)
    found = tw.Classifier(**QUICK).fit(own, y)
    expected = tw.Classifier(**QUICK).fit(plain, y).predict_proba(plain)
    np.testing.assert_array_equal(found.predict_proba(own), expected)


@pytest.mark.parametrize("counts", [(1, 1), (1, 5), (2, 2, 1), (30, 1), (30, 2, 1)])
def test_small_classes(counts: tuple[int, ...]) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.random.default_rng(0).normal(size=(len(y), 2)) + 5 * y[:, None]
    found = tw.Classifier(random_state=0).fit(X, y)
    assert found.predict_proba(X).shape == (len(y), len(counts))
    assert found.score(X, y) >= max(counts) / len(y)


def test_equal_rows_of_two_classes() -> None:
    found = tw.Classifier(**QUICK).fit(np.zeros((9, 2)), np.repeat([0, 1], [6, 3]))
    assert found.predict(np.zeros((1, 2))) == [0]


# Pictures and clips


def test_pictures() -> None:
    X, y = load_digits(n_class=3, return_X_y=True)
    X = (X.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    found = tw.Classifier(kind="images", lr=0.01, epochs=4, folds=2, random_state=0).fit(X, y)
    assert found.score(X, y) > 0.9 and found.n_features_in_ == 64
    with pytest.raises(ValueError, match="shape"):
        found.predict(X[:, :, :4])
    with pytest.raises(ValueError, match="uint8"):
        found.predict(X / 255)
    with pytest.raises(ValueError, match="dim 4"):
        tw.Classifier(**QUICK).fit(X, y)


def test_clips() -> None:
    rate, y = 2000, np.repeat([0, 1], 20)
    time = np.arange(800) / rate
    shift = np.random.default_rng(0).random((40, 1)) * 6
    X = 0.5 * np.sin(2 * np.pi * np.where(y == 1, 700, 300)[:, None] * time + shift)
    quick = QUICK | {"settings": {"model": "Linear()"}}
    found = tw.Classifier(kind="audio", rate=rate, **quick)
    assert found.fit(X, y).score(X, y) > 0.9
    with pytest.raises(ValueError, match="sample rate"):
        tw.Classifier(kind="audio").fit(X, y)


# Parameters


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"folds": 0}, "'folds' parameter of Classifier must be a whole number from 1 to 50"),
        ({"networks": 1.5}, "'networks' parameter .* Got 1.5 instead"),
        ({"epochs": "many"}, "'epochs' parameter"),
        ({"lr": -1}, "'lr' parameter .* must be a number above 0"),
        ({"kind": "sound"}, "one of table, images, audio"),
        ({"settings": [1]}, "'settings' parameter"),
        ({"settings": {"optimiser": "Adam()"}}, 'no field "optimiser".*Did you mean "optimizer"'),
        ({"recipe": 3}, "'recipe' parameter"),
        ({"recipe": "missing.toml"}, "does not exist"),
        ({"hidden": (8,), "settings": {"model": "Linear()"}}, "widths are for the model Mlp"),
        ({"hidden": 8}, "'hidden' parameter"),
        ({"budget": "soon"}, "budget: expected a time"),
    ],
)
def test_wrong_parameters_are_named(iris: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tw.Classifier(**QUICK | given).fit(*iris)


def test_not_fitted(iris: Any) -> None:
    with pytest.raises(NotFittedError):
        tw.Classifier().predict(iris[0])


def test_the_recipe_and_its_file(iris: Any, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('lr = 0.01\nepochs = 3\nmodel = "Linear()"\n')
    found = tw.Classifier(tmp_path / "recipe.toml", folds=2, random_state=0).fit(*iris)
    assert found.recipe_.model == tw.Linear() and found.recipe_.epochs == 3
    recipe = tw.Recipe(model=tw.Mlp(hidden=(8,)), epochs=3, lr=0.01)
    found = tw.Classifier(recipe, networks=2, folds=2, random_state=0).fit(*iris)
    assert len(found.model_.parts) == 4


def test_every_balance_goes_with_weights(iris: Any) -> None:
    X, y = iris
    weights = np.random.default_rng(0).random(150) + 0.5
    for balance in ("ClassWeights()", "Oversample()", "LogitAdjust()", "Focal()", "Smote()"):
        quick = tw.Classifier(**QUICK | {"epochs": 5}, settings={"balance": balance})
        assert quick.fit(X, y, sample_weight=weights).score(X, y) > 0.8, balance


def test_a_budget_cuts_epochs_and_says_when_the_clock_ends_it(
    iris: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 10**5, "patience": 10**5}
    short = tw.Classifier(lr=0.01, budget="3s", folds=2, random_state=0, settings=settings)
    cut = clone(short).set_params(settings={"epochs": 10**3}, budget=2).fit(*iris)
    assert 3 <= cut.recipe_.epochs < 1000
    monkeypatch.setattr(committee, "_fitted", lambda recipe, *rest: recipe)
    with pytest.warns(ConvergenceWarning, match="budget of 3s ended"):
        assert short.fit(*iris).score(*iris) > 0.9


def test_a_model_says_nothing_of_its_rows(iris: Any) -> None:
    found = tw.Classifier(**QUICK).fit(*iris)
    stream = io.BytesIO()
    pickle.dump(found, stream)
    smaller = len(pickle.dumps(tw.Classifier(**QUICK).fit(iris[0][::3], iris[1][::3])))
    assert stream.tell() < 1.5 * smaller


def test_mistakes_in_settings_name_the_parameter():
    x, y = np.zeros((20, 2)) + np.arange(20)[:, None], np.arange(20) % 2
    with pytest.raises(ValueError, match=r"^settings: .*\n.*epoch"):
        tw.Classifier(settings={"epoch": "3"}).fit(x, y)
