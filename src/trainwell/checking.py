"""`trainwell check`: look at data and network before any long training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwell.data.dataset import Dataset, Kind
from trainwell.data.split import Split, make_split
from trainwell.doctor.checkup import Checkup
from trainwell.doctor.data_checks import data_checks
from trainwell.doctor.preflight import preflight
from trainwell.options import TEST_SHARE, chosen_recipe
from trainwell.recipe import Recipe
from trainwell.request import Request

SECONDS = 7.0  # for all checks together, reading aside


def check_data(
    source: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    kind: Kind | None = None,
    pattern: str | None = None,
    image_size: int | None = None,
    test: float | str | Path = TEST_SHARE,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    trust: bool = False,
) -> Checkup:
    """Check data and the network that `fit` would train on them, in seconds.

    The arguments are those of `fit`. Labels of the sealed test part are not looked at; its inputs
    only for rows that occur in training as well. Raises UserError for what the user can mend.

    >>> [f.name for f in check_data("wine").findings()]
    ['sorted-order']
    """
    request = Request(
        source,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test,
        seed=seed,
        recipe=recipe,
        settings=settings or {},
        trust=trust or recipe is None,
    )
    data = request.read()
    chosen = chosen_recipe(data, request.options)
    split = make_split(data, seed=seed, folds=5, test=request.options.test)
    return checkup(data, chosen, split, seed, SECONDS)


def checkup(data: Dataset, recipe: Recipe, split: Split, seed: int, seconds: float) -> Checkup:
    """All checks of data and network, in about this many seconds."""
    began = time.monotonic()
    checks = data_checks(
        data,
        split,
        seed,
        0.6 * seconds,
        preprocess=recipe.preprocess,
        shuffle=recipe.shuffle,
    )
    left = max(0.5, seconds - (time.monotonic() - began))
    network = preflight(data, recipe, split, seed, left)
    return Checkup.joined(checks, network.checks, time.monotonic() - began)
