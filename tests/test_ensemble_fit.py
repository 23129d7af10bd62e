"""Ensembles inside `fit`, and over several runs, through the command line and from Python.

The vote itself is tested on arrays in tests/ensemble; here it is what a run keeps and tells of it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import trainwell
from trainwell import model as models
from trainwell.arms import Arm
from trainwell.cli.app import main
from trainwell.coach.remedies import difference
from trainwell.coach.run import After
from trainwell.data.samples import load_sample
from trainwell.distilling import cost_words
from trainwell.ensemble.calibrate import scaled
from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.rows import Floats, Ints
from trainwell.ensemble.select import best_against, select
from trainwell.errors import UserError
from trainwell.fitting import fit
from trainwell.kinds import Kind, distinct, kinds_of_coach, others
from trainwell.metrics import balanced_accuracy
from trainwell.model import Model, load
from trainwell.recipe import Recipe
from trainwell.report.ensemble import diversity, members, view
from trainwell.run import Run
from trainwell.techniques.balance import LogitAdjust
from trainwell.techniques.models import Cnn, Custom, Linear, Mlp
from trainwell.techniques.optim.first_order import Adam
from trainwell.voting import Candidates, Voting, decide, told, weighted, words
from trainwell.voting_table import Opened, gained, voting_table

SHORT: Mapping[str, Any] = {"epochs": 6, "lr": 0.01}


def run_of(out: Path, source: str = "wine", **options: Any) -> Run:
    given: dict[str, Any] = {"folds": 3, "seeds": 1, "settings": SHORT, "jobs": 1, "coach": False}
    return fit(source, out=out, **given | options)


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose recipe is named, so that others may only join it."""
    settings = {**SHORT, "model": "Mlp(hidden=(8,))"}
    return run_of(tmp_path_factory.mktemp("runs") / "wine", settings=settings)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = {**SHORT, "model": "Linear()"}
    return run_of(tmp_path_factory.mktemp("runs") / "other", settings=settings)


# --- which kinds ---------------------------------------------------------------------------------


def test_the_three_ways_of_the_lecture() -> None:
    """Other initial weights, partial samples, other architectures."""
    schema = load_sample("iris").schema
    ways = [o.way for o in others(Recipe(model=Mlp((8,)), lr=0.1), schema)]
    assert {"other seeds", "part of the rows", "architecture"} == set(ways)


def test_kinds_that_fit_the_recipe() -> None:
    schema, pictures = load_sample("iris").schema, load_sample("digits").schema
    linear = [o.name for o in others(Recipe(model=Linear(), lr=0.1), schema)]
    assert "other seeds" not in linear  # its loss is convex: all starts end alike
    own = others(Recipe(model=Custom("net:build"), lr=0.1), schema)
    assert {o.way for o in own} == {"other seeds", "part of the rows"}
    newton = others(Recipe(model=Mlp((8,)), lr=1.0, optimizer=trainwell.Lbfgs()), schema)
    assert {o.way for o in newton} == {"other seeds", "part of the rows"}
    seen = others(Recipe(model=Cnn(channels=(4,)), lr=0.1, optimizer=Adam()), pictures)
    assert len({type(o.recipe.model) for o in seen}) == 3
    recipe = Recipe(lr=0.1)
    for kind in others(recipe, schema):  # nothing but the network is another
        assert dataclasses.replace(kind.recipe, model=recipe.model) == recipe


# --- the decision, on planted voices -------------------------------------------------------------


def softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    found: Floats = e / e.sum(axis=-1, keepdims=True)
    return found


def planted(noise: list[float], n: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Voices (V, n, 3) that see the truth through noise of their own, and labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)) * 2
    y = (softmax(z).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 2)
    scale = np.array(noise)[:, None, None]
    return softmax(z + rng.normal(size=(len(noise), n, 3)) * scale), y


def candidates(voices: Floats, owners: tuple[int, ...], model: Model) -> Candidates:
    """Kinds without trained networks; two networks stand for each."""
    names = [f"kind {k}" for k in range(max(owners) + 1)]
    part = model.parts[0]
    plain = tuple(
        dataclasses.replace(model, parts=(dataclasses.replace(part, kind=n),) * 2) for n in names
    )
    kinds = tuple(Kind(n, "architecture", Recipe(model=Linear()), (), model.folds) for n in names)
    return Candidates(kinds, plain, np.arange(voices.shape[1]), voices, owners)


