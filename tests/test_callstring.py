"""Call strings: there and back, all mistakes at once, and nothing but literals."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import annotated_types as at
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.families import FAMILIES, TECHNIQUES, limits_of, values
from trainwell.callstring import check_fields, conform, describe, members, parse
from trainwell.errors import RecipeError
from trainwell.recipe import Recipe
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.preprocess import LogMel, Raw, Standardize
from trainwell.techniques.regularize import L2, Dropout
from trainwell.techniques.schedules import Constant, Cosine, StepDecay

OPTIMIZER, SCHEDULE, MODEL = FAMILIES["optimizer"], FAMILIES["schedule"], FAMILIES["model"]
REGULARIZER, PREPROCESS = FAMILIES["regularize"], FAMILIES["preprocess"]
REGULARIZE = tuple[REGULARIZER, ...]


@pytest.mark.parametrize(("family", "cls"), TECHNIQUES)
@given(data=st.data())
def test_round_trip(family: str, cls: Any, data: st.DataObject) -> None:
    technique = data.draw(values(cls))
    assert parse(repr(technique), FAMILIES[family], family) == (technique, [])


@given(values(tuple[PREPROCESS, ...]))
def test_round_trip_of_tuples(techniques: Any) -> None:
    assert parse(repr(techniques), tuple[PREPROCESS, ...], "preprocess") == (techniques, [])


def test_ways_to_write_one_thing() -> None:
    assert parse("Adam", OPTIMIZER, "o") == (Adam(), [])
    assert parse("  Adam( 0.8 , eps = 1 )  ", OPTIMIZER, "o") == (Adam(beta1=0.8, eps=1.0), [])
    assert parse("Cosine(warmup=0)", SCHEDULE, "s") == (Cosine(0.0), [])
    assert parse("L2(0.1)", REGULARIZE, "r") == ((L2(0.1),), [])
    assert parse("L2, Dropout", REGULARIZE, "r") == ((L2(), Dropout()), [])
    assert parse("[L2, Dropout(0.1)]", REGULARIZE, "r") == ((L2(), Dropout(0.1)), [])
    assert parse("()", REGULARIZE, "r") == ((), [])
    assert parse("Mlp(hidden=64)", MODEL, "m") == (Mlp(hidden=(64,)), [])
    assert parse("Mlp(hidden=[])", MODEL, "m") == (Mlp(hidden=()), [])
    assert parse("Mlp(activation=tanh)", MODEL, "m") == (Mlp(activation="tanh"), [])
    assert parse("relu", str, "a") == ("relu", [])
    assert parse("None", float | None, "lr") == (None, [])
    assert parse("-1", float, "x") == (-1.0, [])


def test_whole_numbers_become_floats() -> None:
    technique, mistakes = parse("Momentum(momentum=0)", OPTIMIZER, "o")
    assert not mistakes
    assert repr(technique) == "Momentum(momentum=0.0)"
    assert repr(Momentum(momentum=0)) == "Momentum(momentum=0.0)"


def test_every_mistake_at_once() -> None:
    _, mistakes = parse("Adam(beta1=2, beta2='x', epz=1, eps=0, beta1=0.5)", OPTIMIZER, "opt")
    assert mistakes == [
        'opt: Adam has no option "epz". Did you mean "eps"? Choices: beta1, beta2, eps.',
        'opt: Adam got "beta1" twice',
        "opt: Adam: beta1 must be ≥ 0 and < 1, got 2.0",
        "opt: Adam: beta2 must be a number, got 'x'",
        "opt: Adam: eps must be > 0, got 0.0",
    ]
    names = "L1, L2, MaxNorm, Dropout, InputDropout, LabelSmoothing"
    _, mistakes = parse("L2(-1), Drop(), Dropout(1)", REGULARIZE, "r")
    assert mistakes == [
        "r[0]: L2: strength must be ≥ 0, got -1.0",
        f'r[1]: no "Drop". Did you mean "Dropout"? Choices: {names}.',
        "r[2]: Dropout: drop must be ≥ 0 and < 1, got 1.0",
    ]
    with pytest.raises(RecipeError) as caught:
        Adam(beta1=-1, beta2="x", eps=0)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "Adam: 3 mistakes:\n"
        "  - beta1 must be ≥ 0 and < 1, got -1.0\n"
        "  - beta2 must be a number, got 'x'\n"
        "  - eps must be > 0, got 0.0"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("StepDecy(every=3)", 'no "StepDecy". Did you mean "StepDecay"?'),
        ("stepdecay", 'no "stepdecay". Did you mean "StepDecay"?'),
        ("Zzzzzzzz", "Choices: Constant, StepDecay, "),
        ("Constant(1)", "Constant takes 0 options, got 1"),
        ("Constant(rate=1)", "Constant takes no options."),
        ("StepDecay(0.5, 5, 7)", "StepDecay takes 2 options, got 3"),
        ("StepDecay(0.5, factor=0.2)", 'StepDecay got "factor" twice'),
        ("StepDecay(every=2.0)", "every must be a whole number, got 2.0"),
        ("StepDecay(every=True)", "every must be a whole number, got True"),
        ("StepDecay(factor=True)", "factor must be a number, got True"),
        ("StepDecay(every=0)", "every must be ≥ 1, got 0"),
        ("StepDecay(factor=0)", "factor must be > 0 and < 1, got 0.0"),
        ("StepDecay(factor=1e999)", "factor must be a finite number, got inf"),
        ("StepDecay(factor=1j)", "factor must be a number, got 1j"),
        ("StepDecay(factor=None)", "factor must be a number, got None"),
        ("StepDecay(factor=(1, 2))", "factor must be a number, got (1, 2)"),
        ("StepDecay(**{})", 'no option "**"'),
        ("StepDecay(factor=Cosine())", 'no "Cosine"'),
        ("0.5", "must be one of Constant, StepDecay, "),
        ("StepDecay(", "cannot read 'StepDecay('; write for instance Name(option=0.5)"),
        ("", "cannot read ''"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    value, mistakes = parse(text, SCHEDULE, "schedule")
    assert value is None or mistakes
    assert len(mistakes) == 1
    assert mistakes[0].startswith("schedule")
    assert message in mistakes[0]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('echo broken')",
        "__import__('os')",
        "().__class__.__bases__",
        "StepDecay.__init__",
        "StepDecay(every=__import__('os'))",
        "StepDecay(every=(1).real)",
        "StepDecay(every=[x for x in (1, 2)])",
        "StepDecay(every=(lambda: 5)())",
        "StepDecay(every=1 if 1 else 2)",
        "StepDecay(every=2**64)",
        "StepDecay(every=f'{1}')",
        "StepDecay(every=(x := 5))",
        "StepDecay(every=2 * 3)",
        "StepDecay(*[0.5, 5])",
        "StepDecay()()",
        "StepDecay().__class__",
        "lambda: 1",
        "open('/etc/passwd')",
        "exec('1')",
        "[StepDecay() for _ in range(3)]",
        "(" * 400 + ")" * 400,
        "[" * 90 + "]" * 90,
        "-" * 20000 + "1",
        "StepDecay(every=" + "(" * 80 + "1," + ")" * 80 + ")",
        "\0",
        "\ud800",
        "1" * 5000,
        "{[]: 1}",
        "yield 1",
        "await x",
    ],
)
def test_only_literals_are_evaluated(text: str) -> None:
    value, mistakes = parse(text, SCHEDULE, "schedule")
    assert mistakes
    assert all(m.startswith("schedule") for m in mistakes)
    assert not isinstance(value, StepDecay)


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    for annotation in (SCHEDULE, REGULARIZE, float | None, str, int):
        value, mistakes = parse(text, annotation, "here")
        assert isinstance(mistakes, list)
        assert all(isinstance(m, str) and "here" in m for m in mistakes)
        if not mistakes:
            assert conform(value, annotation, "here") == (value, [])


PIECES = ["Adam", "L2", "Dropout", "(", ")", "[", "]", ",", "=", "drop", "0.5", "-", "1", "None"]
PIECES += ["'x'", ".", "lambda", ":", "*", "**", "{", "}", " ", "for", "in", "1e9", "\\", "\n", "f"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_any_program_is_answered(text: str) -> None:
    value, mistakes = parse(text, REGULARIZE, "here")
    assert mistakes or conform(value, REGULARIZE, "here") == (value, [])


@pytest.mark.parametrize("text", ["1" + "0" * 400, "0x" + "f" * 300])
def test_huge_whole_numbers_are_answered(text: str) -> None:
    _, mistakes = parse(f"L2({text})", REGULARIZE, "here")
    assert mistakes


@pytest.mark.parametrize(("family", "cls"), TECHNIQUES)
def test_ranges_are_kept(family: str, cls: Any) -> None:
    """Every limit of every option, made into a value just outside."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for spec in dataclasses.fields(cls):
        limits = limits_of(hints[spec.name])
        wrong: list[Any] = [limits[k] for k in ("gt", "lt") if k in limits]
        wrong += [limits["ge"] - 1] if "ge" in limits else []
        wrong += [()] if limits.get("min_length") else []
        wrong += [object(), float("nan")]
        for value in wrong:
            with pytest.raises(RecipeError, match=rf"{cls.__name__}: 1 mistake:\n  - {spec.name}"):
                cls(**{spec.name: value})


