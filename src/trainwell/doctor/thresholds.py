"""Every threshold of the rules over a training, in one value.

They were chosen on one half of the trainings of benchmarks/doctor and are reported on the other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Numbers that decide when a rule speaks; all are shares or ratios, none an accuracy.

    "Chance" below is the log loss of a guess from the class frequencies, ln C where they are equal.
    """

    # How much agreement is asked for.
    confidence: float = 0.95  # of intervals over members and over runs of a race
    agree: float = 0.6  # share of members in which a symptom must be seen
    tail: float = 0.2  # share of a training, at its end, over which "the end" is averaged

    # Whether anything was learned; train loss of the end over chance.
    above_chance: float = 1.05  # more than this is worse than a guess
    stuck: float = 0.9  # at least this has learned (almost) nothing
    pinned: float = 0.03  # within this share of chance, a loss is that of the labels' frequencies
    learned: float = 0.5  # below this, training works: gradients and units are no one's business
    poor: float = 0.3  # best validation loss over chance from which on a fault at the start costs
    perfect: float = 0.05  # below this, training data are learned: validation decides

    # R02, R03, R14: the learning rate.
    linear_share: float = 0.57  # share of the whole fall in the first quarter of summed rates; less
    # is a curve that is still (nearly) a straight line, which has 0.25
    slow_start: float = 0.2  # even less: it hardly fell at first, which is no matter of the rate
    linear_late: float = 0.08  # share of the fall in the last quarter: it has not settled
    linear_level: float = 0.12  # a straight line matters while loss is above this × chance
    few_rises: float = 0.1  # share of rises of a loss that falls all the way
    suspect_share: float = 0.7  # below this share a race should settle whether the rate is low
    rises: float = 0.3  # share of rises after the first epochs; more looks like a high rate
    flat_tail: float = 0.3  # relative fall over the last half; less, with rises: high rate
    rebound: float = 1.3  # loss of the end over its running minimum; more went up again
    rebound_floor: float = 0.1  # ... and by this share of chance at least
    update_high: float = 0.1  # norm of an update over that of its weights, per step
    update_low: float = 1e-5  # below it in every layer weights do not move
    decay_done: float = 0.01  # a rate below this share of its peak has been annealed away
    decay_early: float = 0.8  # ... before this share of the training
    decay_falling: float = 0.01  # relative fall of the loss per epoch as the rate faded
    climb: float = 1.5  # growth of the loss from the first point to the second that is a climb
    climb_update: float = 0.05  # ... with steps at the first point below this share of the weights
    race_gain: float = 0.02  # accuracy gained by an arm of a race that makes it matter
    race_loss: float = 0.1  # or share of the validation loss
    race_fault: float = 0.05  # accuracy gained that makes the rate a fault
    race_runs: int = 3  # paired runs at least
    race_share: float = 0.6  # of the largest gain of an arm; who gained less saw a symptom of it

    few_steps: int = 200  # of a training whose points are steps; fewer are only its beginning
    few_epochs: int = 3  # ... or fewer epochs than this, where their length is known

    # R04, R05, R06, R07, R13 and initial weights: signals between layers.
    vanished: float = 1e-3  # gradient of the first over that of the last layer
    spike: float = 20.0  # gradient norm over its running median
    spikes: int = 2  # so many epochs with one
    growth: float = 10.0  # gradient growth from layer to layer, backwards
    dead: float = 0.4  # share of silent units of a layer
    dead_rise: float = 0.2  # ... and more than at the start by this
    dead_all: float = 0.95  # nothing passes a layer as silent as this
    saturated: float = 0.5  # share of units at an end of their range
    deep: int = 10  # weight layers without normalisation that are many
    shrink: float = 0.5  # spread of activations per layer at the start; below it signals fade
    faint: float = 1e-3  # spread of a layer's activations at the start that is as good as none
    grow: float = 2.0  # above it they blow up
    two_ends: float = 0.8  # spread of tanh or sigmoid units at the start over the largest possible
    first_loss: float = 1.5  # loss of the first epoch over chance; more is far too much

    # R08, R09, R10, R11: shape of the end.
    turns: float = 0.5  # share of steps at which the direction changes
    swing: float = 3.0  # spread around the trend over sampling noise
    swing_share: float = 0.15  # ... and over the loss itself
    swing_level: float = 0.1  # ... and over chance
    calm: float = 0.7  # late over early spread; below it swings die down by themselves
    slope_t: float = 2.0  # Student's t of a slope that is one
    plateau_level: float = 0.1  # a plateau below this × chance needs no mending
    brief: int = 4  # epochs up to which the last one stands for the last fifth
    brief_fall: float = 0.1  # ... and must take away this share of the validation loss
    still_falling: float = 0.05  # share of validation loss lost in the last fifth of training
    best_early: float = 0.6  # best epoch before this share of the training: too long
    overtrained: float = 0.03  # rise of validation loss since, at least

    # R12: numbers of optimisers.
    momentum_noisy: float = 0.9  # with batches of at most `batch_tiny`
    batch_tiny: int = 2
    eps_low: float = 1e-12
    eps_high: float = 1e-2

    # F01, F02, F03: the gap.
    gap: float = 0.02  # accuracy between training and validation that is one
    gap_share: float = 0.2  # ... or this share of the validation error, whichever is larger
    gap_large: float = 0.05  # a gap that costs
    loss_rise: float = 0.12  # share by which validation loss rose since its minimum
    rise_errors: float = 2.0  # ... in standard errors
    no_gap: float = 0.02  # a gap below this is none
    reach: float = 0.02  # accuracy by which a simple model or a race arm does better
    over_level: float = 0.2  # training loss over chance from which on regularisation holds back
    dropout_strong: float = 0.6
    l2_strong: float = 0.01
    too_good: float = 0.05  # validation above training accuracy
    almost_all: float = 0.995  # validation accuracy that is suspicious where a linear model is ...
    linear_weak: float = 0.9  # ... below this

    # F04, F05, F07, F10, D10: what came out.
    one_class: float = 0.95  # share of the most predicted class
    all_one_class: float = 0.999  # ... whatever the loss says
    memorised: float = 0.8  # training loss over chance below which rows are learned by heart
    recall_share: float = 0.5  # of the mean recall; a class below it is ignored
    imbalance: float = 3.0  # largest over smallest class
    half_width: float = 0.05  # of the interval of accuracy; wider decides nothing
    ensemble: float = 0.005  # accuracy by which members together beat one


THRESHOLDS = Thresholds()