def test_members_that_err_apart_are_kept_and_a_useless_one_is_not_heard(wine: Run) -> None:
    voices, y = planted([1.2, 1.2, 1.2, 30.0], 900)
    found = decide(candidates(voices, (0, 1, 2, 3), load(wine.folder)), y, None, 0)
    assert found.kept == "ensemble"
    assert found.selection is not None
    assert found.selection.weights[3] == 0
    weights = {p.kind: p.weight * 2 for p in found.model.parts}
    assert weights == pytest.approx(
        {f"kind {k}": w for k, w in enumerate(found.selection.weights) if w}
    )
    table = voting_table(found, y, None, 0)
    assert json.loads(json.dumps(table)) == table
    assert [
        k["verdict"] for k in (kind["contribution"] or {"verdict": None} for kind in table["kinds"])
    ][3] is None


def test_copies_are_not_kept(wine: Run) -> None:
    voices, y = planted([1.0], 600)
    same = np.repeat(voices, 3, axis=0)
    found = decide(candidates(same, (0, 1, 2), load(wine.folder)), y, None, 0)
    assert found.kept == "recipe"
    assert found.model.parts == found.candidates.plain[0].parts


def test_another_kind_takes_the_place_only_where_it_may(wine: Run) -> None:
    """The recipe knows nothing, another kind much: no vote beats that one alone."""
    voices, y = planted([40.0, 0.2], 600)
    made = candidates(voices, (0, 1), load(wine.folder))
    free, named = (decide(made, y, None, 0, replaceable=r) for r in (True, False))
    assert (free.kept, free.alone, free.model) == ("another kind", 1, made.plain[1])
    assert (named.kept, named.alone, named.model) == ("recipe", 0, made.plain[0])


def test_best_against_a_reference_that_is_as_good() -> None:
    voices, y = planted([1.0, 1.0, 1.0], 400)
    assert best_against(voices, y).verdict == "not shown"
    worse, y = planted([30.0, 0.5], 400)
    found = best_against(worse, y)
    assert (found.best, found.verdict) == (1, "kept")
    assert best_against(worse, y, reference=1).gain.value == 0


def test_networks_of_a_kind_share_a_temperature_and_a_voice() -> None:
    """Two seeds of one kind: select with kinds is select on their mean, scaled one by one."""
    voices, y = planted([0.8, 0.8, 1.5], 500)
    chosen = select(voices**2 / (voices**2).sum(-1, keepdims=True), y, kinds=(0, 0, 1))
    assert len(chosen.weights) == len(chosen.temperatures) == 2
    assert chosen.temperatures[0] > 1  # squared probabilities are too sure
    sure = voices**2 / (voices**2).sum(-1, keepdims=True)
    warm = scaled(sure, chosen.temperatures[[0, 0, 1]])
    expected = soft_vote(np.stack([warm[:2].mean(axis=0), warm[2]]), chosen.weights)
    np.testing.assert_allclose(chosen(sure), expected, atol=1e-12)


def test_the_model_votes_as_the_selection_does(wine: Run) -> None:
    """Weights and temperatures in the model give what was selected, on new rows."""
    model, data = load(wine.folder), load_sample("wine")
    kinds = [
        dataclasses.replace(model, parts=(dataclasses.replace(p, kind=str(k)),))
        for k, p in enumerate(model.parts)
    ]
    owners = tuple(range(len(kinds)))
    rows = np.arange(len(data))
    plain = model.member_probabilities(data.inputs)
    made = Candidates(
        tuple(Kind(str(k), "run", Recipe(), (), model.folds) for k in owners),
        tuple(kinds),
        rows,
        plain,
        owners,
    )
    chosen = select(plain, data.labels, kinds=owners)
    chosen = dataclasses.replace(chosen, weights=np.array([0.5, 0.2, 0.3]))
    voted = weighted(made, chosen)
    np.testing.assert_allclose(voted.probabilities(data.inputs), chosen(plain), atol=1e-12)
    np.testing.assert_allclose(
        voted.vote(voted.member_probabilities(data.inputs)),
        voted.probabilities(data.inputs),
        atol=1e-12,
    )


# --- the model on disk ---------------------------------------------------------------------------


