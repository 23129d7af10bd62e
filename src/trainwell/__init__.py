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
    from trainwell.auditing.audit import audit
    from trainwell.auditing.subjects import SampleMaker, Samples
    from trainwell.checking import check_data
    from trainwell.classifier import Classifier
    from trainwell.comparing import compare
    from trainwell.data.read import read
    from trainwell.diagnosing import diagnose
    from trainwell.doctor.foreign import read_histories, read_history
    from trainwell.doctor.preflight import check
    from trainwell.doctor.watch import watch
    from trainwell.ensembling import ensemble_runs
    from trainwell.errors import DataError, RecipeError, TrainwellError, UserError
    from trainwell.export.write import export_onnx, export_torch
    from trainwell.fitting import fit
    from trainwell.prediction import predict
    from trainwell.recipe import Recipe, starting_recipe
    from trainwell.resuming import resume
    from trainwell.run import Run
    from trainwell.run import load_run as load
    from trainwell.techniques.augment.audio import (
        AddNoise,
        Gain,
        PitchShift,
        SpecAugment,
        Tempo,
        TimeShift,
    )
    from trainwell.techniques.augment.generated import Gan, Refine
    from trainwell.techniques.augment.images import Affine, Elastic, Rotate, Scale, Shear, Shift
    from trainwell.techniques.augment.mixing import CutMix, MixUp
    from trainwell.techniques.augment.own import Own
    from trainwell.techniques.augment.pixels import (
        BrightnessContrast,
        Crop,
        Erase,
        Flip,
        PixelNoise,
    )
    from trainwell.techniques.augment.stretch import pitch_shift, resample, time_stretch
    from trainwell.techniques.augment.tables import Jitter
    from trainwell.techniques.balance import (
        ClassWeights,
        EffectiveNumber,
        Focal,
        LogitAdjust,
        Oversample,
        Smote,
        ThresholdMove,
    )
    from trainwell.techniques.init import He, Lsuv, Orthogonal, SmallRandom, Uniform, Xavier, Zero
    from trainwell.techniques.init_report import compare_inits
    from trainwell.techniques.layer_report import layer_report
    from trainwell.techniques.losses import CrossEntropy, Hinge, MeanSquared
    from trainwell.techniques.models.audio import AudioCnn
    from trainwell.techniques.models.cnn import Cnn
    from trainwell.techniques.models.custom import Custom
    from trainwell.techniques.models.mlp import Linear, Mlp
    from trainwell.techniques.models.resnet import ResNet
    from trainwell.techniques.optim.first_order import (
        AdaDelta,
        Adagrad,
        Adam,
        AdamW,
        Momentum,
        Nesterov,
        RmsProp,
        Sgd,
    )
    from trainwell.techniques.optim.matrix import Muon
    from trainwell.techniques.optim.second_order import Lbfgs, Newton, NewtonCg
    from trainwell.techniques.preprocess import (
        Center,
        LogMel,
        MinMax,
        PerSample,
        Raw,
        Robust,
        Standardize,
    )
    from trainwell.techniques.regularize import (
        L1,
        L2,
        Dropout,
        InputDropout,
        LabelSmoothing,
        MaxNorm,
    )
    from trainwell.techniques.schedules import (
        Constant,
        Cosine,
        ExponentialDecay,
        InverseTimeDecay,
        LinearDecay,
        OneCycle,
        ReduceOnPlateau,
        StepDecay,
        WarmUp,
    )
    from trainwell.techniques.whitening import Pca, Whiten


