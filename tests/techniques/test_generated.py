"""Gan and Refine: what they make, and that worthless samples are recognised as such."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import clips, digits, pictures, table
from trainwell.data.dataset import Column, Feature, TableSchema
from trainwell.errors import DataError, UserError
from trainwell.techniques.augment.coding import PictureCoder, TableCoder
from trainwell.techniques.augment.gan import Plan, train_gan
from trainwell.techniques.augment.gan_networks import (
    PictureDiscriminator,
    PictureGenerator,
    TableDiscriminator,
    TableGenerator,
    disturbed,
)
from trainwell.techniques.augment.generated import Gan, Refine
from trainwell.techniques.augment.refiner import BATCH, BUFFER, _History, refine
from trainwell.techniques.augment.sample_checks import (
    Neighbours,
    Reference,
    SampleReport,
    cross_validated,
)
from trainwell.techniques.augment.samples import Rows, _passed
from trainwell.techniques.augment.simulator import ink_height, rendered_digits

QUICK = Plan(steps=150, latent=8, width=16, batch=16, lr=2e-3)


def rows_of(data: Any, count: int | None = None) -> Rows:
    return Rows(data.inputs[:count], data.labels[:count], data.schema, data.classes)


# ---- networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (1, 25, 25), (2, 64, 64), (1, 5, 9)])
def test_pictures_keep_their_size(shape: tuple[int, ...]) -> None:
    y = torch.tensor([0, 2, 1])
    made = PictureGenerator(shape, 3, 4, 16)(torch.randn(3, 4), y)
    assert made.shape == (3, *shape) and made.abs().max() <= 1
    assert PictureDiscriminator(shape, 3, 16)(made, y).shape == (3,)


def test_categories_of_made_rows_are_shares() -> None:
    y = torch.tensor([0, 1])
    made = TableGenerator(7, [(2, 4), (4, 7)], 2, 4, 8)(torch.randn(2, 4), y)
    torch.testing.assert_close(made[:, 2:4].sum(dim=1), torch.ones(2))
    torch.testing.assert_close(made[:, 4:].sum(dim=1), torch.ones(2))
    assert TableDiscriminator(7, 2, 8)(made, y).shape == (2,)


def test_weights_of_a_discriminator_have_spectral_norm_one() -> None:
    """Against the singular values of numpy."""
    torch.manual_seed(0)
    net = PictureDiscriminator((1, 8, 8), 3, 16)
    for _ in range(60):  # every step improves the estimate
        net(torch.randn(2, 1, 8, 8), torch.tensor([0, 1]))
    for layer in (*net.blocks, net.hidden, net.out, net.embedding):
        weight = layer.weight.detach().flatten(1).numpy()
        assert np.linalg.norm(weight, 2) == pytest.approx(1, abs=0.05)


def test_what_the_discriminator_sees_is_shifted_brightened_and_has_a_hole() -> None:
    x = torch.zeros(200, 1, 16, 16)
    x[:, 0, 8, 8] = 1.0
    x.requires_grad_()
    seen = disturbed(x, torch.Generator().manual_seed(0))
    seen.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and (x.grad != 0).any()
    levels = seen.detach().flatten(1).median(dim=1).values  # the brightness that was added
    assert -0.5 <= levels.min() < -0.4 and 0.4 < levels.max() <= 0.5
    bright = (seen.detach() - levels.view(-1, 1, 1, 1)) > 0.9
    places = bright[:, 0].nonzero()[:, 1:]
    assert places.min() >= 6 and places.max() <= 10  # up to an eighth of 16 pixels
    assert 0.6 < bright.flatten(1).any(dim=1).float().mean() < 0.99  # else in the hole
    assert len(torch.unique(places, dim=0)) > 15


# ---- the GAN --------------------------------------------------------------------------------


def test_gan_learns_the_classes_it_is_asked_for_and_repeats_itself() -> None:
    data = pictures(rows=90)
    x, y = PictureCoder().encode(data.inputs), torch.from_numpy(data.labels)
    one, again = (train_gan(x, y, 3, QUICK, seed=1) for _ in range(2))
    other = train_gan(x, y, 3, QUICK, seed=2)
    labels = torch.arange(3).repeat(50)
    made, same, else_ = (
        g.make(labels, torch.Generator().manual_seed(0)) for g in (one, again, other)
    )
    assert torch.equal(made, same) and not torch.equal(made, else_)
    judge = Reference(x.flatten(1).numpy(), data.labels, 3, 0)
    assert judge.right(made.flatten(1).numpy(), labels.numpy()).mean() > 0.9
    assert [step for step, _ in one.looks] == [37, 75, 112, 150]
    assert made[labels == 0].std(dim=0).mean() > 0.02  # not one picture again and again


def test_the_average_begins_at_the_first_weights() -> None:
    """After one step the averaged weights are those of the formula w̄ + (1 - 1/11) (w - w̄)."""
    data = table(rows=20)
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    small = Plan(steps=1, latent=4, width=8, batch=8, lr=1e-2)
    still = train_gan(x, y, 3, dataclasses.replace(small, lr=1e-12), seed=1)
    moved = train_gan(x, y, 3, small, seed=1)
    before, after = (
        torch.cat([p.detach().flatten() for p in g.network.parameters()]) for g in (still, moved)
    )
    # Adam's first step has the length of the rate in every weight that has a gradient.
    steps = (after - before).abs()
    assert steps.max().item() == pytest.approx(1e-2 * 10 / 11, rel=1e-3)


def test_gan_of_a_table_gives_rows_of_the_table() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    x = np.stack([y * 4 + rng.normal(size=150), y == 1, rng.integers(0, 9, 150)], axis=1)
    x[::7, 2] = np.nan
    schema = TableSchema(
        (Column("a", "number"), Column("b", "category", ("no", "yes")), Column("c", "number")), "y"
    )
    rows = Rows(x.astype(np.float32), y, schema, ("p", "q", "r"))
    found = Gan(ratio=2, steps=300).make(rows, seed=0)
    assert not found.report.refused and found.report.kept_by_class == (100, 100, 100)
    made = found.inputs
    assert made.dtype == np.float32 and np.isfinite(made).all()
    assert set(np.unique(made[:, 1])) == {0.0, 1.0}
    assert (made[:, 2] == made[:, 2].round()).all() and made[:, 2].min() >= 0
    assert ((made[:, 1] == 1) == (found.labels == 1)).mean() > 0.9
    means = [made[found.labels == c, 0].mean() for c in range(3)]
    assert np.allclose(means, [0, 4, 8], atol=1.2)


def test_gan_is_made_of_these_rows_and_seeds_alone() -> None:
    rows = rows_of(pictures(rows=60))
    quick = Gan(steps=60, width=16, agree=0.0)
    one, again, other = (quick.make(rows, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.inputs, again.inputs) and np.array_equal(one.labels, again.labels)
    assert one.inputs.dtype == np.uint8 and one.inputs.shape[1:] == (1, 8, 8)
    assert not np.array_equal(one.inputs, other.inputs)
    state = torch.random.get_rng_state()
    quick.make(rows, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sound_and_large_pictures_are_refused_with_words() -> None:
    assert "not offered for sound" in Gan().mistake(clips().schema)
    assert "not offered for sound" in Refine().mistake(clips().schema)
    assert "--image-size" in Gan().mistake(pictures(size=80).schema)
    assert "table" in Refine().mistake(table().schema)
    assert Gan().mistake(table().schema) == Gan().mistake(pictures().schema) == ""


# ---- checks, on samples whose worth is known -------------------------------------------------


@cache
def mixed_digits() -> Any:
    """The digits in random order: as they come, writer follows on writer."""
    data, order = digits(), np.random.default_rng(0).permutation(len(digits()))
    return dataclasses.replace(data, inputs=data.inputs[order], labels=data.labels[order])


def checked(draw: Any, count: int = 600) -> SampleReport:
    """The report on samples that `draw(labels, number)` gives, for real digits."""
    rows = rows_of(mixed_digits(), count)
    wanted = np.bincount(rows.labels, minlength=10)
    return _passed("Gan", rows, PictureCoder(), wanted, draw, 0.5, 0, ()).report


def flat(pictures: Any) -> Any:
    return PictureCoder().encode(pictures).flatten(1).numpy()


def drawn_from(x: Any, y: Any) -> Any:
    """Draws rows of the class that is asked for, from these."""
    rng = np.random.default_rng(0)
    return lambda labels, number: flat(
        np.stack([x[rng.choice(np.flatnonzero(y == c))] for c in labels])
    )


def test_fresh_real_rows_pass_every_check() -> None:
    data = mixed_digits()
    report = checked(drawn_from(data.inputs[600:], data.labels[600:]))
    assert report.refused == "" and report.kept == 600
    assert report.doubted < 0.1 * report.drawn and report.copies < 0.05 * report.drawn
    assert report.nearest_made.median == pytest.approx(report.nearest_real.median, rel=0.1)
    assert report.taught > report.known - 0.05


def test_copies_of_training_rows_are_recognised() -> None:
    data = mixed_digits()
    report = checked(drawn_from(data.inputs[:600], data.labels[:600]))
    assert report.kept == 0 and report.copies + report.doubted == report.drawn
    assert "nearly copies" in report.refused


def test_samples_with_wrong_labels_are_refused() -> None:
    data = mixed_digits()
    report = checked(drawn_from(data.inputs[600:], (data.labels[600:] + 1) % 10))
    assert report.doubted > 0.95 * report.drawn and "doubtful label" in report.refused


def test_noise_is_refused_though_some_of_it_passes() -> None:
    """Of noise, too, some looks like its label; what is kept of it would even teach something."""
    rng = np.random.default_rng(1)

    def draw(labels: Any, number: int) -> Any:
        return flat(rng.integers(0, 256, (len(labels), 1, 8, 8)).astype(np.uint8))

    report = checked(draw)
    assert report.kept > 100
    assert "shows its label" in report.refused or "doubtful label" in report.refused


def test_samples_that_have_collapsed_are_refused() -> None:
    """Of each class one picture again and again, each with the label of its class, but nearly all
    of the classes that the samples show are one: little can be learned from them."""
    data = mixed_digits()
    rows = rows_of(data, 600)
    wanted = np.zeros(10, np.int64)
    wanted[3] = 600
    draw = drawn_from(data.inputs[600:], data.labels[600:])
    report = _passed("Gan", rows, PictureCoder(), wanted, draw, 0.5, 0, ()).report
    assert report.kept == 600 and report.taught < 0.2 < 0.8 < report.known
    assert "a classifier trained on them alone" in report.refused


def test_distances_between_real_rows_are_those_to_others() -> None:
    x = np.array([[0.0], [1.0], [1.5], [9.0]])
    near = Neighbours(x)
    assert near.between.tolist() == [1.0, 0.5, 0.5, 7.5]
    distance, place = near.nearest(np.array([[0.1], [8.0]]))
    assert np.allclose(distance, [0.1, 1.0]) and place.tolist() == [0, 3]
    assert Neighbours(x[:1]).copy_distance == 0.0


def test_reference_of_few_and_missing_classes() -> None:
    x = np.linspace(-1, 1, 40)[:, None].repeat(3, axis=1)
    y = np.where(x[:, 0] > 0, 2, 0)
    judge = Reference(x, y, 4, seed=0)
    chances = judge.probabilities(x)
    assert chances.shape == (40, 4) and np.allclose(chances.sum(axis=1), 1)
    assert (chances[:, [1, 3]] == 0).all() and judge.right(x, y).mean() > 0.95
    only = Reference(x, np.full(40, 3), 4, seed=0).probabilities(x)
    assert (only == [0, 0, 0, 1]).all()
    assert judge.probabilities(x[:0]).shape == (0, 4)
    assert cross_validated(x, y, 4, seed=0) > 0.85


def test_held_out_scores_compare_samples_with_real_rows() -> None:
    data, rows = mixed_digits(), rows_of(mixed_digits(), 400)
    found = dataclasses.replace(Gan(), steps=60, agree=0.0).make(rows, seed=0)
    judged = dataclasses.replace(
        found, inputs=data.inputs[400:800], labels=data.labels[400:800]
    ).judged(rows, data.inputs[800:1300], data.labels[800:1300], seed=0)
    report = judged.report
    assert report.tstr is not None and report.trtr is not None and report.gap is not None
    assert report.tstr.value > 0.85 and abs(report.gap.value) < 0.05
    assert report.gap.value == pytest.approx(report.tstr.value - report.trtr.value)
    assert report.gap.low <= report.gap.value <= report.gap.high
    again = SampleReport.from_json(report.to_json())
    assert again == report


# ---- coding ---------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(0, 10**6))
def test_rows_of_a_table_come_back_as_they_were(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.stack(
        [
            rng.normal(size=count) * 100 - 7,
            rng.integers(0, 3, count),
            rng.integers(-5, 5, count),
            np.full(count, 4.0),
        ],
        axis=1,
    )
    features = (Feature("a"), Feature("b", ("u", "v", "w")), Feature("c"), Feature("d"))
    coder = TableCoder.fit(x, features, np.dtype(np.float64))
    encoded = coder.encode(x)
    assert encoded.shape == (count, 6) and coder.blocks == ((3, 6),)
    np.testing.assert_allclose(coder.decode(encoded), x, rtol=1e-4, atol=1e-3)
    holes = x.copy()
    holes[0] = np.nan
    filled = coder.decode(coder.encode(holes))
    usual = np.bincount(x[:, 1].astype(int)).argmax()
    assert filled[0, 1] == usual and np.isfinite(filled).all()


# ---- refine ---------------------------------------------------------------------------------


def test_refined_pictures_move_towards_real_ones_and_keep_their_shape() -> None:
    """The simulator draws dim squares; real ones are bright. What is where stays."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 2, 200)

    def squares(level: int) -> Any:
        x = rng.integers(0, 20, (200, 1, 12, 12))
        for i, side in enumerate(place):
            x[i, :, 3:8, 1 + 5 * side : 6 + 5 * side] += level
        return x.astype(np.uint8)

    simulated, real = squares(110), squares(230)
    found, again = (refine(simulated, real, 3, steps=60, keep=0.1) for _ in range(2))
    assert np.array_equal(found.pictures, again.pictures)
    assert found.pictures.shape == simulated.shape and found.pictures.dtype == np.uint8
    before, after, goal = (p.max(axis=(1, 2, 3)).mean() for p in (simulated, found.pictures, real))
    assert before < 140 and after > before + 0.6 * (goal - before)
    left = found.pictures[:, :, :, :6].mean(axis=(1, 2, 3))
    right = found.pictures[:, :, :, 6:].mean(axis=(1, 2, 3))
    assert ((right > left) == (place == 1)).mean() > 0.95
    assert [step for step, _ in found.looks] == [0, 15, 30, 45, 60]