def test_weights_and_temperatures_are_saved(wine: Run, tmp_path: Path) -> None:
    model, data = load(wine.folder), load_sample("wine")
    parts = [
        dataclasses.replace(p, weight=0.1 * (i + 1), temperature=1.5 + i, kind=f"kind {i}")
        for i, p in enumerate(model.parts)
    ]
    changed = dataclasses.replace(model, parts=tuple(parts))
    models.save(changed, tmp_path / "model")
    again = load(tmp_path)
    said = again.probabilities(data.inputs)
    assert np.array_equal(said, changed.probabilities(data.inputs))
    assert not np.allclose(said, model.probabilities(data.inputs))
    heat = [p.temperature for p in again.parts]
    expected = soft_vote(
        scaled(model.member_probabilities(data.inputs), heat), [p.weight for p in again.parts]
    )
    np.testing.assert_allclose(said, expected, atol=1e-9)


def test_a_model_of_format_1_counts_all_networks_alike(wine: Run, tmp_path: Path) -> None:
    shutil.copytree(wine.folder / "model", tmp_path / "model")
    rewrite(
        tmp_path / "model",
        lambda card: card.update(
            format=1,
            networks=[{k: e[k] for k in ("fold", "seed", "recipe")} for e in card["networks"]],
        ),
    )
    old, data = load(tmp_path), load_sample("wine")
    assert {(p.weight, p.temperature, p.kind) for p in old.parts} == {(1.0, 1.0, "")}
    mean = old.member_probabilities(data.inputs).mean(axis=0)
    np.testing.assert_allclose(old.probabilities(data.inputs), mean, atol=1e-15)


@pytest.mark.parametrize("field", ["weight", "temperature"])
def test_a_model_with_a_weight_of_nothing_is_refused(wine: Run, tmp_path: Path, field: str) -> None:
    shutil.copytree(wine.folder / "model", tmp_path / "model")
    rewrite(tmp_path / "model", lambda card: card["networks"][0].update({field: 0}))
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path)


def rewrite(folder: Path, change: Any) -> None:
    """Change a model's card, and let its weights know."""
    import hashlib

    from safetensors import safe_open
    from safetensors.torch import save_file

    card = json.loads((folder / "model.json").read_text())
    change(card)
    text = json.dumps(card, indent=1).encode()
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, folder / "weights.safetensors", {"card": hashlib.sha256(text).hexdigest()})
    (folder / "model.json").write_bytes(text)


# --- inside fit ----------------------------------------------------------------------------------


def test_run_json_tells_of_the_vote(wine: Run) -> None:
    found = wine.result["ensemble"]
    names = [k["name"] for k in found["kinds"]]
    assert names[0] == "recipe"
    assert len(names) == len(set(names)) > 2
    assert sum(k["weight"] for k in found["kinds"]) == pytest.approx(1)
    assert found["kept"] in ("recipe", "ensemble")  # the network was named
    assert (found["kept"] == "ensemble") == (found["verdict"] == "kept")
    assert {w["name"] for w in found["ways"]} >= {"best kind", "soft vote", "majority", "greedy"}
    assert {w["name"] for w in found["ways"]} >= {"log-odds majority", "stacking"}
    size = len(names)
    for table in ("disagreement", "double_fault", "q"):
        assert np.shape(found["diversity"][table]) == (size, size)
    assert np.diag(np.array(found["diversity"]["disagreement"], float)).tolist() == [0.0] * size
    for kind in found["kinds"]:
        assert 0.05 <= kind["temperature"] <= 20
        assert (kind["contribution"] is None) or kind["weight"] > 0
    assert found["test"]["n"] == wine.result["test"]["n"]
    assert found["over_best_network"]["networks"] == sum(k["networks"] for k in found["kinds"])


def test_the_scores_are_those_of_what_is_kept(wine: Run) -> None:
    """The model in the folder says what oof.npz and run.json hold, weights and all."""
    data, model = load_sample("wine"), load(wine.folder)
    with np.load(wine.folder / "oof.npz") as kept:
        said = model.probabilities(data.inputs, kept["test_rows"])
        np.testing.assert_allclose(said, kept["test_probabilities"], atol=1e-6)
        right = (said.argmax(axis=1) == kept["test_labels"]).mean()
        assert set(kept["voice_kinds"]) == {p.kind for p in model.parts}
    assert wine.result["test"]["accuracy"]["value"] == pytest.approx(right)


