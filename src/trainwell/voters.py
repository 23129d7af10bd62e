"""From the networks of a fit to those that it keeps: the vote, its files, and the student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainwell import model as models
from trainwell.distilling import distil
from trainwell.doctor.collect import collect, described
from trainwell.engine.threads import describe_size
from trainwell.judging import Outcome
from trainwell.kinds import Kind, built
from trainwell.recipe import to_toml
from trainwell.run import write_history, write_probes
from trainwell.training import Work
from trainwell.voting import Voting, vote


def voted(work: Work, folder: Path, outcome: Outcome, tried: Sequence[Kind]) -> Outcome:
    """The outcome with what is kept: an ensemble, the recipe's networks, or one student's.

    tried: kinds that a coach has trained. What is kept is saved at once.
    """
    usable = tuple(t for t in outcome.trained if t.best_epoch)
    own = Kind("recipe", "recipe", work.recipe, usable, tuple(work.inputs.layers))
    voting = vote(work, own, tried)
    ranges = outcome.whole.ranges  # of the training rows: the same for whatever is kept
    if voting.kept == "another kind":
        outcome = _replaced(work, folder, outcome, voting)
    outcome = replace(outcome, model=voting.model, voting=voting)
    if work.options.single and not work.interrupted:
        student = distil(work, voting)
        if student is not None:
            outcome = replace(outcome, model=student.model, student=student)
            work.warnings.append(
                "validation scores are those of the ensemble that the single network learned from"
            )
    outcome = replace(outcome, model=replace(outcome.model, ranges=ranges))
    models.save(outcome.model, folder / "model")
    return outcome


def _replaced(work: Work, folder: Path, outcome: Outcome, voting: Voting) -> Outcome:
    """The outcome with another kind as the run's recipe; the doctor looks at its curves then.

    Checks of the first recipe's network say nothing about the other; those of the data do.
    """
    kind = voting.candidates.kinds[voting.alone]
    work.recipe = kind.recipe
    work.parameters, work.operations = describe_size(*built(work, kind.recipe, kind.layers[0]))
    work.warnings.append(
        f"the kind of networks “{kind.name}” was shown to be better than the recipe that was "
        "planned, and took its place"
    )
    (folder / "recipe.toml").write_text(to_toml(kind.recipe), encoding="utf-8")
    write_history(folder / "history.csv", kind.history)
    write_probes(folder / "probes.csv", kind.probes)
    seen = described(collect(kind.trained, kind.history, kind.probes), work.data, work.split)
    checks = tuple(c for c in outcome.evidence.checks if c.code.startswith("D"))
    return replace(
        outcome,
        trained=kind.trained,
        history=kind.history,
        probes=kind.probes,
        whole=voting.model,
        evidence=replace(seen, checks=checks),
    )
