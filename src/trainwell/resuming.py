"""Going on with a run that was interrupted, killed or ended by its time budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trainwell.engine.distributed import joined, leave
from trainwell.errors import UserError
from trainwell.fitting import carry_out
from trainwell.request import load_request, named_code
from trainwell.run import Run, load_run
from trainwell.techniques.named import TRUST_IT


def resume(
    run: str | Path,
    *,
    source: Any = None,
    budget: str | float | None = None,
    jobs: int | str | None = None,
    trust: bool = False,
    quiet: bool = True,
) -> Run:
    """Go on with a run where it was left; the result has the same bits as without the break.

    source: the data again, where they were handed over in memory. budget: another time budget,
    all parts of the run together; jobs: another number of workers. trust: whether code that the
    run names may run (networks of one's own, Custom).
    A run that is complete is returned as it is. Raises UserError where there is nothing to go on
    with, or the data have changed.
    """
    with joined() as ranks:
        folder = Path(run)
        if is_complete(folder):
            leave(ranks)
            return load_run(folder)
        request = load_request(folder, source)
        code = None if trust else named_code(request)
        if code is not None:
            problem = f'the run names code that is not in its files, "{code}"'
            raise UserError(
                str(folder),
                problem,
                TRUST_IT,
            )
        request = dataclasses.replace(request, trust=True)
        if budget is not None:
            request = dataclasses.replace(request, budget=budget)
        if jobs is not None:
            request = dataclasses.replace(request, jobs=jobs)
        return carry_out(request, quiet, folder)


def is_complete(folder: Path) -> bool:
    """Whether there is nothing to go on with; raises UserError where there is no such folder."""
    if not folder.is_dir():
        raise UserError(str(folder), "there is no such run folder", "Name the folder of a run.")
    return (folder / "run.json").exists() and not (folder / "checkpoint").exists()
