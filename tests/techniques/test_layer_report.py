"""Reports on layers of hand-made networks whose every number is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwell.callstring import members
from trainwell.techniques.init import He, Init, Lsuv, Orthogonal, SmallRandom, Uniform, Zero
from trainwell.techniques.init_report import as_markdown, compare_inits
from trainwell.techniques.layer_report import as_markdown as layers_as_markdown
from trainwell.techniques.layer_report import layer_report
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Linear, Mlp


def with_weights(layer: Any, weight: Any, bias: Any) -> Any:
    layer.weight.data = torch.tensor(weight, dtype=torch.float32).view(layer.weight.shape)
    layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    return layer


X = torch.tensor([[1.0, -2.0], [3.0, 0.5], [2.0, -1.0]])


def test_dead_units_by_hand() -> None:
    """Four units: always on, on for one row, never on, and exactly zero everywhere."""
    first = with_weights(nn.Linear(2, 4), [[1, 0], [0, 1], [-1, 0], [0, 0]], [0, 0, 0, 0])
    network = nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3))
    hidden, last = layer_report(network, X)
    assert (hidden.name, hidden.shape, hidden.activation) == ("0", (4, 2), "ReLU")
    assert hidden.dead == 0.5
    assert hidden.nan == 0.0
    values = torch.tensor([1, 3, 2, 0, 0.5, 0, 0, 0, 0, 0, 0, 0])
    assert hidden.mean == pytest.approx(float(values.mean()))
    assert hidden.spread == pytest.approx(float(values.std(correction=0)))
    assert hidden.saturated is None
    assert (last.name, last.activation, last.dead, last.saturated) == ("2", "", None, None)


def test_nan_units_are_counted_apart() -> None:
    """A comparison with NaN is false: such units are neither alive nor dead."""
    weight = [[math.nan, 0], [1, 0], [-1, 0], [-1, 0]]
    first = with_weights(nn.Linear(2, 4), weight, [0, 0, 0, 0])
    (state,) = layer_report(nn.Sequential(first, nn.ReLU()), X)
    assert (state.nan, state.dead) == (0.25, 0.5)
    assert state.mean == pytest.approx(6 / 9)  # of the other units
    everything = torch.full((3, 2), math.nan)
    (state,) = layer_report(nn.Sequential(first, nn.ReLU()), everything)
    assert (state.nan, state.dead) == (1.0, 0.0)
    assert math.isnan(state.mean)


def test_channels_are_the_units_of_a_convolution() -> None:
    conv = with_weights(nn.Conv2d(1, 3, 1), [1.0, -1.0, 1.0], [0.0, 0.0, -10.0])
    network = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    pictures = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    first, last = layer_report(network, pictures)
    assert first.dead == pytest.approx(2 / 3)
    assert first.mean == pytest.approx(float(pictures.mean()) / 3, rel=1e-5)  # before pooling
    pictures[4, 0, 3, 3] = 11.0  # one pixel of one picture wakes the third channel
    assert layer_report(network, pictures)[0].dead == pytest.approx(1 / 3)
    assert last.shape == (2, 12)


@pytest.mark.parametrize(
    ("activation", "inputs", "share"),
    [
        (nn.Tanh(), [0.0, 2.0, 5.0, -5.0], 0.5),  # tanh 2 = 0.964
        (nn.Sigmoid(), [0.0, 4.0, 5.0, -5.0], 0.5),  # σ(4) = 0.982, σ(5) = 0.993
        (nn.Hardtanh(), [0.5, 1.0, 7.0, -3.0], 0.75),
    ],
)
def test_saturated_by_hand(activation: nn.Module, inputs: list[float], share: float) -> None:
    network = nn.Sequential(with_weights(nn.Linear(1, 1), [[1.0]], [0.0]), activation)
    (state,) = layer_report(network, torch.tensor(inputs)[:, None])
    assert state.saturated == share
    assert state.dead is None


def test_a_silent_leaky_unit_counts() -> None:
    first = with_weights(nn.Linear(2, 2), [[-1, 0], [1, 0]], [0, 0])
    (state,) = layer_report(nn.Sequential(first, nn.LeakyReLU()), X)
    assert state.dead == 0.5
    assert state.mean == pytest.approx((6 - 0.06) / 6)


class Own(nn.Module):
    """Layers defined in another order than used, one of them twice, and an own non-linearity."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.twice = nn.Linear(4, 4)
        self.first = nn.Linear(2, 4)
        self.bend = Ramp()

    def forward(self, x: Tensor) -> Tensor:
        x = self.bend(self.first(x))
        x = self.bend(self.twice(x))
        return self.last(self.bend(self.twice(x)))  # type: ignore[no-any-return]


