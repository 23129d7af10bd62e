"""trainwell: train neural-network classifiers on your own data, and see why the result is good.

    import trainwell as tw

    run = tw.fit("digits")
    print(run.result["test"]["accuracy"])
    tw.predict(run.folder, "new.csv").labels

Names are imported when they are first used, so that `import trainwell` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trainwell.version import __version__ as __version__

if TYPE_CHECKING:
    from trainwell.data.read import read
    from trainwell.errors import DataError, RecipeError, TrainwellError, UserError
    from trainwell.fitting import fit
    from trainwell.prediction import predict
    from trainwell.recipe import Recipe, starting_recipe
    from trainwell.resuming import resume
    from trainwell.run import Run
    from trainwell.run import load_run as load
    from trainwell.techniques.augment.tables import Jitter
    from trainwell.techniques.balance import ClassWeights
    from trainwell.techniques.init import He, SmallRandom, Xavier, Zero
    from trainwell.techniques.losses import CrossEntropy
    from trainwell.techniques.models.cnn import Cnn
    from trainwell.techniques.models.mlp import Linear, Mlp
    from trainwell.techniques.optim.first_order import (
        Adagrad,
        Adam,
        AdamW,
        Momentum,
        Nesterov,
        RmsProp,
        Sgd,
    )
    from trainwell.techniques.preprocess import LogMel, Raw, Standardize
    from trainwell.techniques.regularize import L1, L2, Dropout, LabelSmoothing, MaxNorm
    from trainwell.techniques.schedules import Constant, Cosine, StepDecay


# Public name: where it lives, and its name there.
_HOMES = {
    "Adagrad": ("trainwell.techniques.optim.first_order", "Adagrad"),
    "Adam": ("trainwell.techniques.optim.first_order", "Adam"),
    "AdamW": ("trainwell.techniques.optim.first_order", "AdamW"),
    "ClassWeights": ("trainwell.techniques.balance", "ClassWeights"),
    "Cnn": ("trainwell.techniques.models.cnn", "Cnn"),
    "Constant": ("trainwell.techniques.schedules", "Constant"),
    "Cosine": ("trainwell.techniques.schedules", "Cosine"),
    "CrossEntropy": ("trainwell.techniques.losses", "CrossEntropy"),
    "DataError": ("trainwell.errors", "DataError"),
    "Dropout": ("trainwell.techniques.regularize", "Dropout"),
    "He": ("trainwell.techniques.init", "He"),
    "Jitter": ("trainwell.techniques.augment.tables", "Jitter"),
    "L1": ("trainwell.techniques.regularize", "L1"),
    "L2": ("trainwell.techniques.regularize", "L2"),
    "LabelSmoothing": ("trainwell.techniques.regularize", "LabelSmoothing"),
    "Linear": ("trainwell.techniques.models.mlp", "Linear"),
    "LogMel": ("trainwell.techniques.preprocess", "LogMel"),
    "MaxNorm": ("trainwell.techniques.regularize", "MaxNorm"),
    "Mlp": ("trainwell.techniques.models.mlp", "Mlp"),
    "Momentum": ("trainwell.techniques.optim.first_order", "Momentum"),
    "Nesterov": ("trainwell.techniques.optim.first_order", "Nesterov"),
    "Raw": ("trainwell.techniques.preprocess", "Raw"),
    "Recipe": ("trainwell.recipe", "Recipe"),
    "RecipeError": ("trainwell.errors", "RecipeError"),
    "RmsProp": ("trainwell.techniques.optim.first_order", "RmsProp"),
    "Run": ("trainwell.run", "Run"),
    "Sgd": ("trainwell.techniques.optim.first_order", "Sgd"),
    "SmallRandom": ("trainwell.techniques.init", "SmallRandom"),
    "Standardize": ("trainwell.techniques.preprocess", "Standardize"),
    "StepDecay": ("trainwell.techniques.schedules", "StepDecay"),
    "TrainwellError": ("trainwell.errors", "TrainwellError"),
    "UserError": ("trainwell.errors", "UserError"),
    "Xavier": ("trainwell.techniques.init", "Xavier"),
    "Zero": ("trainwell.techniques.init", "Zero"),
    "fit": ("trainwell.fitting", "fit"),
    "load": ("trainwell.run", "load_run"),
    "predict": ("trainwell.prediction", "predict"),
    "read": ("trainwell.data.read", "read"),
    "resume": ("trainwell.resuming", "resume"),
    "starting_recipe": ("trainwell.recipe", "starting_recipe"),
}

__all__ = [
    "L1",
    "L2",
    "Adagrad",
    "Adam",
    "AdamW",
    "ClassWeights",
    "Cnn",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "DataError",
    "Dropout",
    "He",
    "Jitter",
    "LabelSmoothing",
    "Linear",
    "LogMel",
    "MaxNorm",
    "Mlp",
    "Momentum",
    "Nesterov",
    "Raw",
    "Recipe",
    "RecipeError",
    "RmsProp",
    "Run",
    "Sgd",
    "SmallRandom",
    "Standardize",
    "StepDecay",
    "TrainwellError",
    "UserError",
    "Xavier",
    "Zero",
    "fit",
    "load",
    "predict",
    "read",
    "resume",
    "starting_recipe",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'trainwell' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