def test_an_ensemble_is_kept_where_the_networks_need_each_other(tmp_path: Path) -> None:
    """Few rows, a slope and a product to learn, a rate so high that each network errs elsewhere:
    the vote is shown to be better."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1000, 20))
    slope = x @ rng.normal(size=20) / np.sqrt(20)
    y = np.digitize(slope, [-0.7, 0.0, 0.7]) + 4 * (x[:, 0] * x[:, 1] > 0)
    settings = {"epochs": 12, "lr": 0.1, "model": "Mlp(hidden=(64, 64))", "regularize": "()"}
    run = run_of(tmp_path / "run", (x, y), settings=settings)
    found, model = run.result["ensemble"], load(run.folder)
    assert found["kept"] == "ensemble", found["words"]
    assert found["difference"]["log_loss"]["low"] > 0
    assert len({p.kind for p in model.parts}) > 1
    assert found["members"] == len(model.parts)
    with np.load(run.folder / "oof.npz") as kept:
        said = model.probabilities(np.asarray(x), kept["test_rows"])
        np.testing.assert_allclose(said, kept["test_probabilities"], atol=1e-6)
    page = run.report.read_text(encoding="utf-8")
    assert '<section id="ensemble">' in page
    assert "it is kept" in page


def test_without_ensemble_nothing_else_is_trained(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", ensemble=False)
    assert "kinds" not in run.result["ensemble"]
    assert "other kinds" not in (run.folder / "log.txt").read_text()


def test_a_single_hold_out_part(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "breast_cancer", folds=1)
    found = run.result["ensemble"]
    assert len(found["kinds"]) > 1
    assert {k["networks"] for k in found["kinds"]} == {1}
    assert found["rows"] == run.result["validation"]["n"]


def test_the_same_command_gives_the_same_vote(wine: Run, tmp_path: Path) -> None:
    settings = {**SHORT, "model": "Mlp(hidden=(8,))"}
    again = run_of(tmp_path / "again", settings=settings)
    assert again.result["ensemble"] == wine.result["ensemble"]


# --- one network for many ------------------------------------------------------------------------


def test_single_distils_and_tells_the_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "fit wine --folds 3 --seeds 1 --set epochs=6 --set lr=0.01 --single --json --quiet"
    result = command(capsys, *words.split(), "--out", str(tmp_path / "run"))
    model = load(tmp_path / "run")
    assert len(model.parts) == result["ensemble"]["members"] == 1
    single = result["ensemble"]["single"]
    assert single["part"] == "test"
    assert single["cost"]["n"] == result["test"]["n"]
    assert single["cost"]["accuracy"]["low"] <= single["cost"]["accuracy"]["value"]
    assert single["parameters"]["ensemble"] > single["parameters"]["one"] == result["parameters"]
    assert all(v > 0 for v in single["seconds_per_example"].values())
    assert any("learned from" in w for w in result["warnings"])
    data = load_sample("wine")
    with np.load(tmp_path / "run" / "oof.npz") as kept:
        said = model.probabilities(data.inputs, kept["test_rows"])
        np.testing.assert_allclose(said, kept["test_probabilities"], atol=1e-6)
        assert "voices" not in kept.files


def test_single_needs_an_ensemble(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--single"):
        run_of(tmp_path / "run", ensemble=False, single=True)


def test_single_of_recipes_that_soft_targets_do_not_suit(tmp_path: Path) -> None:
    settings = {**SHORT, "loss": "Hinge()", "balance": "ThresholdMove()"}
    run = run_of(tmp_path / "run", "iris", settings=settings, single=True)
    assert run.result["ensemble"]["single"]["cost"]["n"] == run.result["test"]["n"]
    assert load(run.folder).parts[0].offsets is None


def uneven(seed: int, counts: tuple[int, ...] = (1500, 300, 60)) -> tuple[Floats, Ints]:
    """Rows of three classes that overlap, in random order."""
    rng = np.random.default_rng(seed)
    middles = np.zeros((3, 8))
    middles[1, :4], middles[2, 2:6] = 0.9, 1.2
    y = rng.permutation(np.repeat(np.arange(3), counts))
    return rng.normal(size=(len(y), 8)) + middles[y], y


@pytest.fixture(scope="module")
def remedied(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Uneven classes, and a recipe with the remedy that a coach would have proved."""
    settings = {"epochs": 20, "lr": 0.01, "model": "Mlp(hidden=(16,))", "balance": "LogitAdjust()"}
    out = tmp_path_factory.mktemp("runs") / "remedied"
    return run_of(out, uneven(0), settings=settings)


