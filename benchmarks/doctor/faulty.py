"""Faulty configurations: a healthy one with one planted change, severe and mild.

Codes name every problem that would be a right answer: the cause, and what a person would mend by
the same remedy. Symptoms alone (a collapsed predictor, a gap that noise in the labels makes) are
not among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.doctor.cases import Case, planted
from benchmarks.doctor.data import (
    Duplicates,
    LabelNoise,
    Leak,
    Plant,
    Scaled,
    ShuffledLabels,
    Sorted,
    Times,
)

Settings = dict[str, str]


@dataclass(frozen=True)
class Fault:
    """A planted change: its family, right codes, severity, base, and what is changed."""

    family: str
    codes: str
    severity: str
    base: str
    changes: Settings = dataclasses.field(default_factory=dict)
    plant: Plant | None = None
    metric: str = ""  # the base's own where empty
    name: str = ""  # the family where empty


HIGH = "R02 R01 R05 R06 R08"
LOW = "R03 R10"
SMALL_INIT = "I03 R04 R13"
LARGE_INIT = "I02 I05 R05 R07 I04"
VANISH = "R04 N06 R13 R07 I03"
RAW = {"preprocess": "(Raw(),)"}
OVER = {"regularize": "()", "augment": "()"}


def rates() -> tuple[Fault, ...]:
    """Learning rates that are too high or too low."""
    return (
        Fault("rate-high", HIGH, "very", "digits-mlp", {"lr": "2.0"}),
        Fault("rate-high", HIGH, "high", "digits-mlp", {"lr": "0.5"}),
        Fault("rate-high", HIGH, "very", "satellite-mlp", {"lr": "1.0"}),
        Fault("rate-high", HIGH, "high", "satellite-tanh", {"lr": "0.6"}),
        Fault("rate-high", HIGH, "high", "letter-mlp", {"lr": "1.0"}),
        Fault("rate-high", HIGH, "high", "mnist-sgd", {"lr": "4.0"}),
        Fault("rate-high", HIGH, "very", "fsdd-mlp", {"lr": "1.0"}),
        Fault("rate-high", HIGH, "high", "mnist-cnn", {"lr": "3.0"}),
        Fault("rate-high", HIGH, "high", "fashion-cnn", {"lr": "10.0"}),
        Fault("rate-high", HIGH, "high", "letter-deep-bn", {"lr": "0.2"}),
        Fault("rate-high", HIGH, "high", "cancer-mlp", {"lr": "1.0"}),
        Fault("rate-low", LOW, "very", "digits-mlp", {"lr": "0.0001"}),
        Fault("rate-low", LOW, "low", "digits-mlp", {"lr": "0.001"}),
        Fault("rate-low", LOW, "low", "satellite-mlp", {"lr": "0.0003"}),
        Fault("rate-low", LOW, "low", "letter-bn", {"lr": "0.0001"}),
        Fault("rate-low", LOW, "mild", "letter-bn", {"lr": "0.0005"}),
        Fault("rate-low", LOW, "low", "mnist-sgd", {"lr": "0.002"}),
        Fault("rate-low", LOW, "low", "mnist-cnn", {"lr": "0.0005"}),
        Fault("rate-low", LOW, "low", "fsdd-cnn", {"lr": "0.002"}),
        Fault("rate-low", LOW, "low", "fashion-cnn", {"lr": "0.001"}),
        Fault("rate-low", LOW, "low", "wine-tanh", {"lr": "0.0003"}),
    )


def initial() -> tuple[Fault, ...]:
    """Initial weights: zero, too small, too large."""
    zero, small = {"init": "Zero()"}, {"init": "SmallRandom(std=0.01)"}
    large = {"init": "Uniform(limit=1.0)"}
    deep = "Mlp(hidden=(48, 48, 48, 48, 48, 48), norm='none')"
    return (
        Fault("init-zero", "I01", "zero", "digits-mlp", zero),
        Fault("init-zero", "I01", "zero", "mnist-cnn", zero),
        Fault("init-zero", "I01", "zero", "satellite-tanh", zero),
        Fault("init-zero", "I01", "zero", "letter-bn", zero),
        Fault("init-small", SMALL_INIT, "deep", "digits-deep-bn", {"model": deep, **small}),
        Fault("init-small", SMALL_INIT, "deep", "mnist-deep-tanh", small),
        Fault("init-small", SMALL_INIT, "deep", "letter-deep-bn", {"model": deep, **small}),
        Fault("init-small", SMALL_INIT, "tiny", "digits-mlp", {"init": "SmallRandom(std=0.0001)"}),
        Fault("init-large", LARGE_INIT, "large", "mnist-sgd", large),
        Fault("init-large", LARGE_INIT, "large", "digits-mlp", large),
        Fault("init-large", LARGE_INIT, "large", "letter-mlp", large),
        Fault("init-large", LARGE_INIT, "large", "satellite-mlp", large),
        Fault("saturation", "R07 I02 I05 R04", "large", "mnist-deep-tanh", large),
        Fault("saturation", "R07 I02 I05 R04", "large", "satellite-tanh", large),
        Fault(
            "saturation", "R07 I02 I05 R04", "huge", "wine-tanh", {"init": "Uniform(limit=10.0)"}
        ),
        Fault(
            "saturation", "R07 I02 I05 R04", "huge", "mnist-sigmoid", {"init": "Uniform(limit=5.0)"}
        ),
    )


def scales() -> tuple[Fault, ...]:
    """Inputs that are not brought to one scale, or shrunk twice."""
    return (
        Fault("unscaled", "D01", "units", "satellite-mlp", RAW, Scaled(3.0)),
        Fault("unscaled", "D01", "own", "satellite-tanh", RAW),
        Fault("unscaled", "D01", "own", "wine-tanh", RAW),
        Fault("unscaled", "D01", "own", "cancer-mlp", RAW),
        Fault("unscaled", "D01", "own", "letter-mlp", RAW),
        Fault("unscaled", "D01", "units", "letter-bn", RAW, Scaled(3.0)),
        Fault("unscaled", "D01", "pixels", "pixels-mlp", RAW),
        Fault("unscaled", "D01", "units", "shuttle-adam", RAW, Scaled(2.0)),
        Fault("shrunk", "D02", "255²", "pixels-mlp", RAW, Times(1 / 255**2)),
        Fault("shrunk", "D02", "1/5000", "letter-mlp", RAW, Times(2e-4)),
        Fault("shrunk", "D02", "1/10000", "satellite-mlp", RAW, Times(1e-4)),
    )


def shapes() -> tuple[Fault, ...]:
    """Depth, width and activations."""
    sigmoid = "Mlp(hidden=({}), activation='sigmoid', norm='none')"
    narrow = "Mlp(hidden=(5, 5, 5, 5, 5, 5, 5, 5, 5, 5), norm='none')"
    plain = "Mlp(hidden=({}), norm='none')"
    six, ten, twenty = "48, " * 6, "48, " * 10, "32, " * 20
    few, wide = "F02 N08", {"init": "Xavier()"}
    return (
        Fault("vanishing", VANISH, "6", "digits-deep-bn", {"model": sigmoid.format(six), **wide}),
        Fault("vanishing", VANISH, "8", "letter-deep-bn", {"model": sigmoid.format(six), **wide}),
        Fault("vanishing", VANISH, "4", "mnist-deep-tanh", {"model": sigmoid.format("64, " * 4)}),
        Fault("vanishing", VANISH, "4", "satellite-tanh", {"model": sigmoid.format("64, " * 4)}),
        Fault("narrow", "R06 N08 R13 F02 I04", "5", "digits-deep-bn", {"model": narrow}),
        Fault("narrow", "R06 N08 R13 F02 I04", "5", "letter-deep-bn", {"model": narrow}),
        Fault("no-norm", VANISH + " R06 R02", "10", "digits-deep-bn", {"model": plain.format(ten)}),
        Fault(
            "no-norm", VANISH + " R06 R02", "20", "digits-deep-bn", {"model": plain.format(twenty)}
        ),
        Fault(
            "no-norm", VANISH + " R06 R02", "20", "letter-deep-bn", {"model": plain.format(twenty)}
        ),
        Fault("dying", "R06 R02 R01", "3", "satellite-mlp", {"lr": "0.3"}),
        Fault("dying", "R06 R02 R01", "3", "pixels-mlp", {"lr": "0.5"}),
        Fault("dying", "R06 R02 R01", "3", "shuttle-adam", {"lr": "0.3"}),
        Fault("underfit", few, "2", "letter-bn", {"model": "Mlp(hidden=(2,))"}),
        Fault("underfit", few, "linear", "letter-mlp", {"model": "Linear()", "lr": "0.05"}),
        Fault("underfit", few, "8", "letter-mlp", {"model": "Mlp(hidden=(8,), norm='none')"}),
        Fault("underfit", few, "3", "digits-mlp", {"model": "Mlp(hidden=(3,), norm='none')"}),
        Fault("underfit", few, "4", "mnist-sgd", {"model": "Mlp(hidden=(4,), norm='none')"}),
        Fault("underfit", few, "1", "fashion-cnn", {"model": "Cnn(channels=(2,), depth=1)"}),
        Fault("underfit", few, "2", "mnist-cnn", {"model": "Cnn(channels=(2, 2), depth=1)"}),
        Fault("underfit", few, "linear", "satellite-mlp", {"model": "Linear()"}),
    )


def ways() -> tuple[Fault, ...]:
    """Order of rows, epochs, schedules, optimisers, losses."""
    order = {"shuffle": "by_class"}
    noisy = "R08 R12 R02"
    return (
        Fault("order", "D09", "by class", "letter-bn", order),
        Fault("order", "D09", "by class", "digits-bn", order),
        Fault("order", "D09", "by class", "mnist-cnn", order),
        Fault("order", "D09", "by class", "letter-mlp", order),
        Fault("order", "D09", "sorted file", "satellite-mlp", {"shuffle": "never"}, Sorted()),
        Fault("order", "D09", "sorted file", "mnist-bn", {"shuffle": "never"}, Sorted()),
        Fault("epochs", "R10 R03", "3", "letter-mlp", {"epochs": "3"}),
        Fault("epochs", "R10 R03", "2", "mnist-sgd", {"epochs": "2"}),
        Fault("epochs", "R10 R03", "3", "fashion-cnn", {"epochs": "2"}),
        Fault("epochs", "R10 R03", "2", "fsdd-cnn", {"epochs": "3"}),
        Fault("epochs", "R10 R03", "2", "digits-mlp", {"epochs": "2"}),
        Fault("collapse", "R14 R03", "3", "letter-mlp", {"schedule": "ExponentialDecay(rate=2.0)"}),
        Fault(
            "collapse",
            "R14 R03",
            "3",
            "digits-mlp",
            {"schedule": "StepDecay(factor=0.05, every=1)"},
        ),
        Fault("collapse", "R14 R03", "2", "mnist-sgd", {"schedule": "ExponentialDecay(rate=1.5)"}),
        Fault("collapse", "R14 R03", "2", "fsdd-mlp", {"schedule": "ExponentialDecay(rate=2.0)"}),
        Fault(
            "constant",
            "R09 R08 R02",
            "high",
            "letter-bn",
            {"schedule": "Constant()", "lr": "0.05"},
        ),
        Fault(
            "constant",
            "R09 R08 R02",
            "high",
            "letter-mlp",
            {"schedule": "Constant()", "lr": "0.3"},
        ),
        Fault(
            "constant",
            "R09 R08 R02",
            "high",
            "satellite-mlp",
            {"schedule": "Constant()", "lr": "0.1"},
        ),
        Fault("noisy", noisy, "2", "digits-mlp", {"batch_size": "2", "schedule": "Constant()"}),
        Fault("noisy", noisy, "4", "satellite-mlp", {"batch_size": "2"}),
        Fault("noisy", noisy, "4", "wine-tanh", {"batch_size": "2", "lr": "0.1"}),
        Fault("optimiser", "R12 R03", "eps 1", "letter-bn", {"optimizer": "Adam(eps=1.0)"}),
        Fault("optimiser", "R12 R03", "eps 1", "fsdd-cnn", {"optimizer": "Adam(eps=1.0)"}),
        Fault("optimiser", "R12 R03", "eps 1", "cancer-mlp", {"optimizer": "Adam(eps=1.0)"}),
        Fault(
            "optimiser",
            noisy,
            "momentum .999",
            "satellite-mlp",
            {"optimizer": "Momentum(momentum=0.999)"},
        ),
        Fault(
            "optimiser",
            noisy,
            "momentum .999",
            "digits-mlp",
            {"optimizer": "Momentum(momentum=0.999)"},
        ),
        Fault("loss", "N01 R03", "squared", "letter-mlp", {"loss": "MeanSquared()"}),
        Fault("loss", "N01 R03", "squared", "mnist-sgd", {"loss": "MeanSquared()"}),
        Fault("loss", "N01", "squared", "satellite-mlp", {"loss": "MeanSquared()"}),
    )


def fits() -> tuple[Fault, ...]:
    """Too much or too little regularisation, augmentation that is unlike the data."""
    bound, drop = {"regularize": "(L2(0.3),)"}, {"regularize": "(Dropout(0.9),)"}
    wrong = "D14 F03"
    plain = "F01"
    return (
        Fault("dropout", "N07 F03", ".9", "digits-mlp", drop),
        Fault("dropout", "N07 F03", ".9", "letter-bn", drop),
        Fault("dropout", "N07 F03", ".9", "mnist-bn", drop),
        Fault("dropout", "N07 F03", ".9", "fashion-cnn", drop),
        Fault("decay", "F03", "L2", "digits-mlp", bound),
        Fault("decay", "F03", "L2", "mnist-sgd", {"regularize": "(L2(0.1),)"}),
        Fault("decay", "F03", "L2", "satellite-mlp", {"regularize": "(L2(0.3),)"}),
        Fault("decay", "F03", "L1", "letter-mlp", {"regularize": "(L1(0.01),)"}),
        Fault("overfit", plain, "n 300", "mnist-small", OVER),
        Fault("overfit", plain, "n 300", "mnist-small-cnn", OVER),
        Fault("overfit", plain, "n 160", "digits-small", OVER),
        Fault("overfit", plain, "n 600", "letter-small", OVER),
        Fault("overfit", plain, "n 900", "fsdd-mlp", {"regularize": "()"}),
        Fault("overfit", plain, "ceiling", "letter-blurred", {"regularize": "()", "epochs": "40"}),
        Fault(
            "overfit",
            plain,
            "ceiling",
            "satellite-blurred",
            {"regularize": "()", "model": "Mlp(hidden=(256, 256), norm='none')", "epochs": "40"},
        ),
        Fault("augment", wrong, "turned", "mnist-cnn", {"augment": "(Rotate(degrees=180.0),)"}),
        Fault("augment", wrong, "turned", "digits-bn", {"augment": "(Rotate(degrees=180.0),)"}),
        Fault(
            "augment",
            wrong,
            "mirrored",
            "mnist-bn",
            {"augment": "(Flip(horizontal=True, vertical=True),)"},
        ),
        Fault(
            "augment",
            wrong,
            "erased",
            "fashion-cnn",
            {"augment": "(Erase(least=0.5, most=0.9, probability=1.0),)"},
        ),
        Fault(
            "augment",
            wrong,
            "elastic",
            "digits-cnn",
            {"augment": "(Elastic(alpha=60.0, sigma=1.5),)"},
        ),
        Fault("augment", wrong, "jitter", "satellite-tanh", {"augment": "(Jitter(noise=3.0),)"}),
    )


def data_faults() -> tuple[Fault, ...]:
    """Labels, leaks, copies, rare classes."""
    noise, shuffled, rare = "D07", "D10 F09", "F05 D08"
    plain = {"balance": "None"}
    over = "overstated"
    return (
        Fault("noise", noise, "40 %", "letter-mlp", {}, LabelNoise(0.4)),
        Fault("noise", noise, "40 %", "digits-mlp", {}, LabelNoise(0.4)),
        Fault("noise", noise, "30 %", "satellite-mlp", {}, LabelNoise(0.3)),
        Fault("noise", noise, "20 %", "mnist-bn", {}, LabelNoise(0.2)),
        Fault("noise", noise, "30 %", "fashion-cnn", {}, LabelNoise(0.3)),
        Fault("noise", noise, "10 %", "letter-bn", {}, LabelNoise(0.1)),
        Fault("noise", noise, "30 %", "cancer-mlp", {}, LabelNoise(0.3)),
        Fault("shuffled", shuffled, "all", "digits-mlp", {}, ShuffledLabels()),
        Fault("shuffled", shuffled, "all", "letter-bn", {}, ShuffledLabels()),
        Fault("shuffled", shuffled, "all", "mnist-cnn", {}, ShuffledLabels()),
        Fault("shuffled", shuffled, "all", "satellite-tanh", {}, ShuffledLabels()),
        Fault("rare", rare, "25", "digits-adjusted", plain),
        Fault("rare", rare, "60", "satellite-adjusted", plain),
        Fault("rare", rare, "60", "mnist-adjusted", plain),
        Fault("rare", rare, "60", "fashion-adjusted", plain),
        Fault("leak", "D13 F06", "column", "satellite-column", {}, Leak(True)),
        Fault("leak", "D13 F06", "column", "letter-column", {}, Leak(True)),
        Fault("leak", "D13 F06", "column", "cancer-column", {}, Leak(True)),
        Fault("copies", "D05", "40 %", "letter-small", {}, Duplicates(0.4), over),
        Fault("copies", "D05", "20 %", "letter-small", {}, Duplicates(0.2), over),
        Fault("copies", "D05", "40 %", "fashion-dropout", {}, Duplicates(0.4), over),
        Fault("copies", "D05", "40 %", "satellite-blurred", {}, Duplicates(0.4), over),
    )


def faulty_cases(bases: Mapping[str, Case]) -> tuple[Case, ...]:
    """Every faulty configuration; bases: healthy ones by name."""
    everything = (rates, initial, scales, shapes, ways, fits, data_faults)
    return tuple(_case(bases[f.base], f) for part in everything for f in part())


def _case(base: Case, fault: Fault) -> Case:
    material = base.material
    if fault.plant is not None:
        kept = tuple(p for p in material.plants if type(p) is not type(fault.plant))
        material = dataclasses.replace(material, plants=(*kept, fault.plant))
    return planted(
        base,
        fault.family,
        fault.codes,
        fault.severity,
        fault.changes,
        material,
        fault.metric or base.metric,
        fault.name,
    )
