"""Messages: where, what, what to do."""

from __future__ import annotations

import pytest

from trainwell.errors import (
    DataError,
    Interrupted,
    RecipeError,
    TrainwellError,
    UserError,
    did_you_mean,
)


def test_texts() -> None:
    assert str(UserError("a.csv", "is empty")) == "a.csv: is empty."
    assert str(UserError("a.csv", "is empty.", "Fill it.")) == "a.csv: is empty. Fill it."
    assert str(UserError("", "nothing to do")) == "nothing to do."
    error = DataError("a.csv", "is empty", "Fill it.")
    assert (error.where, error.problem, error.todo) == ("a.csv", "is empty", "Fill it.")


def test_recipe_errors_list_everything() -> None:
    error = RecipeError("r.toml", ["lr must be > 0"])
    assert str(error) == "r.toml: 1 mistake:\n  - lr must be > 0"
    assert error.where == "r.toml"
    many = RecipeError("r.toml", (m for m in "abc"))
    assert many.mistakes == ("a", "b", "c")
    assert str(many).splitlines() == ["r.toml: 3 mistakes:", "  - a", "  - b", "  - c"]


@pytest.mark.parametrize("kind", [DataError, RecipeError])
def test_the_users_mistakes_are_one_family(kind: type[Exception]) -> None:
    assert issubclass(kind, UserError)
    assert issubclass(kind, TrainwellError)


def test_an_interruption_is_no_mistake() -> None:
    assert issubclass(Interrupted, TrainwellError)
    assert not issubclass(Interrupted, UserError)


def test_hints() -> None:
    choices = ["Momentum", "Adam"]
    assert did_you_mean("adam", choices) == 'Did you mean "Adam"? Choices: Momentum, Adam.'
    assert did_you_mean("momentun", choices).startswith('Did you mean "Momentum"?')
    assert did_you_mean("xyz", choices) == "Choices: Momentum, Adam."
    many = did_you_mean("x9", [f"x{i}" for i in range(100)])
    assert 'Did you mean "x9"?' in many
    assert many.count(",") <= 30
