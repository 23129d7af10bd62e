"""Every family of techniques, and hypothesis strategies made from the annotations."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import annotated_types as at
from hypothesis import strategies as st

from trainwell.callstring import members
from trainwell.recipe import Model
from trainwell.techniques.augment import Augment
from trainwell.techniques.balance import Balance
from trainwell.techniques.init import Init
from trainwell.techniques.losses import Loss
from trainwell.techniques.optim.rules import Optimizer
from trainwell.techniques.preprocess import Preprocess
from trainwell.techniques.regularize import Regularizer
from trainwell.techniques.schedules import Schedule

FAMILIES = {
    "augment": Augment,
    "balance": Balance,
    "init": Init,
    "loss": Loss,
    "model": Model,
    "optimizer": Optimizer,
    "preprocess": Preprocess,
    "regularize": Regularizer,
    "schedule": Schedule,
}
# (family, class) of every technique.
TECHNIQUES = [(family, cls) for family, union in FAMILIES.items() for cls in members(union)]


def limits_of(annotation: Any) -> dict[str, Any]:
    """The range of an annotation: keys gt, ge, lt, le, min_length."""
    found: dict[str, Any] = {}
    if get_origin(annotation) is Annotated:
        for limit in get_args(annotation)[1:]:
            parts = limit if isinstance(limit, at.GroupedMetadata) else (limit,)
            for part in parts:
                found |= dataclasses.asdict(part)
    return found


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Every value that an annotation allows."""
    limits = limits_of(annotation)
    base = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if base is bool:
        return st.booleans()
    if base is float:
        return st.floats(
            limits.get("ge", limits.get("gt", -1e300)),
            limits.get("le", limits.get("lt", 1e300)),
            exclude_min="gt" in limits,
            exclude_max="lt" in limits,
            allow_nan=False,
            allow_subnormal=False,
        )
    if base is bool:
        return st.booleans()
    if base is int:
        most = limits.get("le", limits.get("lt", 10**6 + 1) - 1)
        return st.integers(limits.get("ge", limits.get("gt", -(10**6)) + 1), min(most, 10**6))
    if base is str:  # the only texts that are free: where the factory of a network lies
        return st.sampled_from(["module:function", "a.b:Class.method", "my nets/ä.py:net_2"])
    if get_origin(base) is Literal:
        return st.sampled_from(get_args(base))
    if get_origin(base) is tuple:
        inner = values(get_args(base)[0])
        return st.lists(inner, min_size=limits.get("min_length", 0), max_size=4).map(tuple)
    if dataclasses.is_dataclass(base) and isinstance(base, type):
        hints = get_type_hints(base, include_extras=True)
        options = {f.name: values(hints[f.name]) for f in dataclasses.fields(base)}
        return st.builds(base, **options)
    if base is type(None):
        return st.none()
    return st.one_of([values(m) for m in members(base)])
