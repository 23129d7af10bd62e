"""Who computes: this process, processes of this machine, or those of a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainwell.errors import UserError

MOST = 10_000  # workers


@dataclass(frozen=True)
class Workers:
    """Workers that were asked for.

    where: "here" are processes of this machine, "ray" is a Ray cluster, "joblib" the cluster of
    joblib's current backend (Dask). count: at most; None: as many as the cluster has.
    """

    where: Literal["here", "ray", "joblib"]
    count: int | None

    def __str__(self) -> str:
        count = "" if self.count is None else f":{self.count}"
        return str(self.count) if self.where == "here" else f"{self.where}{count}"


def parse_jobs(jobs: int | str | None) -> Workers | None:
    """What --jobs says; None: nobody asked for anything.

    Raises UserError for anything but a number from 1 up, "ray" and "ray:N".

    >>> parse_jobs(2), parse_jobs("ray:8")
    (Workers(where='here', count=2), Workers(where='ray', count=8))
    """
    if jobs is None:
        return None
    words = str(jobs).strip()
    where, colon, number = words.partition(":") if words.startswith("ray") else ("here", ":", words)
    if where == "ray" and not colon:
        return Workers("ray", None)
    if where in ("ray", "here") and number.isascii() and number.isdigit():
        count = int(number)
        if 1 <= count <= MOST:
            return Workers("ray" if where == "ray" else "here", count)
    problem = f"expected a whole number from 1 up, ray, or ray:N, got {words}"
    raise UserError("--jobs", problem)


def find_workers(jobs: int | str | None) -> Workers | None:
    """The workers that --jobs or joblib's current backend name, with their number.

    Connects to Ray where it is asked for. None: nobody asked for anything.
    """
    asked = parse_jobs(jobs) or _of_joblib()
    if asked is None or asked.where == "here":
        return asked
    if asked.where == "ray":
        found = ray_cores()
        return replace(asked, count=min(asked.count or found, found))
    import joblib

    return replace(asked, count=asked.count or max(1, joblib.effective_n_jobs(-1)))


def _of_joblib() -> Workers | None:
    """The cluster of `with joblib.parallel_config("ray")` (or "dask"), if there is one."""
    from joblib.parallel import get_active_backend

    backend, count = get_active_backend()
    some = count if count is not None and count > 1 else None
    match type(backend).__name__:
        case "RayBackend":
            return Workers("ray", some)
        case "DaskDistributedBackend":
            return Workers("joblib", some)
    return None


def ray_cores() -> int:
    """Cores of the Ray cluster, which is connected to, or started on this machine alone.

    RAY_ADDRESS, or else a cluster that runs on this machine, comes first. Raises UserError where
    Ray is not installed or the cluster does not answer.
    """
    ray = import_ray()
    try:
        if not ray.is_initialized():
            _connect(ray)
        return max(1, int(ray.cluster_resources().get("CPU", 0)))
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = os.environ.get("RAY_ADDRESS", "ray")
        todo = "Start it with: ray start --head; then set RAY_ADDRESS to its address."
        raise UserError("--jobs", f"no Ray cluster answers at {where} ({error})", todo) from None


def _connect(ray: Any) -> None:
    quiet = {"log_to_driver": False, "include_dashboard": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
        return
    try:
        ray.init("auto", log_to_driver=False)
    except ConnectionError:
        from trainwell.engine.threads import cores

        ray.init("local", num_cpus=cores(), **quiet)


def import_ray() -> Any:
    """Ray; raises UserError where it is not installed."""
    try:
        import ray
    except ImportError:
        todo = 'Install it with: pip install "trainwell[ray]"'
        raise UserError("--jobs", "Ray is not installed", todo) from None
    return ray
