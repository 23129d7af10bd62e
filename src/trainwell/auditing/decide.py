"""The verdict on an augmentation: a pure function of the evidence, thresholds in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trainwell.auditing.labels import Labels
from trainwell.auditing.likeness import TwoSample, leaking
from trainwell.stats import Interval
from trainwell.verdict import Comparison

Word = Literal["helps", "useless", "harmful", "breaks labels", "leaks", "not shown"]

BROKEN = 0.02  # share of labels that may break, by the lower end of its interval,
BROKEN_CLASS = 0.05  # and in the worst class
FORGIVEN = 0.25  # of the error of the reference on clean rows, on top of both
UNCHANGED = 0.01  # standard deviations: rows that move less are the same rows
COPIED = 0.95  # share of extra rows that are training rows: nothing new


@dataclass(frozen=True)
class Evidence:
    """What was measured of one augmentation at one strength; None: not measured.

    gain: accuracy with it minus without, paired, and what may be said of it. labels: see labels.py.
    moved: standard deviations by which rows move. copied: share of extra rows that are training
    rows. likeness, coverage, realism: see likeness.py. near_held, near_train: shares of held-out
    rows with a near copy among extra rows, and among training rows. elsewhere: the gain on shifted
    hold-outs of other kinds, the mean over them.
    """

    gain: Comparison | None = None
    labels: Labels | None = None
    moved: float | None = None
    copied: float | None = None
    likeness: TwoSample | None = None
    coverage: Interval | None = None
    realism: Interval | None = None
    near_held: Interval | None = None
    near_train: Interval | None = None
    elsewhere: Interval | None = None
    diversity: float | None = None

    @property
    def leaks(self) -> bool:
        """Whether extra rows are near copies of held-out rows."""
        if self.near_held is None or self.near_train is None:
            return False
        return leaking(self.near_held, self.near_train)

    @property
    def breaks(self) -> bool:
        """Whether more labels break than may."""
        return self.labels is not None and labels_break(self.labels)

    def to_json(self) -> dict[str, Any]:
        """By name; shares and intervals as numbers."""
        labels, likeness = self.labels, self.likeness
        return {
            "gain": None if self.gain is None else self.gain.difference.to_json(),
            "p": None if self.gain is None else self.gain.p,
            "affinity": None if labels is None else labels.affinity.to_json(),
            "diversity": self.diversity,
            "label_agreement": None if labels is None else labels.kept.to_json(),
            "worst_class": None
            if labels is None or labels.worst is None
            else {
                "class": labels.worst[0],
                "becomes": labels.worst[1],
                "share": labels.worst[2].to_json(),
            },
            "told_apart": None if likeness is None else likeness.accuracy.to_json(),
            "told_apart_p": None if likeness is None else likeness.p,
            "coverage": _json(self.coverage),
            "realism": _json(self.realism),
            "moved": self.moved,
            "copied": self.copied,
            "near_held_out": _json(self.near_held),
            "gain_elsewhere": _json(self.elsewhere),
        }


def _json(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else interval.to_json()


@dataclass(frozen=True)
class Verdict:
    """The word, and one or two sentences that say why."""

    word: Word
    words: str


def labels_break(labels: Labels) -> bool:
    """Whether shown that more than BROKEN of all labels, or BROKEN_CLASS of a class, break.

    Both rise by a quarter of the share of clean held-out rows on which the reference errs: a weak
    judge errs more where it is unsure.
    """
    most = FORGIVEN * (1 - labels.clean_accuracy)
    if labels.broken.low > BROKEN + most:
        return True
    return labels.worst is not None and labels.worst[2].low > BROKEN_CLASS + most


def decide(e: Evidence, classes: tuple[str, ...] = ()) -> Verdict:
    """What may be said, causes before symptoms.

    1. leaks: extra rows hold near copies of held-out rows; any gain is that of knowing the answers.
    2. breaks labels: rows become good examples of other classes, and no gain is shown. (Where a
       gain is shown in spite of it, it helps, and the words say what breaks.)
    3. useless: nothing changes (rows move less than UNCHANGED deviations, or extra rows are
       training rows), or the whole interval of the gain lies within half a point of zero.
    4. helps, harmful: the interval of the gain leaves zero out and the sign-flip p, adjusted for
       all augmentations that were audited, is at most 0.05.
    5. not shown: anything else; it does not say that nothing is there.
    """
    word = None if e.gain is None else e.gain.verdict
    gain = "" if e.gain is None else e.gain.words
    if e.leaks:
        assert e.near_held is not None
        share = f"{e.near_held.value:.0%}"
        return Verdict("leaks", f"{share} of the held-out rows have a near copy among its samples")
    if e.breaks and word != "better":
        return Verdict(
            "breaks labels", f"{broken_words(e.labels, classes)}; {gain or 'not trained'}"
        )
    if e.moved is not None and e.moved < UNCHANGED:
        far = f"rows move by {e.moved:.1g} standard deviations"
        return Verdict("useless", f"it changes nothing: {far}")
    if e.copied is not None and e.copied > COPIED and word not in ("better", "worse"):
        return Verdict("useless", f"nothing new: {e.copied:.0%} of its samples are training rows")
    if word == "no difference that matters":
        return Verdict("useless", gain)
    if word == "better":
        also = f"; but {broken_words(e.labels, classes)}" if e.breaks else ""
        return Verdict("helps", gain + also + _elsewhere(e))
    if word == "worse":
        return Verdict("harmful", gain)
    return Verdict("not shown", gain or "not trained")


def broken_words(labels: Labels | None, classes: tuple[str, ...]) -> str:
    """Which labels break, in words."""
    assert labels is not None
    text = f"{labels.broken.value:.1%} of the augmented rows turn into another class"
    if labels.worst is not None and labels.worst[2].low > BROKEN_CLASS:
        one, other, share = labels.worst
        names = [classes[c] if classes else str(c) for c in (one, other)]
        text += f', {share.value:.0%} of "{names[0]}", most into "{names[1]}"'
    return text


def _elsewhere(e: Evidence) -> str:
    """Whether a gain holds away from the held-out rows."""
    if e.elsewhere is None:
        return ""
    if e.elsewhere.high < 0:
        return "; on shifted rows it loses: the gain is one of nearness to these data"
    if e.elsewhere.low > 0:
        return "; the gain holds on shifted rows of other kinds"
    return ""
