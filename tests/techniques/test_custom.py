"""Networks of one's own: where their code is found, and what is said where it cannot be used."""

from __future__ import annotations

import functools
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwell.callstring import parse
from trainwell.errors import RecipeError, UserError
from trainwell.recipe import Model, Recipe, edit, from_toml, to_toml
from trainwell.techniques.models import Custom
from trainwell.techniques.models.custom import example

NET = '''
"""A network of one's own."""
from __future__ import annotations
from dataclasses import dataclass
from torch import nn
from beside import WIDTH

@dataclass
class Options:
    width: int = WIDTH

def net(shape, classes, dropout):
    layers = nn.Linear(shape[0], Options().width), nn.Dropout(dropout), nn.Linear(WIDTH, classes)
    return nn.Sequential(*layers)

class Nets:
    @staticmethod
    def wide(shape, classes):
        return nn.Linear(shape[0], classes)

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.last = nn.Linear(shape[0], classes)

    def forward(self, x):
        return self.last(x)

number = 3
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nets/mine.py and a file beside it; on no path."""
    nets = tmp_path / "nets of mine"
    nets.mkdir()
    (nets / "mine.py").write_text(NET, encoding="utf-8")
    (nets / "beside.py").write_text("WIDTH = 5\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("beside", "mine_too"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_from_a_file(folder: Path) -> None:
    before = list(sys.path)
    for place in ("nets of mine/mine.py", (folder / "nets of mine" / "mine.py").as_posix()):
        network = Custom(f"{place}:net").build((4,), 3, 0.25)
        assert [type(m).__name__ for m in network.children()] == ["Linear", "Dropout", "Linear"]
        assert network.get_submodule("1").p == 0.25
        assert Custom(f"{place}:Nets.wide").build((4,), 3, 0.25)(torch.ones(2, 4)).shape == (2, 3)
        assert type(Custom(f"{place}:Net").build((4,), 3, 0.0)).__name__ == "Net"
    assert sys.path == before


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    path = folder / "own.py"
    for width in (4, 5):
        layers = f"nn.Linear(s[0], {width}), nn.Linear({width}, c)"
        text = f"from torch import nn\ndef net(s, c): return nn.Sequential({layers})\n"
        path.write_text(text, encoding="utf-8")
        os.utime(path, (width, width))
        network = Custom("own.py:net").build((2,), 3, 0.0)
        assert network.get_submodule("0").out_features == width
    assert Custom("own.py:net").build((2,), 3, 0.0).get_submodule("0").out_features == 5


def test_from_a_module_of_the_current_folder(folder: Path) -> None:
    text = NET.replace("from beside import WIDTH", "WIDTH = 0")
    (folder / "mine_too.py").write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of layers without numbers
        network = Custom("mine_too:net").build((4,), 3, 0.5)
    assert network.get_submodule("0").out_features == 0
    assert Custom("mine_too:Nets.wide").build((4,), 3, 0.0)(torch.ones(2, 4)).shape == (2, 3)


def test_of() -> None:
    assert Custom.of(example) == Custom()
    assert repr(Custom.of(example)) == f"Custom(factory='{Custom().factory}')"
    assert hash(Custom.of(example)) == hash(Custom())

    def inner(shape: Any, classes: int) -> nn.Module:
        return nn.Linear(1, 1)

    for function in (inner, lambda shape, classes: nn.Linear(1, 1), functools.partial(example)):
        with pytest.raises(RecipeError, match="write it as a function of a file"):
            Custom.of(function)


def test_of_the_script_that_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = types.ModuleType("__main__")
    path = folder / "nets of mine" / "mine.py"
    monkeypatch.setitem(sys.modules, "__main__", script)

    def net(shape: Any, classes: int) -> nn.Module:
        return nn.Linear(1, 1)

    net.__module__, net.__qualname__ = "__main__", "Nets.wide"
    with pytest.raises(RecipeError, match=r'"Nets.wide" was written in a session.*put it into a'):
        Custom.of(net)
    script.__file__ = str(path)
    found = Custom.of(net)
    assert found == Custom(f"{path.as_posix()}:Nets.wide")
    assert found.build((4,), 3, 0.0)(torch.ones(2, 4)).shape == (2, 3)
    # A function of a file that was read so knows its file.
    assert Custom.of(sys.modules[read_so()].Net) == Custom(f"{path.as_posix()}:Net")


def read_so() -> str:
    return [name for name in sys.modules if name.startswith("trainwell_custom_")][-1]


@pytest.mark.parametrize(
    "factory",
    ["", "net", ":net", "module:", "a:b c", "a:1b", "it's.py:net", 'a".py:n', "a\\b.py:n"],
)
def test_texts_without_the_form(factory: str) -> None:
    with pytest.raises(RecipeError, match=r'expected "module:function" or "path/to/file.py:func'):
        Custom(factory)
    assert parse(f"Custom(factory={factory!r})", Model, "model")[1]


def test_in_recipes_and_their_files() -> None:
    model = Custom("my nets/ä.py:net")
    recipe = Recipe(model=model)
    assert from_toml(to_toml(recipe), Recipe(), "x") == recipe
    assert edit(Recipe(), {"model": "Custom('my nets/ä.py:net')"}, "--set") == recipe
    assert edit(Recipe(), {"model": repr(model)}, "--set") == recipe


# --- what cannot be used -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("no_such_module:net", r'there is no module "no_such_module"\. Install it, run where'),
        ("torch.no_such:net", r'there is no module "torch.no_such"\. Install it'),
        ("no/such.py:net", r"there is no file no/such.py\. Name a file, seen from the current"),
        ("math:net", r'there is no "net" in math\. Name a function'),
        ("math:pi", r'"pi" is float, not a function'),
        ("math:pi.real", r'"pi.real" is float'),
        ("nets of mine/mine.py:number", r'"number" is int, not a function'),
        ("builtins:print", r"returned NoneType, not an nn.Module"),
        ("broken.py:net", r"importing broken.py raised ValueError: on purpose\. Mend the file"),
        (
            "needs.py:net",
            r"importing needs.py raised ModuleNotFoundError: No module named 'abs",
        ),
        ("leaves.py:net", r"importing leaves.py raised SystemExit"),
        ("math:sqrt", r"called with \(4,\), 3 it raised TypeError: .*number of classes"),
    ],
)
def test_places_that_hold_no_network(folder: Path, factory: str, words: str) -> None:
    (folder / "broken.py").write_text("raise ValueError('on purpose')")
    (folder / "needs.py").write_text("import absent")
    (folder / "leaves.py").write_text("raise SystemExit(3)")
    with pytest.raises(UserError, match=words) as caught:
        Custom(factory).build((4,), 3, 0.0)
    assert str(caught.value).startswith(f'model Custom("{factory}"): ')
    assert not any(
        getattr(m, "__file__", "") == str(folder / "broken.py") for m in sys.modules.values()
    )


class Own(nn.Module):
    """A linear layer and something that cannot be used."""

    def __init__(self, inputs: int, classes: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.last = nn.Linear(inputs, classes)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("aside", torch.zeros(()), persistent=False)
        if kind == "double":
            self.last.double()
        if kind == "momentum":
            self.norm = nn.BatchNorm1d(inputs, momentum=None)
        if kind == "frozen":
            self.last.requires_grad_(False)
        if kind == "uncopied":
            self.kept = self.last.weight * 2

    def forward(self, x: Tensor) -> Any:
        if self.kind == "double":
            x = x.double()
        if self.kind == "noise":
            x = x + torch.rand(())
        if self.training and self.kind == "training":
            raise RuntimeError("on purpose")
        if self.training and self.kind == "count":
            self.count += 1
        if self.training and self.kind == "aside":
            self.aside += 1
        if self.training and self.kind == "replaced":
            self.mean = self.mean + 1
        if self.kind == "dropped":
            x = self.drop(self.drop(x))
        y = self.last(x)
        if self.kind == "flat":
            return y.sum(dim=1)
        if self.kind == "pair":
            return y, x
        return y.detach() if self.kind == "detached" else y


MADE = {
    "double": r'"last.weight" is not float32\. Build the network in float32',
    "momentum": r'batch norm "norm" has momentum None\. Give it a number',
    "frozen": r"nothing in it can be trained",
    "uncopied": r"cannot be copied: .*Keep tensors as parameters or buffers",
    "noise": r"gives other numbers for the same input when it does not train",
    "training": r"in training it raised RuntimeError: on purpose",
    "count": r'buffer "count" changes in training and would be lost',
    "aside": r'buffer "aside" changes in training and would be lost',
    "replaced": r'buffer "mean" is replaced in training\. Change it in place',
    "dropped": r'dropout layer "drop" is used more than once in a pass\. Make an nn.Dropout for',
    "flat": r"gives \(2,\) for a batch of 2, expected \(2, 3\)\. Return one number",
    "pair": r"gives tuple for a batch of 2, expected \(2, 3\)",
    "detached": r"no gradient reaches its output",
}


def make(kind: str) -> Any:
    return lambda shape, classes: Own(shape[0], classes, kind)


@pytest.mark.parametrize("kind", MADE)
def test_networks_that_cannot_be_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = types.ModuleType("made_here")
    here.net = make(kind)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_here", here)
    with pytest.raises(UserError, match=MADE[kind]):
        Custom("made_here:net").build((4,), 3, 0.0)


def test_networks_that_do_not_fit_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    here = types.ModuleType("made_here")
    here.net = lambda shape, classes: nn.Linear(7, classes)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_here", here)
    with pytest.raises(UserError, match=r"of shape \(2, 5\) raised RuntimeError: .*must fit"):
        Custom("made_here:net").build((5,), 3, 0.0)


def test_the_check_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    here = types.ModuleType("made_here")
    here.net = make("fine")  # type: ignore[attr-defined]
    here.lazy = lambda shape, classes: nn.Sequential(
        nn.LazyLinear(5), nn.BatchNorm1d(5), nn.Linear(5, classes)
    )  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_here", here)
    torch.manual_seed(1)
    network = Custom("made_here:lazy").build((4,), 3, 0.0)
    assert network.training
    assert network.get_submodule("0").in_features == 4
    assert not network.get_buffer("1.running_mean").any()
    torch.manual_seed(1)
    with torch.no_grad():  # as who only wants to know its size
        one = Custom("made_here:net").build((4,), 3, 0.0)
    drawn = torch.rand(2)
    torch.manual_seed(1)
    other = Own(4, 3, "fine")
    assert torch.equal(torch.rand(2), drawn)  # the check itself has drawn nothing
    assert torch.equal(one.last.weight, other.last.weight)  # type: ignore[union-attr]
