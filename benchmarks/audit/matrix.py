"""Training augmentation against test corruption, 4 × 4: what helps is what the test is like."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.audit.scenes import halved, small_net, some_of
from benchmarks.audit.scenes import scene as make_scene
from trainwell.arms import Arena, cells_of
from trainwell.auditing.changed import changed_rows
from trainwell.auditing.subjects import Subject, subject_of
from trainwell.auditing.trials import Trials, accuracies, networks
from trainwell.comparing_arms import held_out_share
from trainwell.engine.threads import same_threads
from trainwell.paired import paired_difference
from trainwell.seeding import stream_seed
from trainwell.techniques.augment.images import Rotate, Shift
from trainwell.techniques.augment.pixels import BrightnessContrast, PixelNoise

KINDS = {
    "shift 2 px": Shift(2),
    "rotation 40°": Rotate(40),
    "noise 0.4": PixelNoise(0.4),
    "contrast 0.8": BrightnessContrast(0.5, 0.8),
}
FOLDS, HELD = 10, 250


def matrix(seed: int = 7) -> list[dict[str, Any]]:
    """Gains of four augmentations on four corruptions of the held-out rows, with intervals; and
    the mean of the diagonal minus that of the rest, of the same networks, fold by fold."""
    recipe = small_net(700, 50, 1000, lr=1e-3)
    scene = make_scene("matrix", halved(some_of("mnist", 4000, seed)), 1000, HELD, recipe, seed)
    arena = Arena(scene.data, scene.split, seed, jobs=1, steady=True)
    trials, cells = Trials(arena, scene.recipe), cells_of(FOLDS, 1, seed)
    tests = {
        name: [
            changed_rows(
                arena,
                scene.recipe,
                number,
                fold.validation,
                (corruption,),
                stream_seed(seed, "test", name, number),
            )
            for number, fold in enumerate(scene.split.folds)
        ]
        for name, corruption in KINDS.items()
    }
    with same_threads():
        none = _scores(trials, None, cells, tests)
        gains = {
            name: {t: s - none[t] for t, s in _scores(trials, subject_of(a), cells, tests).items()}
            for name, a in KINDS.items()
        }
    found = [
        {"train": a, "test": t, "diagonal": a == t, "gain": _interval(scene, gains[a][t])}
        for a in KINDS
        for t in KINDS
    ]
    on = np.mean([gains[a][a] for a in KINDS], axis=0)
    off = np.mean([gains[a][t] for a in KINDS for t in KINDS if a != t], axis=0)
    difference = _interval(scene, on - off)
    found.append({"train": "all", "test": "all", "diagonal": False, "gain": difference})
    return found


def _scores(
    trials: Trials, subject: Subject | None, cells: Any, tests: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Accuracies by corruption, cell by cell."""
    arm = trials.train(subject, cells)
    assert arm is not None
    parts = networks(trials.arena, trials.recipe, [t for t in arm.trained if t]).parts
    return {name: accuracies(parts, rows, [c.fold for c in cells]) for name, rows in tests.items()}


def _interval(scene: Any, differences: np.ndarray[Any, Any]) -> dict[str, float | None]:
    folds = np.arange(len(differences))
    found = paired_difference(
        differences,
        np.zeros(len(folds)),
        folds,
        np.zeros(len(folds)),
        held_out_share(scene.split),
        FOLDS * HELD,
    )
    return found.interval.to_json()
