"""The cluster section of a job: what its workers ask for, and how many there are."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer, PlainValidator

from orchestrator.plan.workers import cpus_per_worker

MOST_WORKERS = 10_000


class WorkerRange(BaseModel, frozen=True, extra="forbid"):
    """The numbers of workers with which a run goes on when nodes leave and join."""

    min: int
    max: int


def _workers(value: object) -> int | WorkerRange:
    """Return a number of workers, or a range of them. Raises ValueError."""
    if isinstance(value, WorkerRange):
        return value
    given = [value]
    if isinstance(value, Mapping):
        given = [value.get("min"), value.get("max")] if value.keys() == {"min", "max"} else []
    numbers = [n for n in given if type(n) is int and 1 <= n <= MOST_WORKERS]
    if not numbers or len(numbers) < len(given) or numbers != sorted(numbers):
        raise ValueError(
            f"expected a whole number from 1 to {MOST_WORKERS}, or two, as {{min: 2, max: 8}}, "
            "the larger one as max; "
            f"got {value!r}"
        )
    return numbers[0] if len(numbers) == 1 else WorkerRange(min=numbers[0], max=numbers[1])


def _written(value: int | WorkerRange) -> int | dict[str, int]:
    return value if isinstance(value, int) else value.model_dump()


NumWorkers = Annotated[
    int | WorkerRange, PlainValidator(_workers), PlainSerializer(_written, when_used="always")
]


class Cluster(BaseModel, frozen=True, extra="forbid"):
    """What the job asks of a cluster.

    The samples of a step and the teachers that are chosen do not depend on it. How many samples
    pass at once does, and with it the statistics of batch norm.
    """

    num_workers: NumWorkers = Field(
        1, description="or {min: 2, max: 8}: as many as the nodes hold that are there"
    )
    max_batch_per_worker: int = Field(
        64, ge=1, description="most samples of a worker's forward pass"
    )
    loader_workers: int = Field(
        0, ge=0, le=1000, description="threads beside each worker that load samples ahead of use"
    )
    loader: Literal["threads", "processes"] = Field(
        "threads", description="processes: for storage that may hang, which then ends the run"
    )
    loader_memory: int = Field(
        256, ge=1, description="MiB for batches that are loaded ahead; one always is"
    )
    loader_timeout: float = Field(
        300.0,
        gt=0,
        le=1e6,
        description="seconds that a loader process may take for a sample, but for waiting for a "
        "bucket",
    )
    gpus_per_worker: Literal["auto", 0, 1] = Field(
        "auto", description="auto: one each where the cluster has one for every worker, else none"
    )
    max_failures: int = Field(
        3,
        ge=0,
        description="losses of workers that are tolerated without a new checkpoint in between; of "
        "a search's driver, without a new epoch of a trial",
    )

    @property
    def least(self) -> int:
        """The fewest workers with which a run goes on."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers.min

    @property
    def most(self) -> int:
        """The most workers that a run has."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers.max

    @property
    def counted(self) -> str:
        """The number of workers in words: "2", or "2 to 8"."""
        return f"{self.least} to {self.most}" if self.is_elastic else str(self.least)

    @property
    def is_elastic(self) -> bool:
        """Whether a run goes on with fewer workers, and with more again."""
        return isinstance(self.num_workers, WorkerRange)

    @property
    def cpus_per_worker(self) -> int:
        """The CPUs of each worker: one for itself and one for each of its loaders."""
        return cpus_per_worker(self.loader_workers)
