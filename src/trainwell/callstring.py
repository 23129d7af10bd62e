"""Call strings: `StepDecay(factor=0.5, every=5)` to an object and back, literals only.

A technique is a frozen dataclass; its repr is its syntax in Python, in recipe files, on the
command line and in reports. `parse` reads that text without evaluating anything but literals,
names of allowed classes and their keyword arguments. `conform` checks values against type
annotations, including ranges written as `Annotated[float, Interval(ge=0, lt=1)]`: a constraint is
data, so that messages, documentation and tests can all be made from it.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import types
import typing
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types

from trainwell.errors import RecipeError, did_you_mean


def members(union: Any) -> tuple[type, ...]:
    """The classes of a family's union, in the order in which they are written.

    >>> members(int | str)
    (<class 'int'>, <class 'str'>)
    """
    return get_args(union) if get_origin(union) in (Union, types.UnionType) else (union,)


def check_fields(technique: Any) -> None:
    """Raise one RecipeError listing every field of a dataclass that breaks its annotation.

    Meant for `__post_init__`. Whole numbers are accepted where a float is asked for.
    """
    mistakes: list[str] = []
    hints = get_type_hints(type(technique), include_extras=True)
    for spec in dataclasses.fields(technique):
        value = getattr(technique, spec.name)
        kept, wrong = conform(value, hints[spec.name], spec.name)
        mistakes += wrong
        if kept is not value and not wrong:
            object.__setattr__(technique, spec.name, kept)
    if mistakes:
        raise RecipeError(type(technique).__name__, mistakes)


def conform(value: Any, annotation: Any, where: str) -> tuple[Any, list[str]]:
    """The value in its annotated type, and what is wrong with it (empty when it fits).

    >>> conform(1, float, "rate")
    (1.0, [])
    >>> conform(1.5, typing.Annotated[float, annotated_types.Interval(ge=0, lt=1)], "rate")
    (1.5, ['rate must be ≥ 0 and < 1, got 1.5'])
    """
    if get_origin(annotation) is typing.Annotated:
        base, *limits = get_args(annotation)
        kept, wrong = conform(value, base, where)
        return kept, wrong or _outside(kept, limits, where)
    choices = members(annotation)
    if len(choices) > 1:
        tried = [conform(value, choice, where) for choice in choices]
        fitting = [kept for kept, wrong in tried if not wrong]
        exact = [kept for kept in fitting if type(kept) is type(value)]
        if fitting:
            return (exact or fitting)[0], []
        near = [w for (_, w), c in zip(tried, choices, strict=True) if _same_shape(value, c)]
        return value, near[0] if near else [_expected(value, annotation, where)]
    if get_origin(annotation) is tuple:
        return _conform_tuple(value, get_args(annotation), where, annotation)
    if get_origin(annotation) is Literal:
        if value in get_args(annotation):
            return value, []
        hint = did_you_mean(str(value), map(str, get_args(annotation)))
        return value, [f"{where}: {value!r} is not a choice. {hint}"]
    if annotation is type(None):
        return value, [] if value is None else [_expected(value, annotation, where)]
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value), []
        except OverflowError:
            return value, [f"{where} is too large a number"]
    if annotation is int and isinstance(value, bool):
        return value, [_expected(value, annotation, where)]
    if isinstance(value, annotation):
        if isinstance(value, float) and not math.isfinite(value):
            return value, [f"{where} must be a finite number, got {value}"]
        return value, []
    return value, [_expected(value, annotation, where)]


def _conform_tuple(
    value: Any, inner: tuple[Any, ...], where: str, annotation: Any
) -> tuple[Any, list[str]]:
    if not isinstance(value, tuple | list):
        value = (value,) if len(inner) == 2 and inner[1] is Ellipsis else value
    if not isinstance(value, tuple | list):
        return value, [_expected(value, annotation, where)]
    repeated = len(inner) == 2 and inner[1] is Ellipsis
    kinds = (inner[0],) * len(value) if repeated else inner
    if len(kinds) != len(value):
        return value, [f"{where} must have {len(kinds)} entries, got {len(value)}: {value!r}"]
    pairs = [
        conform(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(zip(value, kinds, strict=True))
    ]
    return tuple(kept for kept, _ in pairs), [w for _, wrong in pairs for w in wrong]


def _same_shape(value: Any, annotation: Any) -> bool:
    """Whether a wrong value was plainly meant for this choice, so that its message is shown."""
    base = get_args(annotation)[0] if get_origin(annotation) is typing.Annotated else annotation
    if get_origin(base) is tuple:
        return isinstance(value, tuple | list)
    if base in (int, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(base, type) and isinstance(value, base)


def _expected(value: Any, annotation: Any, where: str) -> str:
    return f"{where} must be {describe(annotation)}, got {value!r}"


def _outside(value: Any, limits: list[Any], where: str) -> list[str]:
    words: list[str] = []
    broken = False
    for limit in limits:
        for bound in limit if isinstance(limit, annotated_types.GroupedMetadata) else (limit,):
            sign, edge, ok = _bound(bound, value)
            words.append(f"{sign} {edge}")
            broken |= not ok
    return [f"{where} must be {' and '.join(words)}, got {value!r}"] if broken else []


def _bound(bound: Any, value: Any) -> tuple[str, Any, bool]:
    match bound:
        case annotated_types.Gt(edge):
            return ">", edge, value > edge
        case annotated_types.Ge(edge):
            return "≥", edge, value >= edge
        case annotated_types.Lt(edge):
            return "<", edge, value < edge
        case annotated_types.Le(edge):
            return "≤", edge, value <= edge
        case annotated_types.MinLen(edge):
            return "of length ≥", edge, len(value) >= edge
        case annotated_types.MaxLen(edge):
            return "of length ≤", edge, len(value) <= edge
    raise TypeError(f"unknown constraint {bound!r}")


def describe(annotation: Any) -> str:
    """An annotation in words, for messages and documentation.

    >>> describe(float | None)
    'a number or nothing'
    """
    if get_origin(annotation) is typing.Annotated:
        return describe(get_args(annotation)[0])
    choices = members(annotation)
    if len(choices) > 1:
        technique = [c for c in choices if dataclasses.is_dataclass(c)]
        rest = [describe(c) for c in choices if not dataclasses.is_dataclass(c)]
        names = [f"one of {', '.join(c.__name__ for c in technique)}"] if technique else []
        return " or ".join(names + rest)
    if get_origin(annotation) is tuple:
        return f"a tuple of {describe(get_args(annotation)[0])}"
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(repr, get_args(annotation)))}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
    return words.get(annotation, "nothing" if annotation is type(None) else annotation.__name__)


def parse(text: str, annotation: Any, where: str) -> tuple[Any, list[str]]:
    """The object that `text` names, of a type allowed by `annotation`, and all its mistakes.

    Bare words are allowed where they can only mean one thing: the name of a technique without
    arguments (`Adam` for `Adam()`), or a text.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, [f"{where}: cannot read {text!r}; write for instance Name(option=0.5)"]
    try:
        value, mistakes = _build(tree, _classes(annotation), where)
    except RecursionError:
        return None, [f"{where}: too deeply nested"]
    if mistakes:
        return None, mistakes
    return conform(value, annotation, where)


