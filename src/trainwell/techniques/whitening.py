"""Fewer or uncorrelated features: principal components and whitening.

Both turn the data into the directions in which the training rows vary, found from their covariance.
Slide: "Data pre-processing".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Lt

from trainwell.callstring import check_fields
from trainwell.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

# How many directions: a number of them, or a share of the variance.
Components = Annotated[int, Ge(1)] | Annotated[float, Gt(0), Lt(1)]

MOST_FEATURES = 8192  # the covariance of more would need gigabytes, its eigenvectors minutes


@dataclass(frozen=True)
class Pca:
    """Principal components: the few directions in which the training rows vary most.

    Equation: x̂ = (x - μ) U with μ the mean of the training rows and U (D, k) the eigenvectors of
    their covariance with the largest eigenvalues λ; the largest entry of each is positive. A whole
    number of `components` is k; a number below 1 is a share of the variance, and k the smallest
    number of directions with more than that share (in a cross-validation k is that of the fold
    that needs most). Default 0.95, the usual share. Directions in which the training rows do not
    vary at all give 0.
    The units of the columns matter: in a table put Standardize before. With many training rows raw
    data do as well or better, and convolutions need pictures, which this flattens. Up to 8192
    features. Shapes: (B, ...) to (B, k).
    Source: slide "Data pre-processing" ("dimensionality reduction"); Jolliffe 2002.

    >>> import torch
    >>> layer = Pca(components=1).fit([torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])])
    >>> layer(torch.tensor([[6.0, 8.0]]))
    tensor([[5.]])
    """

    components: Components = 0.95

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer for these training examples; chunks are (B, ...) float tensors."""
        from trainwell.techniques.scaling import Projection

        found = _directions(chunks, "Pca", self.components)
        return Projection(found.mean, found.edge, found.vectors.float())


@dataclass(frozen=True)
class Whiten:
    """Uncorrelated features of equal variance.

    Equation: with Xc = x - μ and U, λ the eigenvectors and eigenvalues of the covariance of the
    training rows, kind="pca" gives Xc U diag(1 / √(λ + ε)), one number per direction; kind="zca"
    turns the result back, Xc U diag(1 / √(λ + ε)) Uᵀ, so that pictures stay pictures (with sharper
    edges) and convolutions work. ε = `eps` keeps directions small that hardly vary: whitening
    "can greatly exaggerate noise" (CS231n). Default 0.01, about a tenth of the mean eigenvalue of
    pictures in [0, 1] and a hundredth of that of standardized columns. `components`: how many
    directions, as for Pca; None: all. Directions in which the training rows do not vary give 0.
    For linear models and small networks on correlated inputs; with batch norm and many training
    rows it gives little. Up to 8192 features. Shapes: "zca" (B, ...) to the same; "pca" (B, ...)
    to (B, k). Source: slide "Data pre-processing" ("whitening"); Krizhevsky 2009 (ZCA).

    >>> import torch
    >>> x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    >>> (Whiten(eps=0.0).fit([x])(x).T.cov() - torch.eye(3)).abs().max() < 1e-4
    tensor(True)
    """

    kind: Literal["pca", "zca"] = "zca"
    eps: Annotated[float, Ge(0)] = 1e-2
    components: Components | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer for these training examples; chunks are (B, ...) float tensors."""
        from trainwell.techniques.scaling import Projection

        found = _directions(chunks, "Whiten", self.components)
        # Where eps is 0, a direction of zeros must not be divided by zero.
        smallest = found.values.new_tensor(1e-300)
        matrix = found.vectors / (found.values + self.eps).maximum(smallest).sqrt()
        if self.kind == "zca":
            matrix = matrix @ found.vectors.T
        return Projection(found.mean, found.edge, matrix.float(), square=self.kind == "zca")


@dataclass(frozen=True, eq=False)
class _Directions:
    mean: Tensor  # (D,) in the data's precision
    edge: Tensor  # (D,) where centred values are cut
    vectors: Tensor  # (D, k) float64, zeros for directions without variance
    values: Tensor  # (k,) float64, falling


def _directions(chunks: Iterable[Tensor], name: str, components: int | float | None) -> _Directions:
    """The leading eigenvectors of the covariance of the chunks."""
    import torch

    from trainwell.techniques.scaling import Shift
    from trainwell.techniques.streaming import covariance

    mean, products, precision = covariance(_within_limit(chunks, name))
    values, vectors = torch.linalg.eigh(products)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    k = _count(values, name, components)
    values, vectors = values[:k], vectors[:, :k]
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    # Below this, an eigenvalue is the rounding of its neighbours.
    vectors = vectors * largest.sign() * (values > len(mean) * 1e-15 * values[0])
    edge = Shift.edge_of(mean, products.diagonal().sqrt())
    return _Directions(mean.to(precision), edge, vectors, values)


def _within_limit(chunks: Iterable[Tensor], name: str) -> Iterator[Tensor]:
    """The same chunks; raises UserError where their covariance would be too large."""
    for chunk in chunks:
        if chunk[0].numel() > MOST_FEATURES:
            problem = f"at most {MOST_FEATURES} numbers per example, got {chunk[0].numel()}"
            raise UserError(f"preprocess: {name}", problem, "Use smaller pictures, or Standardize.")
        yield chunk


def _count(values: Tensor, name: str, components: int | float | None) -> int:
    """How many directions are kept, of those with these falling eigenvalues (D,)."""
    if components is None:
        return len(values)
    if isinstance(components, int):
        if components > len(values):
            problem = f"{components} components of examples with {len(values)} numbers"
            raise UserError(f"preprocess: {name}", problem, "Use fewer.")
        return components
    total = values.cumsum(0)
    enough = int((total <= components * total[-1]).sum()) + 1
    return min(enough, len(values))
