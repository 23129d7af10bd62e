"""A claim as data: the sentence, the arms that try it, and the rule that decides.

A claim is one TOML file; docs/claims/writing.md explains every key. Nothing in a file is
evaluated: recipes are call strings, rules are words of a small vocabulary.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le

from trainwell.callstring import conform
from trainwell.data.dataset import Kind
from trainwell.errors import UserError, did_you_mean

Expect = Literal["above", "below", "within"]
Role = Literal["primary", "control", "shown"]
Combine = Literal["mean", "range", "max", "min", "slope"]
Decide = Literal["all", "any", "at_least"]
Weights = Literal["last", "best"]
PictureKind = Literal["arms", "curves", "paired", "line"]
Share = Annotated[float, Gt(0), Le(1)]
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Size:
    """How much is trained.

    rows, validation, decision: rows of one repetition for training, for choosing nuisance
    parameters, and for deciding. epochs, or steps (rounded up to whole epochs).
    """

    repetitions: Annotated[int, Ge(2)] = 10
    rows: Count = 500
    validation: Count = 200
    decision: Count = 400
    epochs: Count | None = None
    steps: Count | None = None


@dataclass(frozen=True)
class ArmSpec:
    """One way of training.

    set: changes to the claim's recipe, as `--set` reads them. tune: nuisance parameters of this arm
    with the values to try. share: of the repetition's training rows. train_on: variants of the data
    that are trained on, together where there are several ("" are the data as they are); decide_on:
    the one that decides. per_class: training rows of each class, in the order of the classes.
    """

    name: str
    says: str = ""
    set: Mapping[str, str] = field(default_factory=dict)
    tune: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    share: Share = 1.0
    train_on: tuple[str, ...] = ("",)
    decide_on: str = ""
    per_class: tuple[int, ...] = ()


@dataclass(frozen=True)
class Variant:
    """Changed data that arms can train on or be decided on; `how` is a call string."""

    name: str
    how: str


@dataclass(frozen=True)
class Contrast:
    """A number of which the rule says where it must lie.

    Per repetition: `measure` of arm `of`, minus that of `minus`, minus the difference of `than_of`
    and `than_minus`. Several arms become one number by `combine` ("slope": on x). ratio: quotients
    instead of differences. expect and margin: where the whole interval must lie for the contrast to
    hold. refuted: where it lies for the contrast to fail (default: the margin).
    sampled: False for a computed number without chance.
    """

    name: str
    measure: str
    of: tuple[str, ...]
    minus: tuple[str, ...] = ()
    than_of: tuple[str, ...] = ()
    than_minus: tuple[str, ...] = ()
    combine: Combine = "mean"
    x: tuple[float, ...] = ()
    ratio: bool = False
    expect: Expect = "above"
    margin: float | None = None
    refuted: float | None = None
    role: Role = "primary"
    sampled: bool = True
    says: str = ""

    @property
    def bound(self) -> float:
        """The margin: by default no difference, which is 1 for a ratio."""
        return (1.0 if self.ratio else 0.0) if self.margin is None else self.margin


@dataclass(frozen=True)
class Words:
    """The paragraph: what was claimed, what was seen, what each verdict means for the reader.

    In `saw` and the others {name} is a contrast's estimate, {measure:arm} the mean of an arm.
    """

    claimed: str
    saw: str
    reproduced: str
    refuted: str
    undecided: str


@dataclass(frozen=True)
class Picture:
    """What a lecturer would show: `measure` of `arms` (all by default) as `kind`."""

    kind: PictureKind = "arms"
    measure: str = "accuracy"
    arms: tuple[str, ...] = ()
    x: tuple[float, ...] = ()
    x_says: str = ""
    log: bool = False


@dataclass(frozen=True)
class Claim:
    """A sentence of the lecture and how it is tried."""

    name: str
    slide: str
    sentence: str
    says: str
    source: str
    data: str
    quick: Size
    full: Size
    words: Words
    contrasts: tuple[Contrast, ...]
    arms: tuple[ArmSpec, ...] = ()
    recipe: Mapping[str, str] = field(default_factory=dict)
    tune: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tune_by: str = ""
    variants: tuple[Variant, ...] = ()
    classes: tuple[str, ...] = ()
    weights: Weights = "last"
    target: float = 0.9
    decide: Decide = "all"
    count: Count = 1
    picture: Picture = Picture()
    footnote: str = ""
    experiment: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    own_data: bool = True
    kinds: tuple[Kind, ...] = ("table", "images", "audio")

    def arm(self, name: str) -> ArmSpec:
        """The arm of this name."""
        return next(a for a in self.arms if a.name == name)


_PLAIN = {
    "name", "slide", "sentence", "says", "source", "data", "tune_by", "classes", "weights",
    "target", "decide", "count", "footnote", "experiment", "own_data", "kinds",
}  # fmt: skip
_TABLES = {"quick", "full", "words", "picture", "recipe", "tune", "settings"}
_LISTS = {"arm": ArmSpec, "variant": Variant, "contrast": Contrast}


def claim_from_toml(text: str, where: str) -> Claim:
    """The claim of a file's text. Raises UserError with every mistake at once."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(where, f"not valid TOML: {error}") from None
    mistakes: list[str] = []
    known = _PLAIN | _TABLES | set(_LISTS)
    mistakes += [
        f'no key "{key}". {did_you_mean(key, sorted(known))}'
        for key in sorted(set(content) - known)
    ]
    values: dict[str, Any] = {k: v for k, v in content.items() if k in _PLAIN}
    quick = dict(content.get("quick", {}))
    values["quick"] = _value(Size, quick, "quick", mistakes)
    values["full"] = _value(Size, quick | dict(content.get("full", {})), "full", mistakes)
    values["words"] = _value(Words, content.get("words", {}), "words", mistakes)
    values["picture"] = _value(Picture, content.get("picture", {}), "picture", mistakes)
    values["recipe"] = _texts(content.get("recipe", {}), "recipe", mistakes)
    values["tune"] = _lists(content.get("tune", {}), "tune", mistakes)
    values["settings"] = content.get("settings", {})
    for key, cls in _LISTS.items():
        entries = [dict(e) for e in content.get(key, [])]
        for number, entry in enumerate(entries):
            for part, read in (("set", _texts), ("tune", _lists)):
                if part in entry:
                    entry[part] = read(entry[part], f"{key} {number + 1}: {part}", mistakes)
        values[f"{key}s"] = tuple(
            _value(cls, e, f"{key} {i + 1}", mistakes) for i, e in enumerate(entries)
        )
    claim = _value(Claim, values, "the file", mistakes)
    if not mistakes:
        mistakes = wrong_in(claim)
    if mistakes:
        raise UserError(where, "; ".join(mistakes), "docs/claims/writing.md explains every key.")
    assert isinstance(claim, Claim)
    return claim