def test_a_single_network_keeps_what_a_remedy_has_won(remedied: Run, tmp_path: Path) -> None:
    """On many new rows the student finds rare classes as its teacher does; labels alone would
    teach it their shares, with 10 points less."""
    settings = {"epochs": 20, "lr": 0.01, "model": "Mlp(hidden=(16,))", "balance": "LogitAdjust()"}
    run = run_of(tmp_path / "one", uneven(0), settings=settings, single=True)
    x, y = uneven(9, (4000, 1000, 1000))
    one, many = (balanced_accuracy(y, load(r.folder).probabilities(x)) for r in (run, remedied))
    plain = {k: v for k, v in settings.items() if k != "balance"}
    without = run_of(tmp_path / "plain", uneven(0), settings=plain, ensemble=False)
    least = balanced_accuracy(y, load(without.folder).probabilities(x))
    assert many > least + 0.06
    assert one > many - 0.03
    found = run.result["ensemble"]["single"]
    assert found["metric"] == "balanced_accuracy"
    assert "points of balanced accuracy" in found["words"]
    assert "log loss" in found["words"]


def test_a_harm_of_a_single_network_is_told_as_one() -> None:
    """Accuracy not shown to differ, log loss shown to be higher: both are said."""
    cost = {
        "accuracy": {"value": -0.003, "low": -0.01, "high": 0.004},
        "log_loss": {"value": -0.02, "low": -0.03, "high": -0.01},
    }
    said = cost_words(cost, "accuracy")
    assert "-0.30 [-1.00, +0.40] points of accuracy: a difference is not shown" in said
    assert said.endswith("log loss 0.0200 higher [0.0100 to 0.0300]: a loss")


# --- uneven classes, and what a coach has tried --------------------------------------------------


