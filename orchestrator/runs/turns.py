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
        f"{name}: start.weights: {problem}"
        for name, job in by_name.items()
        if (problem := _unsuitable(job, by_name))
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


def _unsuitable(job: "Job", others: Mapping[str, "Job"]) -> str:
    """Return why a job cannot start from the one that it names, if that is so."""
    name = job.start.weights
    if name is None or name not in others or name == job.name or job.start.source == "scratch":
        return ""
    if others[name].search is not None:
        return f"{name} is a search; a run starts from one run, such as {name}.t007 once that ends."
    problem = weights.unsuitable(others[name].method.name, job)
    return f"{name} will be trained by the method {problem}" if problem else ""