def test_conform_and_describe() -> None:
    pair = tuple[int, float]
    assert conform([1, 2], pair, "p") == ((1, 2.0), [])
    assert conform((1,), pair, "p")[1] == ["p must have 2 entries, got 1: (1,)"]
    assert conform(5, pair, "p")[1] == ["p must be a tuple of a whole number, got 5"]
    assert conform((1, "x"), pair, "p")[1] == ["p[1] must be a number, got 'x'"]
    many = tuple[typing.Annotated[int, at.Ge(1)], ...]
    assert conform((1, 0, "a"), many, "m")[1] == [
        "m[1] must be ≥ 1, got 0",
        "m[2] must be a whole number, got 'a'",
    ]
    rate = typing.Annotated[float, at.Gt(0)] | None
    assert conform(0, rate, "lr")[1] == ["lr must be > 0, got 0.0"]
    assert conform("fast", rate, "lr")[1] == ["lr must be a number or nothing, got 'fast'"]
    assert conform(float("nan"), rate, "lr")[1] == ["lr must be a finite number, got nan"]
    assert conform(1, int | float, "n") == (1, [])
    short = typing.Annotated[tuple[int, ...], at.MinLen(2)]
    assert conform((1,), short, "t")[1] == ["t must be of length ≥ 2, got (1,)"]
    with pytest.raises(TypeError, match="unknown constraint"):
        conform(1, typing.Annotated[int, at.MultipleOf(2)], "n")
    assert describe(Constant | Cosine) == "one of Constant, Cosine"
    assert describe(tuple[int, ...]) == "a tuple of a whole number"
    assert describe(typing.Literal["a", "b"]) == "one of 'a', 'b'"
    assert describe(bool | None) == "True or False or nothing"


def test_members_keep_their_order() -> None:
    assert members(MODEL)[:3] == (Linear, Mlp, Cnn)
    assert members(SCHEDULE)[:2] == (Constant, StepDecay)
    assert members(FAMILIES["preprocess"])[:3] == (Standardize, LogMel, Raw)
    assert members(Adam) == (Adam,)


def test_required_options_are_named() -> None:
    @dataclasses.dataclass(frozen=True)
    class Needs:
        a: int
        b: int

        def __post_init__(self) -> None:
            check_fields(self)

    assert parse("Needs(a=1)", Needs, "x")[1] == ["x: Needs needs b"]


def test_a_recipe_checks_its_fields() -> None:
    with pytest.raises(RecipeError, match=r"Recipe: 2 mistakes:\n  - lr must be > 0.*\n  - epochs"):
        Recipe(lr=0, epochs=0)
