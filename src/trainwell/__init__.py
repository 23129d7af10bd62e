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

if TYPE_CHECKING:
    from trainwell.data.read import read
    from trainwell.errors import DataError, RecipeError, TrainwellError, UserError
    from trainwell.fitting import fit
    from trainwell.prediction import predict
    from trainwell.recipe import Recipe, starting_recipe
    from trainwell.run import Run
    from trainwell.run import load_run as load
    from trainwell.techniques.init import He
    from trainwell.techniques.losses import CrossEntropy
    from trainwell.techniques.models.cnn import Cnn
    from trainwell.techniques.models.mlp import Linear, Mlp
    from trainwell.techniques.optim.first_order import Adam, Momentum
    from trainwell.techniques.preprocess import LogMel, Raw, Standardize
    from trainwell.techniques.regularize import L2, Dropout
    from trainwell.techniques.schedules import Constant, Cosine, StepDecay

__version__ = "0.1.0"

# Public name: where it lives, and its name there.
_HOMES = {
    "Adam": ("trainwell.techniques.optim.first_order", "Adam"),
    "Cnn": ("trainwell.techniques.models.cnn", "Cnn"),
    "Constant": ("trainwell.techniques.schedules", "Constant"),
    "Cosine": ("trainwell.techniques.schedules", "Cosine"),
    "CrossEntropy": ("trainwell.techniques.losses", "CrossEntropy"),
    "DataError": ("trainwell.errors", "DataError"),
    "Dropout": ("trainwell.techniques.regularize", "Dropout"),
    "He": ("trainwell.techniques.init", "He"),
    "L2": ("trainwell.techniques.regularize", "L2"),
    "Linear": ("trainwell.techniques.models.mlp", "Linear"),
    "LogMel": ("trainwell.techniques.preprocess", "LogMel"),
    "Mlp": ("trainwell.techniques.models.mlp", "Mlp"),
    "Momentum": ("trainwell.techniques.optim.first_order", "Momentum"),
    "Raw": ("trainwell.techniques.preprocess", "Raw"),
    "Recipe": ("trainwell.recipe", "Recipe"),
    "RecipeError": ("trainwell.errors", "RecipeError"),
    "Run": ("trainwell.run", "Run"),
    "Standardize": ("trainwell.techniques.preprocess", "Standardize"),
    "StepDecay": ("trainwell.techniques.schedules", "StepDecay"),
    "TrainwellError": ("trainwell.errors", "TrainwellError"),
    "UserError": ("trainwell.errors", "UserError"),
    "fit": ("trainwell.fitting", "fit"),
    "load": ("trainwell.run", "load_run"),
    "predict": ("trainwell.prediction", "predict"),
    "read": ("trainwell.data.read", "read"),
    "starting_recipe": ("trainwell.recipe", "starting_recipe"),
}

__all__ = [
    "L2",
    "Adam",
    "Cnn",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "DataError",
    "Dropout",
    "He",
    "Linear",
    "LogMel",
    "Mlp",
    "Momentum",
    "Raw",
    "Recipe",
    "RecipeError",
    "Run",
    "Standardize",
    "StepDecay",
    "TrainwellError",
    "UserError",
    "fit",
    "load",
    "predict",
    "read",
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