def test_a_remedy_is_not_thrown_away(wine: Run) -> None:
    """The recipe is adjusted for rare classes, another kind is not: by the log loss of all rows
    it takes the recipe's place, by balanced accuracy it does not."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(3), (1200, 240, 60)))
    shares = np.array([0.8, 0.16, 0.04])
    x = 1.6 * (rng.normal(size=(len(y), 3)) + 1.6 * np.eye(3)[y])
    voices = softmax(np.stack([x, x + np.log(shares)]))
    made = candidates(voices, (0, 1), load(wine.folder))
    assert decide(made, y, None, 0).kept == "another kind"
    for metric in ("balanced_accuracy", "macro_f1"):
        found = decide(made, y, None, 0, metric)
        assert found.kept != "another kind"
        assert found.metric == metric
    found = decide(made, y, None, 0, "balanced_accuracy")
    assert found.kept == "recipe"
    assert found.selection is not None
    table = voting_table(found, y, None, 0)
    assert (table["metric"], table["decided"]) == ("balanced_accuracy", "balanced_accuracy")
    assert set(table["difference"]) == {"balanced_accuracy", "log_loss"}
    assert json.loads(json.dumps(table)) == table
    assert "balanced accuracy +0.00 [" in told(found.selection)
    assert "; class-balanced log loss 0.0000" in told(found.selection)


def test_what_a_coach_has_beaten_stays_beaten(wine: Run) -> None:
    """The recipe knows nothing, the beaten kind most: the next one takes the place."""
    voices, y = planted([40.0, 0.1, 0.6], 600)
    made = candidates(voices, (0, 1, 2), load(wine.folder))
    free = decide(made, y, None, 0)
    assert (free.kept, free.alone) == ("another kind", 1)
    kinds = tuple(dataclasses.replace(k, beaten=n == 1) for n, k in enumerate(made.kinds))
    found = decide(dataclasses.replace(made, kinds=kinds), y, None, 0)
    assert (found.kept, found.alone, found.model) == ("another kind", 2, made.plain[2])
    assert "“kind 2” alone is shown to beat the recipe, and is kept" in words(found)
    only = decide(dataclasses.replace(made, kinds=(kinds[0], kinds[1], kinds[1])), y, None, 0)
    assert only.kept == "recipe"


def arm(recipe: Recipe) -> Arm:
    nothing = np.empty(0)
    return Arm(recipe, (), nothing, nothing, nothing, nothing, (), ())


def tried(change: str, changes: dict[str, str], outcome: str) -> dict[str, Any]:
    return {"tried": change, "changes": changes, "outcome": outcome}


def kinds_after(arms: list[Recipe], decisions: list[dict[str, Any]], kept: Recipe) -> list[Kind]:
    layers = SimpleNamespace(examples=SimpleNamespace(inputs=SimpleNamespace(layers=[])))
    arena: Any = SimpleNamespace(trainer=lambda recipe: layers)
    given = tuple(arm(recipe) for recipe in arms)
    evidence: Any = None
    return kinds_of_coach(After([], [], [], evidence, decisions, arena, given), kept)


def test_kinds_of_a_coach_are_named_by_their_change() -> None:
    """As given, its placebo, a remedy on the way, one not shown, the placebo of what is kept."""
    given, wide = Recipe(lr=0.1, epochs=20), Recipe(lr=0.1, epochs=20, model=Mlp((128,)))
    kept = dataclasses.replace(wide, epochs=40)
    small = dataclasses.replace(kept, batch_size=16)
    decisions = [
        tried("twice as wide", difference(given, wide), "adopted"),
        tried("L2 0.001", {"regularize": "(L2(0.001),)"}, "screened out"),
        tried("40 epochs", difference(wide, kept), "adopted"),
        tried("batches of 16", difference(kept, small), "not shown"),
    ]
    found = kinds_after([given, given, wide, small, kept], decisions, kept)
    assert [k.name for k in found] == [
        "as given",
        "as given, placebo",
        "twice as wide",
        "batches of 16",
        "placebo",
    ]
    assert [k.beaten for k in found] == [True, True, True, False, False]
    assert [k.way for k in found] == ["coach"] * 4 + ["other seeds"]


def test_a_coach_that_adopted_nothing() -> None:
    given = Recipe(lr=0.1, epochs=20)
    longer = dataclasses.replace(given, epochs=40)
    one = [tried("40 epochs", difference(given, longer), "worse")]
    found = kinds_after([longer, given], one, given)
    assert [(k.name, k.beaten) for k in found] == [("40 epochs", True), ("placebo", False)]
    adjusted = dataclasses.replace(given, balance=LogitAdjust())
    name = f"balance: {adjusted.balance!r}"
    two = [tried(name, difference(given, adjusted), "adopted")]
    (as_given,) = kinds_after([given], two, adjusted)
    assert (as_given.name, as_given.beaten) == ("as given", True)


def test_no_two_kinds_share_a_name() -> None:
    kinds = [Kind(n, "coach", Recipe(), (), ()) for n in ("deeper", "placebo", "deeper")]
    assert [k.name for k in distinct(kinds)] == ["deeper", "placebo", "deeper, 2"]


@pytest.mark.slow
def test_the_vote_keeps_what_the_coach_has_proved(tmp_path: Path) -> None:
    """The whole way: 1500, 300 and 30 rows; out of fold what is kept finds as much as the remedy
    that was proved."""
    run = fit(uneven(0, (1500, 300, 30)), target=None, budget=60, out=tmp_path / "run", jobs=1)
    adopted = [d for d in run.result["decisions"] if d["outcome"] == "adopted"]
    assert any("balance" in d["changes"] for d in adopted)
    found = run.result["ensemble"]
    recipe = next(k for k in found["kinds"] if k["name"] == "recipe")
    kept = run.result["validation"]["balanced_accuracy"]["value"]
    assert kept >= recipe["validation"]["balanced_accuracy"]["value"] - 0.01
    given = next(k for k in found["kinds"] if k["name"] == "as given")
    assert kept > given["validation"]["balanced_accuracy"]["value"] + 0.03


# --- over several runs ---------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What the command line prints as its last line of JSON; the exit code must be 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["trainwell", *words])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_runs_become_one_model(
    wine: Run, other: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both"
    words = ["ensemble", str(wine.folder), str(other.folder), "--out", str(out), "--keep"]
    result = command(capsys, *words, "--json")
    assert result == json.loads((out / "ensemble.json").read_text())
    assert result["ensemble"]["kept"] == "ensemble"
    model, data = load(out), load_sample("wine")
    with np.load(wine.folder / "oof.npz") as kept:
        said = model.probabilities(data.inputs, kept["test_rows"])
        right = (said.argmax(axis=1) == kept["test_labels"]).mean()
        truth = said[np.arange(len(said)), kept["test_labels"]]
    assert result["test"]["accuracy"]["value"] == pytest.approx(right)
    assert result["test"]["log_loss"]["value"] == pytest.approx(-np.log(truth).mean(), abs=1e-5)
    assert len(trainwell.predict(out, data.inputs).labels) == len(data)
    page = (out / "ensemble.html").read_text(encoding="utf-8")
    assert '<section id="ensemble">' in page
    assert all(k["name"] in page for k in result["ensemble"]["kinds"])


def test_what_is_not_better_is_one_run_alone(wine: Run, other: Run, tmp_path: Path) -> None:
    found = trainwell.ensemble_runs([wine.folder, other.folder], out=tmp_path / "both")
    ensemble, model = found.result["ensemble"], load(tmp_path / "both")
    kinds = {p.kind for p in model.parts}
    if ensemble["verdict"] == "kept":
        assert kinds == {k["name"] for k in ensemble["kinds"] if k["weight"]}
    else:
        assert ensemble["kept"] == "best kind"
        assert kinds == {ensemble["best"]}


def test_runs_that_do_not_fit_together(wine: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two different runs"):
        trainwell.ensemble_runs([wine.folder, wine.folder])
    with pytest.raises(UserError, match="holds no finished run"):
        trainwell.ensemble_runs([wine.folder, tmp_path])
    iris = run_of(tmp_path / "iris", "iris", ensemble=False)
    with pytest.raises(UserError, match="knows other classes"):
        trainwell.ensemble_runs([wine.folder, iris.folder])
    seed = run_of(tmp_path / "seed", seed=1, ensemble=False)
    with pytest.raises(UserError, match="was tested on other rows"):
        trainwell.ensemble_runs([wine.folder, seed.folder], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_on_other_data(tmp_path: Path) -> None:
    data = load_sample("wine")
    one, two = (
        run_of(tmp_path / str(k), (data.inputs + k, data.labels), ensemble=False) for k in (0, 1)
    )
    with pytest.raises(UserError, match="was trained on other data"):
        trainwell.ensemble_runs([one.folder, two.folder])


def test_runs_that_kept_one_network_may_vote(tmp_path: Path) -> None:
    """Without the voices of single networks a run is one kind, that of its own probabilities."""
    one, two = (
        run_of(tmp_path / model, ensemble=False, settings={**SHORT, "model": f"{model}()"})
        for model in ("Linear", "Mlp")
    )
    found = trainwell.ensemble_runs([one.folder, two.folder], out=tmp_path / "both", keep=True)
    assert [k["networks"] for k in found.result["ensemble"]["kinds"]] == [1, 1]
    assert found.result["test"] is None  # what each network said of the test rows was not kept
    weights = {p.kind: p.weight for p in load(tmp_path / "both").parts}
    assert weights == {
        k["name"]: k["weight"] for k in found.result["ensemble"]["kinds"] if k["weight"]
    }


def test_runs_are_joined_by_their_own_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs that balanced accuracy decided: it chooses, and it is told first, in text and page; and
    why validation rows are told of where there are test rows."""
    data = uneven(1, (300, 60, 30))
    for model in ("Linear", "Mlp"):
        settings = {**SHORT, "model": f"{model}()"}
        run_of(tmp_path / model, data, ensemble=False, settings=settings)
    out = tmp_path / "both"
    words = ["ensemble", str(tmp_path / "Linear"), str(tmp_path / "Mlp"), "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["trainwell", *words])
        with pytest.raises(SystemExit):
            main()
    printed = " ".join(capsys.readouterr().out.split())
    result = json.loads((out / "ensemble.json").read_text())
    assert result["metric"]["name"] == result["ensemble"]["metric"] == "balanced_accuracy"
    value = result["validation"]["balanced_accuracy"]["value"]
    assert f"balanced accuracy {value:.1%} on" in printed
    assert "validation rows and not test rows" in printed
    page = (out / "ensemble.html").read_text(encoding="utf-8")
    assert f"balanced accuracy {100 * value:.1f} %" in page
    assert "--no-ensemble" in page


def test_runs_with_different_metrics(wine: Run, tmp_path: Path) -> None:
    result = json.loads((wine.folder / "run.json").read_text())
    shutil.copytree(wine.folder, tmp_path / "other")
    result["metric"] = {"name": "macro_f1", "why": "asked for", "asked": True}
    (tmp_path / "other" / "run.json").write_text(json.dumps(result))
    found = trainwell.ensemble_runs([wine.folder, tmp_path / "other"], out=tmp_path / "both")
    assert found.result["metric"]["name"] == "accuracy"
    assert "accuracy, macro_f1" in found.result["metric"]["why"]


def test_a_single_network_is_refused(wine: Run, tmp_path: Path) -> None:
    result = json.loads((wine.folder / "run.json").read_text())
    shutil.copytree(wine.folder, tmp_path / "single")
    result["ensemble"]["single"] = {"kind": "recipe"}
    (tmp_path / "single" / "run.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match="Train without --single"):
        trainwell.ensemble_runs([wine.folder, tmp_path / "single"])


# --- the report ----------------------------------------------------------------------------------


def test_pictures_escape_names_and_stand_what_is_missing(wine: Run) -> None:
    found = json.loads(json.dumps(wine.result["ensemble"]))
    found["kinds"][0]["name"] = found["diversity"]["names"][0] = "<b>&"
    found["kinds"][1]["judged"] = found["kinds"][1]["contribution"] = None
    found["diversity"]["disagreement"][0][1] = None
    for picture in (members(found), diversity(found["diversity"])):
        assert "<b>" not in picture
        assert "&lt;b&gt;" in picture
    assert view({"members": 5, "says": "one network"}) is None
    assert view(None) is None
    shown = view(found)
    assert shown is not None
    assert shown["kinds"][1]["brings"] == []


def test_the_page_draws_and_says_what_decides(wine: Run) -> None:
    """By log loss: a contribution right of 0 in it; a higher log loss is called higher; a sample of
    the rows is said to be one; the best kind is not called weaker."""
    found = json.loads(json.dumps(wine.result["ensemble"]))
    gain = {"value": -0.0014, "low": -0.0030, "high": -0.0001}
    for kind in found["kinds"]:
        kind["contribution"] = {
            "accuracy": {"value": 0.02, "low": 0.01, "high": 0.03},
            "log_loss": gain,
            "verdict": "harms",
            "weaker": False,
        }
    found["rows"], found["way_rows"] = 12_000, 2_000
    shown = view(found)
    assert shown is not None
    assert shown["deciding"] == "log loss"
    assert shown["kinds"][0]["brings"][0] == ["log loss 0.0014 higher", "[0.0001 to 0.0030]"]
    assert shown["kinds"][0]["brings"][1] == ["accuracy +2.00", "[+1.00, +3.00]"]
    assert shown["way_rows"] == "2,000 of 12,000 rows, drawn at random"
    picture = members(found)
    assert "log loss 0.0014 higher [0.0001 to 0.0030]: harms" in picture
    assert "brings, lower by" in picture
    page = wine.report.read_text(encoding="utf-8")
    assert "lower by -" not in page
    found |= {"metric": "balanced_accuracy", "decided": "balanced_accuracy", "balanced": True}
    for kind in found["kinds"]:
        kind["contribution"]["balanced_accuracy"] = {"value": 0.05, "low": 0.01, "high": 0.09}
        kind["judged"] = kind["validation"] = {"alone": {"value": 0.7, "low": 0.6, "high": 0.8}}
    balanced = view(found)
    assert balanced is not None
    assert balanced["deciding"] == "balanced accuracy"
    assert balanced["kinds"][0]["brings"][0][0] == "balanced accuracy +5.00"
    assert "balanced accuracy +5.00 [+1.00, +9.00] points: harms" in members(found)


def test_the_words_name_the_measure(wine: Run) -> None:
    """Better by log loss, accuracy not shown: both are said, and no interval of accuracy around 0
    stands beside a claim of accuracy."""
    voices, y = planted([1.2, 1.2, 1.2], 900)
    found = decide(candidates(voices, (0, 1, 2), load(wine.folder)), y, None, 0)
    chosen = found.selection
    assert chosen is not None
    said = words(found)
    assert "is better than the best kind alone" in said
    assert "by log loss on rows that chose neither" in said
    shown = "better" if chosen.share.low > 0 else "not shown"
    assert f"] points, {shown}; it is kept" in said


def test_identical_votes_leave_something_open(wine: Run) -> None:
    """Two models that agree on all sealed rows are not shown to agree on all others."""
    voices, y = planted([1.0], 200)
    found = gained(voices[0], voices[0], y, 0)
    assert found["accuracy"]["high"] == -found["accuracy"]["low"] > 0.015


def test_a_vote_without_sealed_rows_says_so(wine: Run) -> None:
    voices, y = planted([1.2, 1.2], 300)
    found = decide(candidates(voices, (0, 1), load(wine.folder)), y, None, 0)
    assert voting_table(found, y, None, 0)["part"] == "validation"
    opened = Opened(y, None, np.repeat(voices, 2, axis=0))  # two networks of each kind
    table = voting_table(found, y, None, 0, opened)
    assert table["part"] == "test"
    chosen = found.selection
    assert chosen is not None
    assert table["test"]["n"] == 300
    alone = Voting(found.candidates, None, None, "recipe", found.model)
    assert voting_table(alone, y, None, 0)["verdict"] == "one kind"