class Ramp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)


def test_any_module_in_order_of_execution() -> None:
    states = layer_report(Own(), X)
    assert [s.name for s in states] == ["first", "twice", "twice", "last"]
    assert [s.activation for s in states] == ["Ramp", "Ramp", "Ramp", ""]


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed(training: bool) -> None:
    network = Cnn((4,)).build((1, 6, 6), 3, 0.5).train(training)
    state = {n: v.clone() for n, v in network.state_dict().items()}
    stream = torch.get_rng_state()
    x = torch.randn(20, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 9 + 4
    first = layer_report(network, x)
    assert layer_report(network, x) == first  # dropout is off
    assert torch.equal(torch.get_rng_state(), stream)
    assert {m.training for m in network.modules()} == {training}
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert not any(m._forward_hooks for m in network.modules())


def test_the_mode_says_whose_statistics_batch_norm_uses() -> None:
    network = Mlp((200,)).build((3,), 2, 0.0)
    x = 100 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    spread = [layer_report(network.train(mode), x)[0].spread for mode in (True, False)]
    assert spread[0] == pytest.approx(math.sqrt(0.5 - 0.5 / math.pi), rel=0.05)  # of ReLU(N(0, 1))
    assert spread[1] > 10


# --- initialisations beside each other ---------------------------------------------------------


def rows(count: int = 300, features: int = 64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, features, generator=draw), torch.arange(count) % 10


def test_first_states_of_a_deep_network() -> None:
    x, labels = rows()
    inits = [Zero(), SmallRandom(), Uniform(), He(), Orthogonal(), Lsuv()]
    model = Mlp((64,) * 10, norm="none")
    found = {type(s.init): s for s in compare_inits(model, inits, x, labels, 10)}
    assert all(len(s.layers) == len(s.gradients) == 11 for s in found.values())
    assert found[Zero].loss == pytest.approx(math.log(10), rel=1e-6) == found[Zero].chance
    assert found[Zero].dead == 1.0
    assert set(found[Zero].gradients) == {0.0}
    assert found[SmallRandom].gain < 1e-8
    assert found[Uniform].gain > 1e4
    assert found[Uniform].loss > 1e4
    for cls in (He, Orthogonal, Lsuv):
        assert 0.2 < found[cls].gain < 5, cls
        assert found[cls].loss < 4, cls
        assert min(found[cls].gradients) > 1e-4, cls
    assert found[SmallRandom].dead == pytest.approx(found[He].dead, abs=0.3)


def test_dead_shares_do_not_depend_on_the_scale() -> None:
    """ReLU networks without biases are homogeneous: the same directions, the same dead units."""
    x, labels = rows()
    inits = [SmallRandom(0.01), SmallRandom(1.0)]
    small, large = compare_inits(Mlp((32,) * 4, norm="none"), inits, x.abs(), labels, 10)
    assert [s.dead for s in small.layers] == [s.dead for s in large.layers]


def test_the_same_seed_gives_the_same_numbers() -> None:
    x, labels = rows(50, 8)
    inits = [c() for c in members(Init)]
    state = torch.get_rng_state()
    one, two, other = (compare_inits(Mlp((16,)), inits, x, labels, 10, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert one == two
    assert one[3] != other[3]


def test_tables_for_people() -> None:
    x, labels = rows(50, 8)
    states = compare_inits(Mlp((16,)), [He(), Zero()], x, labels, 10)
    lines = as_markdown(states).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("|`He()`|")
    assert len({line.count("|") for line in lines}) == 1
    (linear,) = compare_inits(Linear(), [He()], x, labels, 10)
    assert "nan → nan" in as_markdown([linear])
    lines = layers_as_markdown(states[1].layers).splitlines()
    assert lines[2] == "|1|16 × 8|ReLU|0|0|100%|0%|–|"
    assert lines[3] == "|4|10 × 16|none|0|0|–|0%|–|"