def _classes(annotation: Any) -> dict[str, type]:
    """Every dataclass that an annotation allows, also inside tuples, by name."""
    if get_origin(annotation) is typing.Annotated:
        return _classes(get_args(annotation)[0])
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return {annotation.__name__: annotation}
    found: dict[str, type] = {}
    for inner in get_args(annotation):
        if inner is not Ellipsis and get_origin(annotation) is not Literal:
            found |= _classes(inner)
    return found


def _build(tree: ast.expr, classes: dict[str, type], where: str) -> tuple[Any, list[str]]:
    match tree:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            return _call(name, args, keywords, classes, where)
        case ast.Name(id=name) if name in classes:
            return _call(name, [], [], classes, where)
        case ast.Name(id=name) if name.lower() == "none":
            return None, []
        case ast.Name(id=name) if classes:
            return None, [f'{where}: no "{name}". {did_you_mean(name, classes)}']
        case ast.Name(id=name):
            return name, []
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            pairs = [_build(e, classes, f"{where}[{i}]") for i, e in enumerate(elements)]
            return tuple(v for v, _ in pairs), [w for _, wrong in pairs for w in wrong]
    try:
        return ast.literal_eval(tree), []
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None, [f"{where}: {ast.unparse(tree)!r} is not a number, a text or a technique"]


def _call(
    name: str,
    args: list[ast.expr],
    keywords: list[ast.keyword],
    classes: dict[str, type],
    where: str,
) -> tuple[Any, list[str]]:
    if name not in classes:
        return None, [f'{where}: no "{name}". {did_you_mean(name, classes)}']
    cls = classes[name]
    names = [f.name for f in dataclasses.fields(cls)]
    hints = get_type_hints(cls, include_extras=True)
    mistakes: list[str] = []
    given: dict[str, ast.expr] = {}
    if len(args) > len(names):
        mistakes.append(f"{where}: {name} takes {len(names)} options, got {len(args)}")
    given |= dict(zip(names, args, strict=False))
    for keyword in keywords:
        option = keyword.arg or "**"
        if option not in names:
            hint = did_you_mean(option, names) if names else f"{name} takes no options."
            mistakes.append(f'{where}: {name} has no option "{option}". {hint}')
        elif option in given:
            mistakes.append(f'{where}: {name} got "{option}" twice')
        else:
            given[option] = keyword.value
    values: dict[str, Any] = {}
    for option, tree in given.items():
        value, wrong = _build(tree, _classes(hints[option]), f"{where}: {name}: {option}")
        if not wrong:
            value, wrong = conform(value, hints[option], f"{where}: {name}: {option}")
        mistakes += wrong
        values[option] = value
    if mistakes:
        return None, mistakes
    try:
        return cls(**values), []
    except RecipeError as error:
        return None, [f"{where}: {name}: {m}" for m in error.mistakes]
    except TypeError:
        required = [f.name for f in dataclasses.fields(cls) if f.name not in values]
        return None, [f"{where}: {name} needs {', '.join(required)}"]
