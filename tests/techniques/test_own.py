"""Own: any function of a batch as an augmentation."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import trainwell as tw
from helpers.data import pictures, table
from trainwell.arms import Arena, cells_of
from trainwell.data.split import make_split
from trainwell.errors import RecipeError, UserError
from trainwell.options import Options, chosen_recipe
from trainwell.recipe import Recipe, edit, to_toml
from trainwell.techniques.augment.own import Own
from trainwell.techniques.models import Mlp

FILE = """
import random
import numpy as np
import torch

def negative(x):
    return 1 - x

def noisy(x):
    torch_part = torch.rand(1).item()
    return x + torch_part + np.random.rand() + random.random()

def scaled(x, strength):
    x *= 1 + strength
    return x

def numpy_too(x, rate):
    return x.numpy() + rate

def wrong_shape(x):
    return x[:, :1]

def bad(x):
    raise RuntimeError("no")

def infinite(x):
    return x / 0

number = 3
"""


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE, encoding="utf-8")
    return path.as_posix()


def test_it_is_the_function(place):
    x = torch.rand(4, 1, 3, 3)
    assert torch.equal(Own(f"{place}:negative")(x), 1 - x)
    assert torch.equal(Own(f"{place}:numpy_too")(x, rate=5), x + 5)
    pixels = torch.randint(0, 256, (4, 1, 3, 3)).to(torch.uint8)
    assert torch.allclose(Own(f"{place}:negative")(pixels), 1 - pixels / 255)


def test_strength_is_a_number_for_functions_that_take_it_else_a_share(place):
    x = torch.ones(400, 2)
    before = x.clone()
    each = Own(f"{place}:scaled")(x, strength=torch.linspace(0, 1, 400))
    assert torch.allclose(each[:, 0], 1 + torch.linspace(0, 1, 400))
    assert torch.equal(x, before)
    some = Own(f"{place}:negative", strength=0.25)(x, seed=1)
    assert 60 < int((some == 0).all(1).sum()) < 140
    assert torch.equal(Own(f"{place}:negative", strength=0)(x), x)


def test_random_numbers_are_seeded_and_leave_the_world_as_it_was(place):
    own, x = Own(f"{place}:noisy"), torch.zeros(3, 2)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    assert torch.equal(own(x, seed=1), own(x, seed=1))
    assert not torch.equal(own(x, seed=1), own(x, seed=2))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert states[2] == random.getstate()


def test_members_of_one_population_get_the_same_numbers_as_alone(place):
    own, x = Own(f"{place}:noisy"), torch.zeros(3, 2)
    drawn = [own.draw((3, 2), torch.Generator().manual_seed(s)) for s in (1, 2)]
    alone = [own.apply(x, d) for d in drawn]
    both = own.apply(torch.cat([x, x]), tuple(torch.cat(d) for d in zip(*drawn, strict=True)))
    assert torch.equal(both, torch.cat(alone))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong_shape", "gives shape"),
        ("bad", "raised RuntimeError: no"),
        ("infinite", "not finite"),
        ("number", "is int, not a function"),
        ("absent", 'there is no "absent"'),
    ],
)
def test_mistakes_name_the_function(place, name, words):
    with pytest.raises(UserError, match=words) as caught:
        Own(f"{place}:{name}")(torch.ones(3, 2))
    assert f'Own("{place}:{name}")' in str(caught.value)


def test_a_text_that_names_nothing_is_refused():
    with pytest.raises(RecipeError, match="module:function"):
        Own("nothing")


@pytest.mark.parametrize("data", [table(rows=90), pictures(rows=60)], ids=["table", "pictures"])
def test_it_trains_and_changes_the_training(data, place):
    recipe = Recipe(model=Mlp((8,)), lr=0.01, epochs=2, batch_size=16)
    arena = Arena(data, make_split(data, seed=0, folds=2, test=0.2), jobs=1, steady=True)
    own = edit(recipe, {"augment": f"(Own('{place}:noisy'),)"}, "test")
    same = edit(recipe, {"augment": f"(Own('{place}:noisy', strength=0),)"}, "test")
    cells = cells_of(2, 1, 0)
    bare, changed, still = arena.train([recipe, own, same], cells)
    assert (bare.log_loss != changed.log_loss).all()
    assert bare.log_loss == pytest.approx(still.log_loss, abs=1e-4)


def test_a_recipe_file_with_it_needs_trust(place, tmp_path):
    recipe = edit(Recipe(), {"augment": f"(Own('{place}:negative'),)"}, "test")
    assert recipe.named_code == f"{place}:negative"
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    with pytest.raises(UserError, match="--trust"):
        chosen_recipe(table(), Options(recipe=path))
    assert chosen_recipe(table(), Options(recipe=path, trust=True)).augment == recipe.augment
    assert tw.Own is Own
