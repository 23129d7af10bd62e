"""Healthy configurations: eight data sets, plain, deep, hard and tiny; twins of the faulty ones."""

from __future__ import annotations

from benchmarks.doctor.cases import Case, recipe_of
from benchmarks.doctor.data import Blurred, Imbalanced, Leak, Material, Pixels

DIGITS = Material("digits", 900, 3, 600)
WINE = Material("wine", 120, 4, 58)
CANCER = Material("breast_cancer", 400, 4, 169)
LETTER = Material("letter", 1600, 4, 2000)
SMALL_LETTER = Material("letter", 900, 3, 2000)
SATELLITE = Material("satellite", 1500, 5, 2000)
SHUTTLE = Material("shuttle", 2000, 5, 3000)
MNIST = Material("mnist14", 1200, 4, 2000)
SMALL_MNIST = Material("mnist14", 400, 4, 2000)
FASHION = Material("fashion14", 1200, 4, 2000)
FSDD = Material("fsdd", 1200, 4, 600)

MLP2 = "Mlp(hidden=(64, 64), norm='none')"
WIDE = "Mlp(hidden=(96, 96), norm='none')"
BN2 = "Mlp(hidden=(96, 96))"
DEEP_BN = "Mlp(hidden=(48, 48, 48, 48, 48, 48, 48, 48, 48, 48))"
CHANNEL = "(Standardize(per='channel'),)"
MEL = "(LogMel(hop=0.02), Standardize(per='channel'))"
GENTLE = "(Shift(pixels=1.0), Rotate(degrees=10.0))"


