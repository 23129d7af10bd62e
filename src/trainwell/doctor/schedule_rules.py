"""Rules about the schedule of rates and the optimiser's numbers: R12, R14."""

from __future__ import annotations

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding, Measure, Remedy, Where
from trainwell.doctor.thresholds import Thresholds


def schedule_collapsed(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R14: the rate was annealed to nothing while the loss was still falling.

    What it sees: a rate below `decay_done` of its peak before `decay_early` of the training, with
    a loss that was falling then and has not gone far below chance.
    Why it matters: the rest of the training changes nothing.
    Evidence: place of the collapse; relative fall per point just before it; loss over chance.
    When it is wrong: never for the loss's sake where training data are learned already.
    Remedies: a longer schedule, cosine, or divide less often.
    Slide: "Learning rate" (ways to anneal).
    """
    place = reading.annealed_at(evidence, limits)
    levels, loss = reading.level(evidence, limits), reading.trend(evidence, "train_loss")
    if place is None or not reading.is_annealed_early(evidence, limits):
        return None
    mask = levels >= limits.linear_level
    over = series.over_members(levels[mask], limits.confidence)
    if over is None or not series.most(mask, limits.agree):
        return None
    return Finding(
        "R14",
        "schedule-collapsed",
        "fault" if over.value >= limits.learned else "warning",
        0.85,
        f"The learning rate fell below {reading.percent(limits.decay_done)} of its peak at "
        f"{reading.when(evidence, place)} of {len(evidence.points)}, while the training loss was "
        f"still falling; it stayed at {reading.percent(over.value)} of what a guess costs.",
        (
            Measure("annealed_after", (place + 1) / loss.shape[1], threshold=limits.decay_early),
            Measure("loss_over_chance", over.value, threshold=limits.linear_level),
        ),
        (
            Remedy("anneal over the whole training", (("schedule", "Cosine(warmup=0.05)"),)),
            Remedy("divide the rate by 2 every 5 epochs", (("schedule", "StepDecay(every=5)"),)),
        ),
        Where("loss", (float(evidence.points[place]), float(evidence.points[-1]))),
        "Learning rate",
    )


def optimiser_settings(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R12: numbers of the optimiser far from what is usual.

    What it sees: momentum of 0.9 and more with batches of one or two rows, or an epsilon so small
    that it rounds away or so large that adaptive rates no longer adapt.
    Why it matters: noise of single rows is carried on for many steps; or Adam becomes momentum.
    Evidence: the settings; a warning only where a race with usual numbers ("optimiser") wins.
    When it is wrong: a large epsilon is usual for some large convolutional networks.
    Remedies: Adam with its defaults, then AdaDelta, then Nesterov's momentum.
    Slide: "Adaptive learning rate".
    """
    setup, odd = evidence.setup, []
    if (setup.momentum or 0) >= limits.momentum_noisy and (
        setup.batch_size is not None and setup.batch_size <= limits.batch_tiny
    ):
        odd.append(f"momentum {setup.momentum:g} with {setup.batch_size} rows per step")
    if setup.eps is not None and not limits.eps_low <= setup.eps < limits.eps_high:
        odd.append(f"an epsilon of {setup.eps:g}")
    if not odd:
        return None
    against = reading.duel(evidence, "optimiser", limits)
    worse = against is not None and against.wins(limits)
    return Finding(
        "R12",
        "unusual-optimiser-settings",
        "warning" if worse else "note",
        0.9 if worse else 0.5,
        f"The optimiser works with {' and '.join(odd)}"
        + (
            f"; usual numbers gained {reading.points(against.accuracy.value)} in a race."
            if worse and against
            else ", which is far from usual."
        ),
        (),
        (
            Remedy("Adam with its defaults", (("optimizer", "Adam()"),)),
            Remedy("AdaDelta", (("optimizer", "AdaDelta()"), ("lr", "1.0"))),
            Remedy("Nesterov's momentum", (("optimizer", "Nesterov()"),)),
        ),
        slide="Adaptive learning rate",
    )