def _value(cls: type, given: Mapping[str, Any], where: str, mistakes: list[str]) -> Any:
    """A dataclass of these values, or None after noting what is wrong."""
    hints = get_type_hints(cls, include_extras=True)
    found: dict[str, Any] = {}
    before = len(mistakes)
    for key, value in given.items():
        if key not in hints:
            mistakes.append(f'{where}: no key "{key}". {did_you_mean(key, hints)}')
        elif _is_built(value):
            found[key] = value
        else:
            found[key], wrong = conform(value, hints[key], f"{where}: {key}")
            mistakes += wrong
    needed = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in needed if name not in given]
    if missing:
        mistakes.append(f"{where}: {', '.join(missing)} missing")
    return None if len(mistakes) > before else cls(**found)


def _is_built(value: Any) -> bool:
    """Whether a value is made already: a table, a dataclass, or several of them."""
    inner = value[0] if isinstance(value, tuple) and value else value
    return isinstance(inner, Mapping) or dataclasses.is_dataclass(inner)


def _texts(given: Any, where: str, mistakes: list[str]) -> dict[str, str]:
    """A table of settings; values become texts, as `--set` has them."""
    if not isinstance(given, Mapping):
        mistakes.append(f"{where}: expected a table of settings")
        return {}
    return {k: v if isinstance(v, str) else repr(v) for k, v in given.items()}


