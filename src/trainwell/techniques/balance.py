"""Class imbalance: what to do when classes have very different numbers of rows.

Slide: "Class imbalance". Some remedies weigh the loss (`weights`), some move the outputs
(`offsets`, `moved`), some choose which rows an epoch shows (`shares`, `nearest`). The engine
carries them out; each is usable as a plain function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassWeights:
    """Let rows of rare classes count more in the loss.

    Equation: w_c ∝ n_c^-p, scaled so that Σ_c n_c w_c = N; n_c = training rows of class c, N = all
    training rows, p = power. With p = 1, the default, w_c = N / (C n_c) for C classes: every class
    has the same say. p = 0.5 goes half the way, p = 0 is no weighting. Rare classes are found more
    often, at the price of more false alarms and of probabilities that no longer follow the shares
    of the classes. Where the training rows can be separated without error the weights lose
    their effect in the end (Byrd and Lipton 2019). Shapes: counts (C,) to weights (C,).
    Source: slide "Class imbalance"; King and Zeng 2001.

    >>> import torch
    >>> ClassWeights().weights(torch.tensor([90, 10]))
    tensor([0.5556, 5.0000])
    """

    power: Annotated[float, Ge(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def weights(self, counts: Tensor) -> Tensor:
        """Weight of each class (C,), float32, from its training rows (C,); 0 for one without."""
        rows = counts.double()
        return _scaled(rows.clamp(min=1).pow(-self.power), rows)


@dataclass(frozen=True)
class EffectiveNumber:
    """Weigh classes by the number of rows that are really different.

    Equation: w_c ∝ (1 - β) / (1 - β^n_c), scaled so that Σ_c n_c w_c = N; n_c = training rows of
    class c, N = all training rows, β = beta. (1 - β^n) / (1 - β) is the expected number of rows
    that do not overlap with others if 1 / (1 - β) different ones exist. β = 0 is no weighting, β
    towards 1 is ClassWeights; the paper uses 0.9 to 0.9999. Default 0.999: classes with more than
    some thousand rows weigh alike. Shapes: counts (C,) to weights (C,).
    Source: slide "Class imbalance"; Cui et al. 2019.

    >>> import torch
    >>> EffectiveNumber(beta=0.9).weights(torch.tensor([90, 10]))
    tensor([0.9492, 1.4572])
    """

    beta: Annotated[float, Ge(0), Lt(1)] = 0.999

    def __post_init__(self) -> None:
        check_fields(self)

    def weights(self, counts: Tensor) -> Tensor:
        """Weight of each class (C,), float32, from its training rows (C,); 0 for one without."""
        rows = counts.double()
        return _scaled((1 - self.beta) / (1 - self.beta ** rows.clamp(min=1)), rows)


def _scaled(raw: Tensor, rows: Tensor) -> Tensor:
    """Raw class weights (C,) so that the mean over all rows is 1; 0 for a class without rows."""
    raw = raw * (rows > 0)
    weights: Tensor = raw * (rows.sum() / (rows * raw).sum().clamp(min=1e-300))
    return weights.float()


@dataclass(frozen=True)
class Oversample:
    """Show rows of rare classes more often.

    Equation: of the N rows that an epoch shows, class c has a share ∝ n_c^(1-p); n_c = training
    rows of class c, N = all training rows, p = power. With p = 1, the default, every class has N /
    C. Rows of one class are shown equally often (± 1), in random order; an epoch keeps its length,
    so of frequent classes each epoch shows other rows. Against ClassWeights: gradients have less
    noise, and batch norm sees balanced batches; rare rows are learned by heart sooner.
    Shapes: labels (n,) to positions (count,).
    Source: slide "Class imbalance"; Buda et al. 2018.

    >>> import numpy as np
    >>> Oversample().shares(np.array([90, 10]), 100)
    array([50, 50])
    """

    power: Annotated[float, Ge(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def shares(self, counts: Ints, total: int) -> Ints:
        """How many of `total` rows each class gets (C,), from its training rows (C,)."""
        return _shares(counts, total, self.power)


@dataclass(frozen=True)
class Smote:
    """Make new rows of rare classes, between a row and one of its neighbours.

    Equation: x' = x + u (x_j - x), u ~ U(0, 1), x_j one of the k nearest training rows of the same
    class, k = neighbours. Shares of the classes are those of Oversample; where a row is shown
    more than once in an epoch, all but the first showing are new rows, other ones in each epoch.
    Works on pre-processed tables: distances need comparable units, and a category becomes
    something between two levels. Few rows (under ten of a class) have few directions to go.
    Shapes: rows (n, D) to neighbours (n, k). Default k = 5, the paper's.
    Source: slide "Class imbalance"; Chawla et al. 2002.

    >>> import numpy as np
    >>> Smote(neighbours=1).nearest(np.array([[0.0], [1.0], [5.0]]))
    array([[1],
           [0],
           [1]])
    """

    neighbours: Annotated[int, Ge(1)] = 5
    power: Annotated[float, Ge(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def shares(self, counts: Ints, total: int) -> Ints:
        """How many of `total` rows each class gets (C,), from its training rows (C,)."""
        return _shares(counts, total, self.power)

    def nearest(self, rows: npt.NDArray[np.floating]) -> Ints:
        """The nearest other rows (n, k) of each of these rows (n, D) of one class.

        k is smaller where there are not enough rows; a single row is its own neighbour.
        """
        import numpy as np
        from sklearn.neighbors import NearestNeighbors

        if len(rows) == 1:
            return np.zeros((1, 1), np.int64)
        k = min(self.neighbours, len(rows) - 1)
        # Asked without rows, it gives those of its own, and no row is its own neighbour.
        found = NearestNeighbors(n_neighbors=k).fit(rows).kneighbors(return_distance=False)
        others: Ints = found.astype(np.int64)
        return others


def _shares(counts: Ints, total: int, power: float) -> Ints:
    """`total` divided over classes in proportion to counts^(1 - power), by largest remainders."""
    import numpy as np

    wanted = np.where(counts > 0, np.maximum(counts, 1).astype(float) ** (1 - power), 0.0)
    exact = wanted / wanted.sum() * total
    found: Ints = np.floor(exact).astype(np.int64)
    rest = np.argsort(found - exact, kind="stable")[: total - found.sum()]
    found[rest] += 1
    return found


@dataclass(frozen=True)
class LogitAdjust:
    """Take the classes' shares of the training rows out of the outputs.

    Equation: with π_c = share of class c and τ = tau, when="loss" trains with cross-entropy on
    z + τ log π and predicts with z; when="prediction" trains as usual and predicts with
    z - τ log π. With τ = 1 both aim at the lowest balanced error. The first is usually a little
    better, the second costs nothing. Accuracy on data with the training shares falls: use it where
    all classes matter alike. Shapes: counts (C,) to offsets (C,).
    Source: slide "Class imbalance"; Menon et al. 2021.

    >>> import torch
    >>> LogitAdjust(tau=1.0).offsets(torch.tensor([90, 10]))
    tensor([-0.1054, -2.3026])
    """

    tau: Annotated[float, Gt(0)] = 1.0
    when: Literal["loss", "prediction"] = "loss"

    def __post_init__(self) -> None:
        check_fields(self)

    def offsets(self, counts: Tensor) -> Tensor:
        """τ log π (C,), float32; a class without training rows counts as half a row."""
        rows = counts.double().clamp(min=0.5)
        found: Tensor = self.tau * (rows / rows.sum()).log()
        return found.float()


@dataclass(frozen=True)
class Focal:
    """Let examples that are right already count less in the loss.

    Equation: L = -(1/B) Σ_i (1 - p_i)^γ log p_i, p_i = probability of the true class, γ = gamma.
    γ = 0 is cross-entropy. Rare and hard examples keep their weight while the many easy ones lose
    it; wrong labels are hard examples too. Probabilities become too timid. Default γ = 2, the
    paper's. A factor of the loss: needs loss=CrossEntropy(). Shapes: p (any) to factors.
    Source: slide "Class imbalance"; Lin et al. 2017.

    >>> import torch
    >>> Focal(gamma=2.0).factor(torch.tensor([0.9, 0.5]))
    tensor([0.0100, 0.2500])
    """

    gamma: Annotated[float, Ge(0)] = 2.0

    def __post_init__(self) -> None:
        check_fields(self)

    def factor(self, right: Tensor) -> Tensor:
        """(1 - p)^γ for probabilities of the true class."""
        return (1 - right) ** self.gamma


@dataclass(frozen=True)
class ThresholdMove:
    """Train as usual, then move the thresholds between classes on validation rows.

    Equation: predict argmax_c z_c + o_c, the offsets o chosen for the highest balanced accuracy
    (metric="balanced_accuracy") or macro F1 on the rows that the network did not train on. For two
    classes this is the threshold on the probability. Starts from 0 and from -log π, improves one
    offset at a time over all places where a decision changes, and takes the middle of the
    best stretch. With few validation rows of a class its threshold is a guess: see the interval of
    its recall. Offsets are part of the saved model. Shapes: logits (n, C), labels (n,) to (C,).
    Source: slide "Class imbalance"; Elkan 2001; Buda et al. 2018.

    >>> import numpy as np
    >>> logits = np.array([[2.0, 0.0], [3.0, 0.0], [1.0, 0.5], [1.0, 0.4]])
    >>> ThresholdMove().moved(logits, np.array([0, 0, 1, 1]), np.array([20, 2])).round(2)
    array([0. , 1.3])
    """

    metric: Literal["balanced_accuracy", "macro_f1"] = "balanced_accuracy"

    def __post_init__(self) -> None:
        check_fields(self)

    def moved(self, logits: Floats, labels: Ints, counts: Ints) -> Floats:
        """Offsets (C,), the first class's 0, for validation logits (n, C); counts (C,): π."""
        import numpy as np

        from trainwell.techniques.thresholds import best_offsets

        prior = np.log(np.maximum(counts, 0.5) / counts.sum())
        return best_offsets(logits, labels, [np.zeros(len(counts)), -prior], self.metric)


Balance = ClassWeights | EffectiveNumber | Oversample | Smote | LogitAdjust | Focal | ThresholdMove
