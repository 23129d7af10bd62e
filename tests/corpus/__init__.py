"""Bad and odd inputs as data: what is made, what is run on it, and how it must end.

A case ends in one of three ways. "error": exit code 2 and a message that names the place. "skip":
the work is done without the file, which is listed with the reason. "fine": the work is done, and
`seen` asserts that the right thing was read. Never a traceback, never another exit code.
"""

from corpus import arrays, folders, logs, models, pictures, recipes, sounds, tables
from corpus.case import Case, Ended, carry_out

FAMILIES = {
    "tables": tables.CASES,
    "arrays": arrays.CASES,
    "pictures": pictures.CASES,
    "sounds": sounds.CASES,
    "folders": folders.CASES,
    "recipes": recipes.CASES,
    "models": models.CASES,
    "logs": logs.CASES,
}
CASES = [case for cases in FAMILIES.values() for case in cases]

__all__ = ["CASES", "FAMILIES", "Case", "Ended", "carry_out"]
