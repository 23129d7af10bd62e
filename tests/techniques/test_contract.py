"""What holds for every technique of every family."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import trainwell
from helpers.families import FAMILIES, TECHNIQUES
from trainwell.callstring import members, parse
from trainwell.catalogue import by_slide, catalogue, find
from trainwell.techniques.augment.base import Augmentation
from trainwell.techniques.inputs import describe, rebuild

TESTS = Path(__file__).parents[1]
every = pytest.mark.parametrize(("family", "cls"), TECHNIQUES)


@every
def test_documented(family: str, cls: Any) -> None:
    doc = inspect.getdoc(cls) or ""
    first = doc.splitlines()[0]
    assert first.endswith(".") and len(first) > 20
    assert not doc.startswith(cls.__name__ + "(")  # not the one that dataclass makes
    assert ">>> " in doc


@every
def test_names_its_source(family: str, cls: Any) -> None:
    doc = inspect.getdoc(cls) or ""
    assert "Source:" in doc
    assert doc.split("Source:")[1].strip()


@every
def test_is_a_frozen_value(family: str, cls: Any) -> None:
    technique = cls()  # every option has a default
    assert dataclasses.is_dataclass(cls)
    assert technique == cls()
    assert hash(technique) == hash(cls())
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        technique.anything = 1
    for spec in dataclasses.fields(cls):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(technique, spec.name, None)


@every
def test_repr_is_its_syntax(family: str, cls: Any) -> None:
    assert parse(repr(cls()), FAMILIES[family], family) == (cls(), [])
    assert parse(cls.__name__, FAMILIES[family], family) == (cls(), [])


@every
def test_public(family: str, cls: Any) -> None:
    assert getattr(trainwell, cls.__name__) is cls
    assert cls.__name__ in trainwell.__all__


def test_names_are_unique() -> None:
    names = [cls.__name__ for _, cls in TECHNIQUES]
    assert len(names) == len(set(names))


def test_every_technique_has_a_reference_test() -> None:
    """Tests that compare with an independent reference lie beside this file."""
    files = set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)}
    text = "\n".join(f.read_text(encoding="utf-8") for f in files)
    words = set(text.replace("(", " ").replace(",", " ").replace(")", " ").split())
    assert {cls.__name__ for _, cls in TECHNIQUES} <= words
    assert (TESTS / "conftest.py").exists()


def test_every_technique_is_listed_under_a_slide_of_the_lecture() -> None:
    listed = [e.name for entries in by_slide().values() for e in entries]
    assert sorted(listed) == sorted(e.name for e in catalogue())
    assert {cls.__name__ for _, cls in TECHNIQUES} <= set(listed)
    for entry in catalogue():
        assert entry.says.rstrip(".") and len(entry.says) < 110, entry.name
        assert find(entry.name).page.count("\n") >= 3
        assert "Source:" in entry.page


# --- values: what is drawn, changed, fitted ----------------------------------------------------

SHAPES = {"pictures": (6, 3, 20, 24), "clips": (6, 4000), "features": (6, 12, 30)}
SHAPES["inputs"] = SHAPES["features"]
CHANGES = [cls for _, cls in TECHNIQUES if issubclass(cls, Augmentation)]


def batch(cls: Any) -> torch.Tensor:
    shape = SHAPES[cls.acts_on]
    x = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    return x - 0.5 if cls.acts_on == "clips" else x


@pytest.mark.parametrize("cls", CHANGES)
def test_augmentation_is_a_function_of_its_seed(cls: Any) -> None:
    x, rule = batch(cls), cls()
    before = x.clone()
    one, again, other = (rule(x, seed=s, rate=8000) for s in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == x.shape and one.dtype == x.dtype and one.isfinite().all()
    assert torch.equal(x, before), "the batch given must stay as it is"


@pytest.mark.parametrize("cls", CHANGES)
def test_augmentation_of_strength_zero_changes_no_bit(cls: Any) -> None:
    x, rule = batch(cls), cls()
    assert torch.equal(rule(x, seed=1, strength=0.0, rate=8000), x)
    some = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.5])
    found = rule(x, seed=1, strength=some, rate=8000)
    still = (found == x).flatten(1).all(dim=1)
    assert still[1] and still[3] and not still[[0, 2, 4]].all()


# A function of a batch (Own) may do with it what it likes.
@pytest.mark.parametrize("cls", [c for c in CHANGES if c.__name__ != "Own"])
def test_examples_of_a_batch_do_not_meet(cls: Any) -> None:
    x, rule = batch(cls), cls()
    drawn = rule.draw(tuple(x.shape), torch.Generator().manual_seed(5))
    assert all(len(d) == len(x) and d.device.type == "cpu" for d in drawn)
    together = rule.apply(x, drawn, 1.0, 8000)
    changed = torch.cat([x[:3], torch.zeros_like(x[3:])])
    apart = rule.apply(changed, drawn, 1.0, 8000)
    torch.testing.assert_close(apart[:3], together[:3], rtol=1e-5, atol=1e-6)
    half = rule.apply(x[:3], tuple(d[:3] for d in drawn), 1.0, 8000)
    torch.testing.assert_close(half, together[:3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", members(FAMILIES["init"]))
def test_initial_weights_follow_their_stream(cls: Any) -> None:
    for shape in ((7, 5), (4, 3, 3, 3)):
        one, again, other = (torch.full(shape, math.nan) for _ in range(3))
        for weight, seed in ((one, 1), (again, 1), (other, 2)):
            cls()(weight, torch.Generator().manual_seed(seed))
        assert one.isfinite().all() and torch.equal(one, again)
        assert torch.equal(one, other) == (cls.__name__ == "Zero")


@pytest.mark.parametrize("cls", members(FAMILIES["schedule"]))
@pytest.mark.parametrize("epochs", [1, 7, 100])
def test_rates_are_pure_functions_between_zero_and_the_rate(cls: Any, epochs: int) -> None:
    rule = cls()
    moments = [epochs * k / 50 for k in range(51)]
    found = [rule(e, epochs) for e in moments]
    assert found == [rule(e, epochs) for e in moments]
    assert all(0 <= m <= 1 and math.isfinite(m) for m in found)
    assert max(found) > 0


@pytest.mark.parametrize("cls", members(FAMILIES["loss"]))
def test_losses_are_finite_and_members_do_not_meet(cls: Any) -> None:
    stream = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(3, 20, 4, generator=stream)).requires_grad_()
    labels = torch.randint(0, 4, (3, 20), generator=stream)
    found = cls()(logits, labels)
    (slope,) = torch.autograd.grad(found[1], logits)
    assert found.shape == (3,) and found.isfinite().all() and slope.isfinite().all()
    assert (slope[[0, 2]] == 0).all() and (slope[1] != 0).any()
    alone = cls()(logits[1:2], labels[1:2])
    torch.testing.assert_close(alone, found[1:2])


@pytest.mark.parametrize("cls", members(FAMILIES["preprocess"]))
def test_preprocessing_is_rebuilt_from_its_file(cls: Any) -> None:
    """What `describe` says and the buffers are all that a saved model keeps."""
    stream = torch.Generator().manual_seed(0)
    if cls.__name__ == "LogMel":
        x = torch.rand(30, 2000, generator=stream) - 0.5
        layer = cls().layer(8000)
    else:
        x = torch.rand(30, 2, 5, 4, generator=stream) * 7 - 2
        layer = cls().fit(iter(x.split(10)))
    found = layer(x)
    assert found.isfinite().all() and found.dtype == torch.float32 and len(found) == 30
    again = rebuild(json.loads(json.dumps(describe(layer))), dict(layer.state_dict()))
    assert torch.equal(again(x), found)
    assert not list(layer.parameters())  # nothing in it is trained
    torch.testing.assert_close(layer(x[:1]), found[:1])  # an example alone, too