def test_strong_self_regularisation_changes_little() -> None:
    x = digits().inputs[:200]
    found = refine(x, digits().inputs[200:400], 0, steps=60, keep=1000.0)
    assert np.abs(found.pictures.astype(int) - x).mean() < 12


def test_half_of_a_batch_comes_from_the_history() -> None:
    history = _History(torch.Generator().manual_seed(0))
    batches = [torch.full((BATCH, 1), float(i)) for i in range(200)]
    mixed = [history.mixed(b) for b in batches]
    assert torch.equal(mixed[0], batches[0])  # nothing to remember yet
    for number, found in enumerate(mixed[1:], start=1):
        assert (found[: BATCH // 2] == number).all()
        assert (found[BATCH // 2 :] < number).all()
    assert history.held is not None and BUFFER <= len(history.held) < BUFFER + BATCH
    assert len(mixed[-1].unique()) > 10 and history.held.min() < 150  # old ones are remembered


def test_rendered_digits_can_be_read_and_are_as_high_as_asked() -> None:
    labels = np.arange(600) % 10
    x = rendered_digits(labels, 1, 28, 28, seed=0, fill=0.7)
    assert x.shape == (600, 1, 28, 28) and x.dtype == np.uint8
    assert np.array_equal(x, rendered_digits(labels, 1, 28, 28, seed=0, fill=0.7))
    judge = Reference(flat(x[:300]), labels[:300], 10, 0)
    assert judge.right(flat(x[300:]), labels[300:]).mean() > 0.9
    assert ink_height(x) == pytest.approx(0.7, abs=0.1)
    assert ink_height(digits().inputs) == 1.0
    assert ink_height(np.zeros((3, 1, 8, 8), np.uint8)) == 0.75


def test_refine_adds_pictures_of_a_file_with_their_labels(tmp_path: Any) -> None:
    data, rows = digits(), rows_of(digits(), 300)
    np.savez(tmp_path / "sim.npz", X=data.inputs[300:900], y=data.labels[300:900])
    np.savez(tmp_path / "real.npz", X=data.inputs[900:1200], y=data.labels[900:1200])
    maker = Refine(
        simulated=str(tmp_path / "sim.npz"), real=str(tmp_path / "real.npz"), steps=20, keep=30.0
    )
    found = maker.make(rows, seed=0)
    assert not found.report.refused and 200 < len(found.labels) <= 300
    assert found.inputs.shape == (len(found.labels), 1, 8, 8)
    judge = Reference(flat(data.inputs[:900]), data.labels[:900], 10, 0)
    assert judge.right(flat(found.inputs), found.labels).mean() > 0.9


def test_refine_says_what_is_wrong_with_simulated_pictures(tmp_path: Any) -> None:
    rows = rows_of(digits(), 100)
    np.savez(tmp_path / "sim.npz", X=rows.inputs, y=np.array(["7", "x"] * 50))
    with pytest.raises(UserError, match='"x" is no class of the data'):
        Refine(simulated=str(tmp_path / "sim.npz")).make(rows, seed=0)
    with pytest.raises(UserError, match="the data have other classes"):
        Refine().make(rows_of(pictures()), seed=0)
    with pytest.raises(DataError, match="nowhere"):
        Refine(simulated=str(tmp_path / "nowhere.npz")).make(rows, seed=0)
    np.savez(tmp_path / "large.npz", X=np.zeros((9, 1, 16, 16), np.uint8), y=np.arange(9))
    with pytest.raises(DataError):
        Refine(simulated=str(tmp_path / "large.npz")).make(rows, seed=0)
