"""A trained model as one `nn.Module`: raw inputs in, probabilities out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainwell.model import Model


class SoftVote(nn.Module):
    """Networks with their pre-processing, and the weighted mean of their probabilities.

    Equation: p = Σ_m w_m softmax((z_m + o_m) / T_m), with logits z_m of network m, its temperature
    T_m, its offsets o_m (moved thresholds, mostly zeros) and weights w_m that sum to one.
    Shapes: raw inputs (B, ...) to (B, C).
    """

    weights: Tensor  # (M,) float64
    temperatures: Tensor  # (M,) float64
    offsets: Tensor  # (M, C) float64

    def __init__(
        self,
        preprocess: Sequence[nn.Module],
        networks: Sequence[nn.Module],
        fold_of: Sequence[int],
        weights: Tensor,
        temperatures: Tensor,
        offsets: Tensor,
    ) -> None:
        """fold_of: which pre-processing each network sees."""
        super().__init__()
        self.preprocess = nn.ModuleList(preprocess)
        self.networks = nn.ModuleList(networks)
        self.fold_of = tuple(fold_of)
        self.register_buffer("weights", weights)
        self.register_buffer("temperatures", temperatures)
        self.register_buffer("offsets", offsets)

    def forward(self, raw: Tensor) -> Tensor:
        """Shapes: see the class; the result is float32."""
        ready = [layers(raw) for layers in self.preprocess]
        total = torch.zeros((), dtype=torch.float64)
        for m, network in enumerate(self.networks):
            logits = network(ready[self.fold_of[m]]).double()
            scaled = (logits + self.offsets[m]) / self.temperatures[m]
            total = total + self.weights[m] * scaled.softmax(dim=1)
        return total.float()


def whole(model: Model) -> SoftVote:
    """The model as one module, on copies of its layers; only the folds that are used."""
    used = sorted({part.fold for part in model.parts})
    none = torch.zeros(len(model.classes), dtype=torch.float64)
    total = sum(part.weight for part in model.parts)
    vote = SoftVote(
        [copy.deepcopy(model.folds[f]) for f in used],
        [copy.deepcopy(part.network) for part in model.parts],
        [used.index(part.fold) for part in model.parts],
        torch.tensor([part.weight / total for part in model.parts], dtype=torch.float64),
        torch.tensor([part.temperature for part in model.parts], dtype=torch.float64),
        torch.stack([none if part.offsets is None else part.offsets for part in model.parts]),
    )
    return vote.eval().requires_grad_(False)
