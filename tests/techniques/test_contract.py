"""What holds for every technique of every family."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

import trainwell
from helpers.families import FAMILIES, TECHNIQUES
from trainwell.callstring import parse

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