def healthy_cases() -> tuple[Case, ...]:
    """Every healthy configuration."""
    return (
        # Plain networks on easy data.
        Case(
            "digits-mlp",
            DIGITS,
            recipe_of(model=MLP2, optimizer="Momentum()", lr="0.05", batch_size="32", epochs="25"),
        ),
        Case(
            "digits-bn",
            DIGITS,
            recipe_of(
                model="Mlp(hidden=(64, 64))",
                lr="0.005",
                batch_size="32",
                epochs="25",
                regularize="(L2(1e-4), Dropout(0.2))",
            ),
        ),
        Case(
            "digits-cnn",
            DIGITS,
            recipe_of(
                model="Cnn(channels=(12, 24), depth=1)",
                preprocess=CHANNEL,
                lr="0.02",
                batch_size="32",
                epochs="20",
            ),
        ),
        Case(
            "letter-bn",
            LETTER,
            recipe_of(model=BN2, lr="0.01", batch_size="64", epochs="30", regularize="(L2(1e-4),)"),
        ),
        Case(
            "letter-mlp",
            LETTER,
            recipe_of(model=WIDE, optimizer="Momentum()", lr="0.1", batch_size="64", epochs="30"),
        ),
        Case(
            "satellite-mlp",
            SATELLITE,
            recipe_of(model=MLP2, optimizer="Momentum()", lr="0.03", batch_size="32", epochs="25"),
        ),
        Case(
            "shuttle-adam",  # 79 % of one class, and fine
            SHUTTLE,
            recipe_of(model=MLP2, lr="0.01", batch_size="64", epochs="25"),
            metric="balanced",
        ),
        Case(
            "mnist-sgd",
            MNIST,
            recipe_of(model=MLP2, optimizer="Sgd()", lr="0.2", batch_size="32", epochs="25"),
        ),
        Case(
            "mnist-bn",
            MNIST,
            recipe_of(
                model="Mlp(hidden=(64, 64))",
                lr="0.01",
                batch_size="32",
                epochs="25",
                regularize="(Dropout(0.2),)",
            ),
        ),
        Case(
            "mnist-cnn",
            MNIST,
            recipe_of(
                model="Cnn(channels=(8, 16), depth=1)",
                preprocess=CHANNEL,
                lr="0.1",
                batch_size="32",
                epochs="16",
            ),
        ),
        Case(
            "fashion-cnn",
            FASHION,
            recipe_of(
                model="Cnn(channels=(10, 20), depth=1)",
                preprocess=CHANNEL,
                optimizer="Momentum()",
                lr="0.3",
                batch_size="32",
                epochs="16",
            ),
        ),
        Case(
            "fsdd-cnn",
            Material("fsdd", 900, 3, 600),
            recipe_of(
                model="Cnn(channels=(12, 24), depth=1)",
                preprocess="(LogMel(bands=16, hop=0.04), Standardize(per='channel'))",
                lr="0.1",
                batch_size="32",
                epochs="20",
            ),
        ),
        Case(
            "fsdd-mlp",
            FSDD,
            recipe_of(
                model="Mlp(hidden=(64,))",
                preprocess=MEL,
                lr="0.003",
                batch_size="32",
                epochs="20",
                regularize="(L2(1e-3), Dropout(0.5))",
            ),
        ),
        # Hard but healthy.
        Case(
            "wine-tanh",  # 90 training rows
            WINE,
            recipe_of(
                model="Mlp(hidden=(16,), activation='tanh', norm='none')",
                init="Xavier()",
                optimizer="Momentum()",
                lr="0.02",
                batch_size="16",
                epochs="30",
                regularize="(L2(1e-3),)",
            ),
        ),
        Case(
            "cancer-mlp",
            CANCER,
            recipe_of(
                model="Mlp(hidden=(32, 32), norm='none')",
                lr="0.003",
                batch_size="32",
                epochs="25",
                regularize="(L2(1e-3),)",
            ),
        ),
        Case(
            "letter-blurred",  # noise in the inputs: a ceiling near 60 %
            Material("letter", 1600, 4, 2000, (Blurred(0.5),)),
            recipe_of(
                model="Mlp(hidden=(64, 64))",
                lr="0.01",
                batch_size="64",
                epochs="25",
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
        ),
        Case(
            "satellite-blurred",
            Material("satellite", 1500, 5, 2000, (Blurred(1.5),)),
            recipe_of(
                model="Mlp(hidden=(32,), norm='none')",
                optimizer="Momentum()",
                lr="0.01",
                batch_size="32",
                epochs="20",
                regularize="(L2(1e-2), Dropout(0.2))",
            ),
        ),
        Case(
            "satellite-tanh",
            SATELLITE,
            recipe_of(
                model="Mlp(hidden=(64, 64), activation='tanh', norm='none')",
                init="Xavier()",
                optimizer="Momentum()",
                lr="0.03",
                batch_size="32",
                epochs="25",
            ),
        ),
        Case(
            "mnist-sigmoid",
            MNIST,
            recipe_of(
                model="Mlp(hidden=(64,), activation='sigmoid', norm='none')",
                init="Xavier()",
                lr="0.01",
                batch_size="32",
                epochs="25",
            ),
        ),
        Case(
            "fashion-dropout",  # half of the units dropped, and fine
            FASHION,
            recipe_of(
                model="Mlp(hidden=(128, 64))",
                lr="0.005",
                batch_size="32",
                epochs="30",
                regularize="(L2(1e-4), Dropout(0.5))",
            ),
        ),
        Case(
            "digits-deep-bn",
            DIGITS,
            recipe_of(model=DEEP_BN, lr="0.015", batch_size="32", epochs="25"),
        ),
        Case(
            "mnist-deep-tanh",
            MNIST,
            recipe_of(
                model="Mlp(hidden=(64, 64, 64, 64), activation='tanh', norm='none')",
                init="Xavier()",
                optimizer="Momentum()",
                lr="0.02",
                batch_size="32",
                epochs="20",
                regularize="(L2(1e-3),)",
            ),
        ),
        Case(
            "letter-deep-bn",
            LETTER,
            recipe_of(
                model="Mlp(hidden=(48, 48, 48, 48, 48, 48, 48, 48))",
                lr="0.02",
                batch_size="64",
                epochs="25",
            ),
        ),
        Case(
            "digits-linear",  # as good as a linear network can be, which on digits is enough
            DIGITS,
            recipe_of(
                model="Linear()",
                optimizer="Momentum()",
                lr="0.02",
                batch_size="32",
                epochs="25",
                regularize="(L2(1e-3),)",
            ),
        ),
        # Twins of faults that need one of their own.
        Case(
            "digits-adjusted",  # imbalanced, and looked after
            Material("digits", 300, 3, 600, (Imbalanced(25.0),)),
            recipe_of(
                model="Mlp(hidden=(64, 64))",
                lr="0.006",
                batch_size="32",
                epochs="25",
                balance="LogitAdjust()",
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
            metric="balanced",
        ),
        Case(
            "satellite-adjusted",
            Material("satellite", 1500, 5, 2000, (Imbalanced(60.0),)),
            recipe_of(
                model="Mlp(hidden=(32, 32))",
                lr="0.003",
                batch_size="32",
                epochs="20",
                balance="LogitAdjust()",
                regularize="(L2(1e-3), Dropout(0.2))",
            ),
            metric="balanced",
        ),
        Case(
            "mnist-adjusted",
            Material("mnist14", 1200, 4, 2000, (Imbalanced(60.0),)),
            recipe_of(
                model="Mlp(hidden=(64, 64))",
                lr="0.003",
                batch_size="32",
                epochs="20",
                balance="LogitAdjust()",
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
            metric="balanced",
        ),
        Case(
            "fashion-adjusted",
            Material("fashion14", 1200, 4, 2000, (Imbalanced(60.0),)),
            recipe_of(
                model="Mlp(hidden=(64, 64))",
                lr="0.003",
                batch_size="32",
                epochs="20",
                balance="LogitAdjust()",
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
            metric="balanced",
        ),
        Case(
            "mnist-small",
            SMALL_MNIST,
            recipe_of(
                model="Mlp(hidden=(128, 128))",
                lr="0.006",
                batch_size="32",
                epochs="40",
                preprocess=CHANNEL,
                augment=GENTLE,
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
        ),
        Case(
            "mnist-small-cnn",
            SMALL_MNIST,
            recipe_of(
                model="Cnn(channels=(16, 32), depth=1)",
                preprocess=CHANNEL,
                lr="0.06",
                batch_size="32",
                epochs="30",
                augment=GENTLE,
            ),
            runs=4,
        ),
        Case(
            "digits-small",
            Material("digits", 240, 3, 600),
            recipe_of(
                model="Mlp(hidden=(128, 128))",
                lr="0.006",
                batch_size="32",
                epochs="40",
                preprocess=CHANNEL,
                augment="(Shift(pixels=0.7), Rotate(degrees=8.0))",
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
        ),
        Case(
            "letter-small",
            SMALL_LETTER,
            recipe_of(
                model=BN2,
                lr="0.01",
                batch_size="32",
                epochs="30",
                regularize="(L2(1e-3), Dropout(0.3))",
            ),
        ),
        Case(
            "pixels-mlp",
            Material("mnist14", 1200, 4, 2000, (Pixels(),)),
            recipe_of(model=MLP2, optimizer="Momentum()", lr="0.02", batch_size="32", epochs="20"),
        ),
        Case(
            "satellite-column",  # one more column of noise, where the fault has a leak
            Material("satellite", 1500, 5, 2000, (Leak(False),)),
            recipe_of(model=MLP2, optimizer="Momentum()", lr="0.03", batch_size="32", epochs="20"),
            runs=4,
        ),
        Case(
            "letter-column",
            Material("letter", 1600, 4, 2000, (Leak(False),)),
            recipe_of(model=BN2, lr="0.01", batch_size="64", epochs="25"),
            runs=4,
        ),
        Case(
            "cancer-column",
            Material("breast_cancer", 400, 4, 169, (Leak(False),)),
            recipe_of(
                model="Mlp(hidden=(32, 32), norm='none')", lr="0.003", batch_size="32", epochs="20"
            ),
            runs=4,
        ),
    )
