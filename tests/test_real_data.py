"""Starting recipes on real data, untuned: minutes each, run by `make test-slow`.

The sets that are not embedded in scikit-learn are read from the folder in TRAINWELL_DATA.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.openings import but_openings
from trainwell.data.samples import is_present

pytestmark = pytest.mark.slow


def fitted(name: str, tmp_path: Path, **options: object) -> dict[str, dict[str, dict[str, float]]]:
    from trainwell.fitting import fit

    if not is_present(name):
        pytest.skip(f"{name} is not there; TRAINWELL_DATA={os.environ.get('TRAINWELL_DATA')}")
    return dict(fit(name, out=tmp_path / "run", coach=False, **options).result)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("iris", 0.90),
        ("wine", 0.90),
        ("breast_cancer", 0.93),
        ("digits", 0.98),
        ("letter", 0.96),
        ("satellite", 0.89),
        ("mnist", 0.993),
        ("fashion_mnist", 0.91),
    ],
)
def test_starting_recipe_reaches(name: str, least: float, tmp_path: Path) -> None:
    result = fitted(name, tmp_path)
    assert result["test"]["accuracy"]["value"] >= least
    assert result["test_openings"] == 1
    assert not but_openings(result["warnings"])


def test_spoken_digits_of_unseen_speakers(tmp_path: Path) -> None:
    """Leave one speaker out, all four in turn: out-of-fold accuracy without augmentation."""
    result = fitted("fsdd", tmp_path, test=0.0, folds=4)
    assert result["validation"]["accuracy"]["value"] >= 0.70
    assert result["test"] is None