def _lists(given: Any, where: str, mistakes: list[str]) -> dict[str, tuple[str, ...]]:
    """A table of lists of values to try; values become texts."""
    if not isinstance(given, Mapping) or not all(isinstance(v, list) for v in given.values()):
        mistakes.append(f"{where}: expected lists of values to try")
        return {}
    return {k: tuple(x if isinstance(x, str) else repr(x) for x in v) for k, v in given.items()}


def wrong_in(claim: Claim) -> list[str]:
    """What does not fit together in a claim whose values are of the right types."""
    mistakes: list[str] = []
    names = [a.name for a in claim.arms]
    if bool(claim.arms) == bool(claim.experiment):
        mistakes.append("a claim has either arms or an experiment")
    if claim.experiment and claim.experiment not in experiment_names():
        mistakes.append(
            f'no experiment "{claim.experiment}". '
            + did_you_mean(claim.experiment, experiment_names())
        )
    if not any(c.role == "primary" for c in claim.contrasts):
        mistakes.append("no contrast decides: none has the role primary")
    for label, some in (("arm", names), ("contrast", [c.name for c in claim.contrasts])):
        mistakes += [f'two {label}s have the name "{n}"' for n in set(some) if some.count(n) > 1]
    for contrast in claim.contrasts:
        asked = (*contrast.of, *contrast.minus, *contrast.than_of, *contrast.than_minus)
        if claim.arms:
            mistakes += [
                f'contrast "{contrast.name}": no arm "{n}"' for n in asked if n not in names
            ]
        if contrast.combine == "slope" and len(contrast.x) != len(contrast.of):
            mistakes.append(f'contrast "{contrast.name}": x must have a number for every arm')
        if contrast.expect == "within" and contrast.margin is None:
            mistakes.append(f'contrast "{contrast.name}": within needs a margin')
        if contrast.ratio and contrast.bound <= 0:
            mistakes.append(f'contrast "{contrast.name}": the margin of a ratio is above 0')
    variants = {v.name for v in claim.variants}
    for arm in claim.arms:
        for part in (*arm.train_on, arm.decide_on):
            if part and part not in variants:
                mistakes.append(f'arm "{arm.name}": no variant "{part}"')
    for name, size in (("quick", claim.quick), ("full", claim.full)):
        if claim.arms and (size.epochs is None) == (size.steps is None):
            mistakes.append(f"{name}: give either epochs or steps")
    return mistakes


def experiment_names() -> tuple[str, ...]:
    """The experiments that there are."""
    folder = files("trainwell.claims.experiments")
    stems = (p.name.removesuffix(".py") for p in folder.iterdir() if p.name.endswith(".py"))
    return tuple(sorted(s for s in stems if not s.startswith("_")))


@cache
def all_claims() -> tuple[Claim, ...]:
    """The claims of the lecture, slide by slide."""
    from trainwell.catalogue import SLIDES

    folder = files("trainwell.claims") / "files"
    found = [
        claim_from_toml(p.read_text(encoding="utf-8"), p.name)
        for p in sorted(folder.iterdir(), key=lambda p: p.name)
        if p.name.endswith(".toml")
    ]
    order = {slide: i for i, slide in enumerate(SLIDES)}
    return tuple(sorted(found, key=lambda c: order.get(c.slide, len(order))))


def find_claim(name: str) -> Claim:
    """The claim of this name, or that of a TOML file somebody wrote."""
    known = {c.name: c for c in all_claims()}
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return claim_from_toml(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(str(path), f"cannot be read: {error}") from None
    raise UserError(f'"{name}"', "is no claim", did_you_mean(name, known))
