"""Principal components and whitening against scikit-learn, and the formula of ZCA."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor

from trainwell.errors import UserError
from trainwell.techniques import whitening
from trainwell.techniques.preprocess import Pca, Whiten


def correlated(rows: int = 400, columns: int = 7, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(rows, columns, generator=generator, dtype=dtype)
    mix = torch.randn(columns, columns, generator=generator, dtype=dtype)
    return x @ mix * 2 + 30


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("components", [1, 3, 7, 0.5, 0.9, 0.999])
def test_pca_equals_scikit_learn(components: float, dtype: torch.dtype) -> None:
    x = correlated(dtype=dtype)
    plain = PCA(components, svd_solver="full").fit(x.double().numpy())
    found = Pca(components).fit(torch.split(x, 33))(x[:50])  # signs too
    np.testing.assert_allclose(found, plain.transform(x[:50].double()), atol=1e-5 * 30, rtol=1e-5)
    white = PCA(components, whiten=True, svd_solver="full").fit(x.double().numpy())
    layer = Whiten(kind="pca", eps=0.0, components=components).fit(torch.split(x, 33))
    expected = white.transform(x[:50].double())
    np.testing.assert_allclose(layer(x[:50]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("eps", [0.0, 1e-2, 1.0])
@pytest.mark.parametrize("shape", [(7,), (1, 7, 1), (2, 3, 2)])
def test_zca_by_its_formula(eps: float, shape: tuple[int, ...]) -> None:
    x = correlated(columns=int(np.prod(shape))).view(-1, *shape)
    flat = x.flatten(1).double().numpy()
    centred = flat - flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    expected = centred @ vectors @ np.diag(1 / np.sqrt(values + eps)) @ vectors.T
    found = Whiten(eps=eps).fit(torch.split(x, 50))(x)
    assert found.shape == x.shape
    np.testing.assert_allclose(found.flatten(1), expected, atol=2e-5)
    if not eps:
        np.testing.assert_allclose(np.cov(found.flatten(1).T), np.eye(len(values)), atol=1e-4)


def test_digits_with_blank_pixels() -> None:
    """Three pixels of the digits never vary: directions without variance give zeros."""
    x = torch.from_numpy(load_digits().images / 16).float()[:, None]
    found = Pca(0.95).fit(torch.split(x, 256))(x)
    reference = PCA(0.95, svd_solver="full").fit(x.flatten(1).double().numpy())
    assert found.shape == (len(x), reference.n_components_)
    np.testing.assert_allclose(found, reference.transform(x.flatten(1).double()), atol=1e-5)
    white = Whiten(kind="pca", eps=0.0).fit([x])(x)
    assert white.shape == (len(x), 64)
    varied = white.std(dim=0) > 0
    assert int(varied.sum()) == 61
    np.testing.assert_allclose(white[:, varied].std(dim=0), 1, atol=1e-3)
    # A blank pixel that is bright in a new picture changes nothing.
    new = x[:5].clone()
    new[:, 0, 0, 0] = 1.0
    torch.testing.assert_close(Whiten().fit([x])(new), Whiten().fit([x])(x[:5]))


@pytest.mark.parametrize("technique", [Pca(4), Pca(0.9), Whiten(), Whiten(kind="pca")])
def test_chunks_change_nothing(technique: Pca | Whiten) -> None:
    x = correlated() + 1000
    first, *others = [technique.fit(iter(torch.split(x, n))) for n in (400, 1, 10, 399)]
    for other in others:
        torch.testing.assert_close(other(x), first(x), atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(other.matrix, first.matrix, atol=1e-5, rtol=1e-4)


def test_fewer_rows_than_features() -> None:
    x = correlated(rows=5, columns=30)
    reference = PCA(4, svd_solver="full").fit(x.double().numpy())
    found = Pca(20).fit([x])(x)
    assert found.shape == (5, 20)
    np.testing.assert_allclose(found[:, :4], reference.transform(x.double()), atol=1e-4)
    assert float(found[:, 4:].abs().max()) < 1e-4
    assert Whiten(eps=0.0).fit([x])(x).isfinite().all()
    assert (Pca().fit([x[:1]])(x[:1]) == 0).all()  # one row


def test_large_offsets() -> None:
    x = correlated(dtype=torch.float64)
    near, far = (Whiten(kind="pca", eps=0.0).fit([d])(d) for d in (x, x + 1e7))
    torch.testing.assert_close(near, far, atol=1e-4, rtol=1e-4)


def test_as_many_features_as_a_small_colour_picture() -> None:
    """3 × 16 × 16; the rank is that of the few rows."""
    x = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    found = Pca(0.9).fit(torch.split(x, 16))(x)
    reference = PCA(0.9, svd_solver="full").fit_transform(x.flatten(1).double().numpy())
    np.testing.assert_allclose(found, reference, atol=1e-4)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Pca: 8 components of examples with 7 numbers"):
        Pca(8).fit([correlated()])
    monkeypatch.setattr(whitening, "MOST_FEATURES", 6)
    with pytest.raises(UserError, match="Whiten: at most 6 numbers per example, got 7"):
        Whiten().fit([correlated()])
