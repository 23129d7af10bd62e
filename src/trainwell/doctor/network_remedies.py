"""Remedies that change the network, with the settings that do it where the model is known."""

from __future__ import annotations

import dataclasses

from trainwell.doctor.evidence import Setup
from trainwell.doctor.finding import Finding, Remedy


def relu(setup: Setup) -> Remedy:
    """Units that do not saturate.

    >>> relu(Setup(model="Mlp(hidden=(8,), activation='tanh')", activation="tanh")).settings[0][0]
    'model'
    """
    saturates = setup.activation in ("sigmoid", "tanh")
    settings = _changed(setup, "activation", "relu") if saturates else ()
    return Remedy("ReLU or leaky ReLU in place of sigmoid or tanh", settings)


def leaky_relu(setup: Setup) -> Remedy:
    """Units that are never silent."""
    settings = _changed(setup, "activation", "leaky_relu") if setup.activation == "relu" else ()
    return Remedy("leaky ReLU, which always lets some gradient through", settings)


def batch_norm(setup: Setup) -> Remedy:
    """Signals of the same size in every layer."""
    settings = _changed(setup, "norm", "batch") if setup.normalised is False else ()
    return Remedy("batch norm before the non-linearity", settings)


def with_settings(finding: Finding, setup: Setup) -> Finding:
    """A finding of a check, which saw a network and no recipe, with the setting that mends it."""
    if finding.code != "N06" or any(r.settings for r in finding.remedies):
        return finding
    first, *others = finding.remedies
    mended = dataclasses.replace(first, settings=relu(setup).settings)
    return dataclasses.replace(finding, remedies=(mended, *others))


def _changed(setup: Setup, option: str, value: str) -> tuple[tuple[str, str], ...]:
    """The setting that gives the model another option; none where it is unknown or has none."""
    from trainwell.errors import RecipeError
    from trainwell.recipe import Recipe, edit

    if setup.model is None:
        return ()
    try:
        model = edit(Recipe(), {"model": setup.model}, "model").model
        if option not in {f.name for f in dataclasses.fields(model)}:
            return ()
        changes = {option: value}
        return (("model", repr(dataclasses.replace(model, **changes))),)  # type: ignore[arg-type]
    except RecipeError:
        return ()
