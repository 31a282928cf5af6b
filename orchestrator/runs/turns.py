"""The order of jobs that are submitted together, some of which start from others' runs."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.job import weights

if TYPE_CHECKING:
    from orchestrator.job.schema import Job


def in_turn(jobs: Sequence["Job"]) -> list[str]:
    """Return the names of jobs, each after those from whose runs it starts or learns.

    Otherwise they stay as they come. Raises UsageError with all that is wrong with such starts.
    """
    by_name = {job.name: job for job in jobs}
    before = {name: _sources(job, by_name) for name, job in by_name.items()}
    problems = [
        f"{name}: {problem}"
        for name, job in by_name.items()
        for source in before[name]
        if (problem := _unsuitable(job, by_name[source]))
    ]
    graph = TopologicalSorter(dict.fromkeys(by_name, ()))  # in this order, whoever names whom
    for name, sources in before.items():
        graph.add(name, *sources)
    try:
        order = list(graph.static_order())
    except CycleError as error:
        circle = " starts from ".join(reversed(error.args[1]))
        problems.append(f"No job of these can be the first: {circle}.")
    if problems:
        raise UsageError("\n".join(problems))
    return order


def _sources(job: "Job", others: Mapping[str, "Job"]) -> list[str]:
    """Return the jobs from whose runs one starts or learns; its own name means an earlier run."""
    return [name for name in weights.named(job) if name in others and name != job.name]


def _unsuitable(job: "Job", other: "Job") -> str:
    """Return why a job cannot start or learn from another one's run, if that is so."""
    starts = job.start.weights == other.name and job.start.source != "scratch"
    setting = (
        f"start.weights: {other.name}" if starts else f"method.{weights.TEACHER}: {other.name}"
    )
    if other.search is not None:
        return f"{setting} {weights.SEARCH}."
    problem = weights.unsuitable(other.method.name, job) if starts else ""
    return f"{setting} will be trained by the method {problem}" if problem else ""
