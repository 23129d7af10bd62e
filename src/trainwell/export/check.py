"""The check that every export has to pass: the same probabilities as the model it was made of."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainwell.errors import UserError
from trainwell.export.card import feed
from trainwell.export.layers import rewrite
from trainwell.export.trial import made_up
from trainwell.export.whole import whole
from trainwell.model import CHUNK, Model

Array = npt.NDArray[Any]
TOLERANCE = 1e-5  # in probability
OWN_ROUNDINGS = 10  # how often the trained model's own rounding, where that is above the tolerance


@dataclass(frozen=True)
class Parity:
    """How far two ways of computing the same probabilities lie apart at most.

    checked: inputs that were compared, of which `real` came from data. open: inputs among them, far
    outside of what training showed, on which the trained model itself is not exact to `TOLERANCE`
    (its float32 against float64) or gives no answer; the export is no farther off there, and
    `max_difference` is that of all others.
    """

    checked: int
    real: int
    open: int
    max_difference: float
    words: str

    def __str__(self) -> str:
        far = f"; {self.open} far-out inputs are left open by float32 itself" if self.open else ""
        return (
            f"{self.checked} inputs ({self.words}), largest difference in a probability "
            f"{self.max_difference:.1e}{far}"
        )


def onnx_runner(content: bytes, model: Model) -> Callable[[Array], Array]:
    """Probabilities (n, C) of a batch of inputs (n, *schema.shape), by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0") or 0)
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])

    def run(inputs: Array) -> Array:
        found: Array = session.run(["probabilities"], feed(model.schema, inputs))[0]
        return found

    return run


def torch_runner(folder: Path) -> Callable[[Array], Array]:
    """The same by the plain module that was written into a folder."""
    name = f"trainwell_exported_{abs(hash(folder.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, folder / "model.py")
    assert spec is not None and spec.loader is not None, "the name ends with .py"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load(folder / "weights.safetensors")

    def run(inputs: Array) -> Array:
        with torch.inference_mode():
            found: Array = network(torch.from_numpy(np.ascontiguousarray(inputs))).numpy()
        return found

    return run


def compare(
    model: Model, run: Callable[[Array], Array], inputs: Array, real: int, words: str
) -> Parity:
    """Compare on inputs (N, *schema.shape); the first `real` of them came from data.

    Batches of many sizes, one alone among them. Raises UserError where the difference is larger
    than `TOLERANCE` and not the trained model's own rounding, or where a probability is missing.
    """
    most, left, start, sizes = 0.0, 0, 0, [1, 2, 7, 64]
    while start < len(inputs):
        size = sizes.pop(0) if sizes else CHUNK
        some = inputs[start : start + size]
        ours, theirs = model.probabilities(some), run(some).astype(np.float64)
        # Numbers of 1e200 in a network without pre-processing: no answer to compare with.
        none = ~np.isfinite(ours).all(axis=1)
        if theirs.shape != ours.shape or not np.isfinite(theirs[~none]).all():
            raise _refused("gives no probabilities", start)
        gap = np.where(none, 0.0, np.abs(ours - theirs).max(axis=1))
        left += int(none.sum())
        far = np.flatnonzero(~(gap <= TOLERANCE))
        if len(far):
            exact = precise(model)(torch.from_numpy(some[far])).numpy()
            own = np.abs(exact - ours[far]).max(axis=1)
            theirs_off = np.abs(exact - theirs[far]).max(axis=1)
            wrong = ~((own > TOLERANCE / 4) & (theirs_off <= TOLERANCE + OWN_ROUNDINGS * own))
            if wrong.any():
                bad = far[wrong]
                worst = bad[int(np.argmax(gap[bad]))]
                raise _refused(f"is {gap[worst]:.2g} off in a probability", start + int(worst))
            gap[far] = 0.0
            left += len(far)
        most, start = max(most, float(gap.max())), start + len(some)
    return Parity(len(inputs), real, left, most, words)


def _refused(how: str, place: int) -> UserError:
    problem = (
        f"the exported model {how}, compared with the trained one (input {place} of the check; "
        f"allowed: {TOLERANCE:g})"
    )
    todo = "It was not kept. Please report it; trainwell predict gives the right numbers."
    return UserError("export", problem, todo)


def precise(model: Model) -> nn.Module:
    """The model with its networks in float64, to see what float32 leaves open."""
    vote = whole(model)
    rewrite(vote, torch.from_numpy(made_up(model, 2)))
    vote.networks = nn.ModuleList(
        nn.Sequential(_Double(), network.double()) for network in vote.networks
    )
    return vote


class _Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.double()
