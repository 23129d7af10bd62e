"""What may be tried next: from findings and a recipe to recipes with one change, causes first.

Slides: "Performance plot" (a big gap: more regularisation; no gap: more capacity), "Learning rate"
(factors 2 and 5, annealing), "Data augmentation", "Class imbalance" and the others in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

from trainwell.coach import changes
from trainwell.coach.changes import Candidate
from trainwell.data.dataset import Schema
from trainwell.doctor.finding import Finding
from trainwell.errors import RecipeError
from trainwell.recipe import Recipe, edit, starting_recipe
from trainwell.recipe_check import check_against
from trainwell.techniques.regularize import L2

GAP_CODES = ("F01", "R11")  # more regularisation
CAPACITY_CODES = ("F02", "N08")  # more capacity
LESS_CODES = ("F03", "N07")  # less regularisation
LENGTH_CODES = ("R10", "R14")  # longer
RATE_CODES = ("R01", "R02", "R03", "R05")
IMBALANCE_CODES = ("D08", "F05")
START_CODES = ("R04", "R06", "R07", "R13", "I01", "I02", "I03", "I04", "I05", "F04", "N05", "N06")
SOME_ROWS = 1000  # where their number is not given
POOR = 0.1  # training error from which on more than a single change may be wanted


def candidates(
    findings: Sequence[Finding],
    recipe: Recipe,
    schema: Schema,
    gap: float,
    error: float,
    rows: int = SOME_ROWS,
) -> list[Candidate]:
    """Everything worth trying, in the order in which it should be tried.

    First the remedies of findings, in their order (causes before symptoms, the lecture's order
    within one). Then, since a silent doctor is no proof that nothing helps, the lecture's usual
    advice: with a gap more regularisation and augmentation, without one more capacity.

    gap: training minus validation accuracy; error: training error, both shares. rows: that train,
    which say what is usual. Recipes that do not suit the data, or are the same as an earlier one,
    are left out.
    """
    usual = starting_recipe(schema, rows)
    wanted = [
        *_from_findings(findings, recipe, usual),
        *_usual(recipe, schema, gap, error, usual),
    ]
    seen = {recipe}
    found = []
    for candidate in wanted:
        same = replace(candidate.recipe, lr=recipe.lr) == recipe
        if candidate.recipe in seen or (same and candidate.because not in (*RATE_CODES, "rate")):
            continue
        seen.add(candidate.recipe)
        try:
            check_against(candidate.recipe, schema)
        except RecipeError:
            continue
        found.append(candidate)
    return found


def _from_findings(
    findings: Sequence[Finding], recipe: Recipe, usual: Recipe
) -> Iterator[Candidate]:
    for finding in findings:
        for remedy in finding.remedies:
            if remedy.settings:
                try:
                    changed = edit(recipe, dict(remedy.settings), finding.code)
                except RecipeError:
                    continue
                yield Candidate(remedy.says, _freed(changed, recipe), finding.code)
        if finding.code in CAPACITY_CODES:
            yield from changes.usual_network(recipe, finding.code, usual)
        for make in _by_code(finding.code):
            yield from make(recipe, finding.code)


def _freed(changed: Recipe, before: Recipe) -> Recipe:
    """The recipe as it is tried: every arm but one that changes the rate itself tunes its own."""
    return changed if changed.lr != before.lr else replace(changed, lr=None)


Maker = Callable[[Recipe, str], Iterator[Candidate]]


def _by_code(code: str) -> tuple[Maker, ...]:
    """Makers of candidates for codes whose remedies are a family rather than one setting."""
    if code in GAP_CODES:
        return (changes.stronger_regularisation, changes.smaller)
    if code in CAPACITY_CODES:
        return (changes.larger, changes.longer, changes.weaker_regularisation)
    if code in LESS_CODES:
        return (changes.weaker_regularisation,)
    if code == "R14":
        return (changes.annealed_anew, changes.longer)
    if code in LENGTH_CODES:
        return (changes.longer,)
    if code == "D14":
        return (changes.plain,)
    if code in IMBALANCE_CODES:
        return (changes.balanced,)
    if code in RATE_CODES:
        return (changes.other_rates,)
    if code in START_CODES:
        return (changes.sound_start,)
    if code in ("D01", "D02"):
        return (changes.scaled,)
    if code in ("R08", "R09"):
        return (changes.annealed, changes.larger_batches)
    if code in ("R12",):
        return (changes.other_optimizer,)
    return ()


def _usual(
    recipe: Recipe, schema: Schema, gap: float, error: float, usual: Recipe
) -> Iterator[Candidate]:
    """The lecture's advice by the gap, for a training without (further) findings.

    The learning rate is cleared first: one that is a little off hides behind every other change,
    since each candidate tunes its own. Then what is unusual.
    """
    if gap > 0.005 or error > 0.005:
        yield from changes.other_rates(recipe, "rate")
    yield from changes.back_to_the_usual(recipe, "unusual", usual)
    yield from changes.plain(recipe, "unusual")
    yield from changes.annealed(recipe, "rate")
    if error > POOR:
        yield from changes.usual_network(recipe, "no gap", usual)
        yield from changes.begin_anew(recipe, "no gap", usual)
        yield from changes.sound_start(recipe, "no gap")
    if error > 0.005 and (recipe.dropout >= 0.5 or recipe.penalty(L2) >= 1e-2):
        yield from changes.weaker_regularisation(recipe, "no gap")
    if gap > 0.005:
        yield from changes.augmented(recipe, "gap", schema)
        yield from changes.stronger_regularisation(recipe, "gap")
    if error > 0.005:
        yield from changes.larger(recipe, "no gap")
        yield from changes.longer(recipe, "no gap", usual)
        yield from changes.weaker_regularisation(recipe, "no gap")
    yield from changes.other_optimizer(recipe, "usual")
    if schema.kind == "table":
        yield from changes.scaled(recipe, "usual")


def difference(before: Recipe, after: Recipe) -> dict[str, str]:
    """The fields in which a recipe differs, as text.

    >>> difference(Recipe(), Recipe(epochs=5))
    {'epochs': '5'}
    """
    return {
        f.name: repr(getattr(after, f.name))
        for f in fields(Recipe)
        if getattr(after, f.name) != getattr(before, f.name)
    }
