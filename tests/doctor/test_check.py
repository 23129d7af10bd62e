"""Sound networks of many kinds pass every check; each planted fault is named."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.networks import CE, clouds, healthy, mlp, planted
from trainwell.doctor.finding import LEVELS
from trainwell.doctor.preflight import check
from trainwell.errors import UserError

NAMES, FAULTS = list(healthy(0)), planted(0)
FULL = ("mlp", "mlp with batch norm", "linear", "one logit", "multilabel", "embedding", "tied")


def _trouble(found) -> list[str]:
    return [f"{c.code} {c.words}" for c in found.checks if c.level in ("warning", "fault")]


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_network_gets_no_warning(name: str) -> None:
    model, loss, x, y, options = healthy(1)[name]
    found = check(model, loss, x, y, seconds=0, **options)
    assert _trouble(found) == []
    assert not [c for c in found.checks if "measured:" in c.words]


@pytest.mark.parametrize("name", FULL)
def test_short_trainings_of_a_sound_network_pass(name: str) -> None:
    model, loss, x, y, options = healthy(2)[name]
    found = check(model, loss, x, y, seconds=60, **options)
    assert _trouble(found) == []
    levels = {c.code: c.level for c in found.checks}
    assert levels["F08"] == levels["F09"] == "pass"


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str) -> None:
    codes, least, (model, loss, x, y, options) = FAULTS[name]
    trains = bool(codes & {"F08", "F09", "R02", "R03"})
    found = check(model, loss, x, y, seconds=60 if trains else 0, **options)
    levels = [c.level for c in found.checks if c.code in codes]
    assert levels and max(map(LEVELS.index, levels)) >= LEVELS.index(least), str(found)
    assert str(found) and found._repr_html_()


def test_the_network_and_the_random_numbers_stay_as_they_were() -> None:
    for name in ("cnn", "dropout", "transformer"):
        model, loss, x, y, _ = healthy(0)[name]
        model.train()
        loss(model(x[:8]), y[:8]).backward()
        optimizer = torch.optim.Adam(model.parameters())
        before = copy.deepcopy(model.state_dict())
        grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
        state, theirs, threads = torch.get_rng_state(), np.random.get_state(), 1  # noqa: NPY002
        check(model, loss, x, y, optimizer=optimizer, seconds=1)
        assert torch.equal(state, torch.get_rng_state())
        assert all(np.array_equal(a, b) for a, b in zip(theirs, np.random.get_state()))  # noqa: NPY002, B905
        assert torch.get_num_threads() == threads and model.training
        assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
        assert not optimizer.state
        for n, p in model.named_parameters():
            assert (p.grad is None) == (grads[n] is None)
            assert p.grad is None or torch.equal(p.grad, grads[n])
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_same_seed_says_the_same() -> None:
    model, loss, x, y, _ = healthy(0)["dropout"]
    first, second = (check(model, loss, x, y, seconds=0) for _ in range(2))
    assert first.to_json() == second.to_json()


def test_a_cause_stands_before_what_follows_from_it() -> None:
    x, y = clouds()
    model = nn.Sequential(mlp(12, 32, 4), nn.ReLU())
    found = check(model, CE, x, y, seconds=60)
    codes = [c.code for c in found.checks if c.level == "fault"]
    assert codes[0] == "N04"
    assert found.worst == "fault" and found.findings()[0].code == "N04"


def test_arrays_of_numpy_are_taken() -> None:
    x, y = clouds()
    found = check(mlp(12, 32, 4), CE, x.double().numpy(), y.int().numpy(), seconds=0)
    assert _trouble(found) == []
    found = check(mlp(12, 32, 4).double(), CE, x.numpy(), y.numpy(), seconds=0)
    assert _trouble(found) == []


def test_few_rows_are_no_trouble() -> None:
    x, y = clouds(rows=5)
    for rows in (1, 2, 5):
        found = check(mlp(12, 32, 4), CE, x[:rows], y[:rows], classes=4, seconds=0)
        assert not [c for c in found.checks if "measured:" in c.words], str(found)


def test_an_error_inside_the_network_is_a_check_that_failed() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no such thing")

    found = check(Broken(), CE, *clouds())
    assert found.worst == "fault" and "no such thing" in str(found)

    def refuses(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        raise KeyError("weight")

    found = check(mlp(12, 32, 4), refuses, *clouds())
    assert found.worst == "fault" and "KeyError" in str(found)


def test_a_network_that_gives_a_tuple_or_a_mapping_is_looked_at() -> None:
    class Tuple(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(12, 32, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            return self.net(x), None

    assert _trouble(check(Tuple(), CE, *clouds(), seconds=0)) == []


def test_wrong_targets_are_named_with_what_the_loss_takes() -> None:
    x, y = clouds()
    found = check(mlp(12, 32, 4), CE, x, y[:, None], seconds=0)
    (fault,) = [c for c in found.checks if c.level == "fault"]
    assert fault.code == "N01" and "squeeze(1)" in str(fault.remedies[0])


def test_nothing_to_look_at_is_said_in_one_sentence() -> None:
    x, y = clouds()
    with pytest.raises(UserError, match=r"not an nn\.Module"):
        check(lambda t: t, CE, x, y)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="not a function"):
        check(mlp(12, 4, 4), 3, x, y)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="300 rows and y has 7"):
        check(mlp(12, 4, 4), CE, x, y[:7])
    with pytest.raises(UserError, match="no rows"):
        check(mlp(12, 4, 4), CE, x[:0], y[:0])


def test_low_rank_layers_and_separable_convolutions_are_but_noted() -> None:
    x, y = clouds(columns=40)
    low = nn.Sequential(nn.Linear(40, 4), nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4))
    levels = {c.name: c.level for c in check(low, CE, x, y, seconds=0).checks}
    assert levels["missing-nonlinearity"] == "note"


def test_no_activation_is_seen_through_functions_and_reshapes() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = functional.relu(self.a(x))
            h = 2 * self.b(h).reshape(len(x), 4, 8).transpose(1, 2).flatten(1) - 1
            return self.c(h)

    x, y = clouds()
    (fault,) = [c for c in check(Plain(), CE, x, y, seconds=0).checks if c.level == "fault"]
    assert fault.code == "N05" and "b and c" in fault.words