# Where public names live.
_MODULES = {
    "trainwell.auditing.audit": ("audit",),
    "trainwell.auditing.subjects": (
        "SampleMaker",
        "Samples",
    ),
    "trainwell.checking": ("check_data",),
    "trainwell.comparing": ("compare",),
    "trainwell.diagnosing": ("diagnose",),
    "trainwell.doctor.foreign": (
        "read_histories",
        "read_history",
    ),
    "trainwell.doctor.preflight": ("check",),
    "trainwell.doctor.watch": ("watch",),
    "trainwell.classifier": ("Classifier",),
    "trainwell.data.read": ("read",),
    "trainwell.ensembling": ("ensemble_runs",),
    "trainwell.errors": (
        "DataError",
        "RecipeError",
        "TrainwellError",
        "UserError",
    ),
    "trainwell.export.write": ("export_onnx", "export_torch"),
    "trainwell.fitting": ("fit",),
    "trainwell.prediction": ("predict",),
    "trainwell.recipe": (
        "Recipe",
        "starting_recipe",
    ),
    "trainwell.resuming": ("resume",),
    "trainwell.run": ("Run",),
    "trainwell.techniques.augment.audio": (
        "AddNoise",
        "Gain",
        "PitchShift",
        "SpecAugment",
        "Tempo",
        "TimeShift",
    ),
    "trainwell.techniques.augment.generated": (
        "Gan",
        "Refine",
    ),
    "trainwell.techniques.augment.images": (
        "Affine",
        "Elastic",
        "Rotate",
        "Scale",
        "Shear",
        "Shift",
    ),
    "trainwell.techniques.augment.mixing": (
        "CutMix",
        "MixUp",
    ),
    "trainwell.techniques.augment.own": ("Own",),
    "trainwell.techniques.augment.pixels": (
        "BrightnessContrast",
        "Crop",
        "Erase",
        "Flip",
        "PixelNoise",
    ),
    "trainwell.techniques.augment.stretch": (
        "pitch_shift",
        "resample",
        "time_stretch",
    ),
    "trainwell.techniques.augment.tables": ("Jitter",),
    "trainwell.techniques.balance": (
        "ClassWeights",
        "EffectiveNumber",
        "Focal",
        "LogitAdjust",
        "Oversample",
        "Smote",
        "ThresholdMove",
    ),
    "trainwell.techniques.init": (
        "He",
        "Lsuv",
        "Orthogonal",
        "SmallRandom",
        "Uniform",
        "Xavier",
        "Zero",
    ),
    "trainwell.techniques.init_report": ("compare_inits",),
    "trainwell.techniques.layer_report": ("layer_report",),
    "trainwell.techniques.losses": (
        "CrossEntropy",
        "Hinge",
        "MeanSquared",
    ),
    "trainwell.techniques.models.audio": ("AudioCnn",),
    "trainwell.techniques.models.cnn": ("Cnn",),
    "trainwell.techniques.models.custom": ("Custom",),
    "trainwell.techniques.models.mlp": (
        "Linear",
        "Mlp",
    ),
    "trainwell.techniques.models.resnet": ("ResNet",),
    "trainwell.techniques.optim.first_order": (
        "AdaDelta",
        "Adagrad",
        "Adam",
        "AdamW",
        "Momentum",
        "Nesterov",
        "RmsProp",
        "Sgd",
    ),
    "trainwell.techniques.optim.matrix": ("Muon",),
    "trainwell.techniques.optim.second_order": (
        "Lbfgs",
        "Newton",
        "NewtonCg",
    ),
    "trainwell.techniques.preprocess": (
        "Center",
        "LogMel",
        "MinMax",
        "PerSample",
        "Raw",
        "Robust",
        "Standardize",
    ),
    "trainwell.techniques.regularize": (
        "Dropout",
        "InputDropout",
        "L1",
        "L2",
        "LabelSmoothing",
        "MaxNorm",
    ),
    "trainwell.techniques.schedules": (
        "Constant",
        "Cosine",
        "ExponentialDecay",
        "InverseTimeDecay",
        "LinearDecay",
        "OneCycle",
        "ReduceOnPlateau",
        "StepDecay",
        "WarmUp",
    ),
    "trainwell.techniques.whitening": (
        "Pca",
        "Whiten",
    ),
}
_HOMES = {name: (module, name) for module, names in _MODULES.items() for name in names}
_HOMES["load"] = ("trainwell.run", "load_run")

__all__ = [
    "L1",
    "L2",
    "AdaDelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AddNoise",
    "Affine",
    "AudioCnn",
    "BrightnessContrast",
    "Center",
    "ClassWeights",
    "Classifier",
    "Cnn",
    "Constant",
    "Cosine",
    "Crop",
    "CrossEntropy",
    "Custom",
    "CutMix",
    "DataError",
    "Dropout",
    "EffectiveNumber",
    "Elastic",
    "Erase",
    "ExponentialDecay",
    "Flip",
    "Focal",
    "Gain",
    "Gan",
    "He",
    "Hinge",
    "InputDropout",
    "InverseTimeDecay",
    "Jitter",
    "LabelSmoothing",
    "Lbfgs",
    "Linear",
    "LinearDecay",
    "LogMel",
    "LogitAdjust",
    "Lsuv",
    "MaxNorm",
    "MeanSquared",
    "MinMax",
    "MixUp",
    "Mlp",
    "Momentum",
    "Muon",
    "Nesterov",
    "Newton",
    "NewtonCg",
    "OneCycle",
    "Orthogonal",
    "Oversample",
    "Own",
    "Pca",
    "PerSample",
    "PitchShift",
    "PixelNoise",
    "Raw",
    "Recipe",
    "RecipeError",
    "ReduceOnPlateau",
    "Refine",
    "ResNet",
    "RmsProp",
    "Robust",
    "Rotate",
    "Run",
    "SampleMaker",
    "Samples",
    "Scale",
    "Sgd",
    "Shear",
    "Shift",
    "SmallRandom",
    "Smote",
    "SpecAugment",
    "Standardize",
    "StepDecay",
    "Tempo",
    "ThresholdMove",
    "TimeShift",
    "TrainwellError",
    "Uniform",
    "UserError",
    "WarmUp",
    "Whiten",
    "Xavier",
    "Zero",
    "audit",
    "check",
    "check_data",
    "compare",
    "compare_inits",
    "diagnose",
    "ensemble_runs",
    "export_onnx",
    "export_torch",
    "fit",
    "layer_report",
    "load",
    "pitch_shift",
    "predict",
    "read",
    "read_histories",
    "read_history",
    "resample",
    "resume",
    "starting_recipe",
    "time_stretch",
    "watch",
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
