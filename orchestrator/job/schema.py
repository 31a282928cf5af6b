"""The job: one frozen pydantic model, composed of the settings of the components it names."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model, field_validator, model_validator

from models.precision import FLOAT, OperatingPoint, Precision, cost, precisions_of
from models.quantizers.settings import QuantizerSettings
from models.table import resolve
from orchestrator.job import own_code
from orchestrator.job.cluster import Cluster
from orchestrator.job.evaluate import Evaluate
from orchestrator.job.families import FAMILIES, names_in
from orchestrator.job.notify import Notify
from orchestrator.job.optimizer import Sgd
from orchestrator.job.phases import ALLOWED, in_phase, unchangeable
from orchestrator.job.search import Search
from orchestrator.job.source import Keys, Values
from orchestrator.job.start import Start
from orchestrator.job.uri import secret_problem
from orchestrator.plan.batch import BatchPlan, plan_batch, sizes

_MEANT_OTHERWISE = re.compile(
    r"last|[0-9a-f]{32}|.*-\d{8}-\d{6}-[0-9a-f]{4}(\.a\d+)?|.*\.t\d{3,}([sg]\d+)?"
)
"""Names that commands take for runs: `last`, a run's id, MLflow's id of a run, a trial's name."""


class Training(BaseModel, frozen=True, extra="forbid"):
    """How long, in which batches, in which arithmetic and precision."""

    epochs: int = Field(ge=1, description="0 for a method that trains nothing, and only then")
    global_batch: int = Field(ge=1, description="samples of one optimizer step, over all workers")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a label that is spread over all classes"
    )
    arithmetic: Literal["auto", "integer", "float"] = Field(
        "auto",
        description="of quantized layers' forward passes; auto: in integers wherever the processor "
        "adds them up exactly; integer fails elsewhere, and where a job has none to multiply",
    )
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="of convolutions that are not in integers: backward passes, or all of them; "
        "batch norm and quantizers compute in float32 always",
    )
    deterministic: bool = Field(
        False, description="only algorithms that give the same result again, also on a GPU"
    )

    @property
    def tf32(self) -> bool:
        """Whether a GPU may use TF32: in bfloat16 for what stays in float32, stem and linear."""
        return self.precision != "float32"


class NoTraining(Training, frozen=True):
    """What is left of it where a method evaluates weights as they are."""

    epochs: int = Field(ge=0, description="0: the method trains nothing")

    @field_validator("epochs")
    @classmethod
    def _none(cls, epochs: int) -> int:
        if epochs:
            raise ValueError(f"expected 0, for the method trains nothing; got {epochs}")
        return epochs


class Checkpoint(BaseModel, frozen=True, extra="forbid"):
    """When the state is saved, and how many of the saved states stay."""

    every_steps: int | None = Field(None, ge=1, description="in addition to the end of each epoch")
    keep: int = Field(
        3, ge=1, description="how many of the last ones stay, in addition to the best one"
    )
    select: Literal["last", "best"] = Field(
        "last", description="which epoch's results are the final ones"
    )


class Tracking(BaseModel, frozen=True, extra="forbid"):
    """Where MLflow records the run."""

    uri: str | None = Field(
        None,
        description="else MLFLOW_TRACKING_URI, else <output>/mlflow.db",
        json_schema_extra={"names": "tracking"},
    )
    experiment: str = Field("orch", min_length=1)
    group: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,119}$",
        description="the parent below which MLflow shows the run; jobs submitted together have one",
    )

    @field_validator("uri")
    @classmethod
    def _holds_no_secret(cls, uri: str | None) -> str | None:
        if uri and (problem := secret_problem(uri)):
            raise ValueError(problem)
        return uri


class Reference(BaseModel, frozen=True, extra="forbid"):
    """What Delta_B compares with: one's own individual runs, or a published row."""

    published: str | None = Field(None, description="a row of orchestrator/published")
    runs: dict[str, str] | None = Field(
        None, description="point -> run (of orch, or MLflow's id), or the runs' common NAME"
    )

    @field_validator("runs", mode="before")
    @classmethod
    def _by_name_of_point(cls, runs: Any) -> Any:
        """A point may be written 8 for "8bit"."""
        if not isinstance(runs, dict):
            return runs
        return {_name_of_point(point): run for point, run in runs.items()}

    @model_validator(mode="after")
    def _one_of_the_two(self) -> "Reference":
        if (self.published is None) == (self.runs is None):
            raise ValueError("give either `published` (a row's name) or `runs` (point: run id)")
        return self


def _name_of_point(written: str) -> str:
    try:
        return Precision.parse(written).label
    except ValueError:
        return written


class Job(BaseModel, frozen=True, extra="forbid"):
    """One training, whole: everything that decides what is learned, and where it runs.

    `model`, `method` and `data` are narrowed to the settings of the named component by
    `job_class`; a bare `Job` is never built.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")
    seed: int = Field(0, ge=0, lt=2**31)
    code: Path | None = Field(
        None,
        description="folder of modules of your own, which travels with the job; a component in it "
        "is named module:Class",
    )
    model: Any
    quantizer: QuantizerSettings = QuantizerSettings()
    method: Any
    data: Any
    start: Start = Start()
    optimizer: Sgd.Settings
    training: Training
    evaluate: Evaluate = Evaluate()
    phases: tuple[Values, ...] = Field(
        (), description="what each phase changes: epochs, optimizer, method, bit-widths"
    )
    cluster: Cluster = Cluster()
    checkpoint: Checkpoint = Checkpoint()
    tracking: Tracking = Tracking()
    reference: Reference | None = None
    notify: Notify | None = Field(None, description="posts to a webhook how the run goes")
    search: Search | None = Field(None, description="makes the job a search: many trials of it")
    output: str = Field(
        "runs",
        description="holds the runs' folders: a folder, or s3://BUCKET/PREFIX",
        json_schema_extra={"names": "output"},
    )

    @field_validator("name")
    @classmethod
    def _means_one_thing(cls, name: str) -> str:
        if _MEANT_OTHERWISE.fullmatch(name):
            raise ValueError(f"'{name}' would be taken for a run; choose another name")
        return name

    @field_validator("phases")
    @classmethod
    def _change_what_a_phase_may(cls, phases: tuple[Values, ...]) -> tuple[Values, ...]:
        for number, phase in enumerate(phases, start=1):
            if wrong := [".".join(keys) for keys in unchangeable(phase)]:
                raise ValueError(f"phase {number}, {', '.join(wrong)}: {ALLOWED}")
        return phases

    def phase_jobs(self) -> "tuple[Job, ...]":
        """The job of each phase, whole and without phases of its own; itself if it has none."""
        if not self.phases:
            return (self,)
        own = self.as_dict()
        return tuple(job_from_dict(in_phase(own, phase)) for phase in self.phases)

    @property
    def epochs(self) -> int:
        """The epochs of all phases together."""
        return sum(job.training.epochs for job in self.phase_jobs())

    @property
    def plans(self) -> list[BatchPlan]:
        """How a step is carried out by each number of workers that is possible, ascending.

        Raises UsageError when none is.
        """
        cluster, batch = self.cluster, self.training.global_batch
        return [
            plan_batch(batch, number, cluster.max_batch_per_worker)
            for number in sizes(batch, cluster.least, cluster.most)
        ]

    @property
    def points(self) -> tuple[OperatingPoint, ...]:
        """The operating points that are trained, in whichever phase, high to low."""
        if self.phases:
            found = {point.name: point for job in self.phase_jobs() for point in job.points}
            return tuple(sorted(found.values(), key=_height, reverse=True))
        return self.quantizer.points if self.method.quantized else (OperatingPoint.at(FLOAT),)

    @property
    def multiplies_codes(self) -> bool:
        """Whether some layer has both its weights and its activations quantized at some point."""
        return any(FLOAT not in precision for precision in precisions_of(self.points))

    @property
    def compared(self) -> tuple[OperatingPoint, ...]:
        """The points of Delta_B: the last phase's, and earlier ones evaluated at the end."""
        last = self.phase_jobs()[-1].points
        listed = {point.name for point in self.evaluate.operating_points}
        earlier = (p for p in self.points if p.name in listed and p not in last)
        return (*last, *earlier)

    def as_dict(self) -> Values:
        """Return the job as plain values, with the keys of a job file."""
        return self.model_dump(mode="json", by_alias=True)


def _height(point: OperatingPoint) -> int:
    return cost(point.precision)


def job_class(names: Mapping[Keys, str]) -> type[Job]:
    """Return the class of the jobs that use the named components (place in the job -> name).

    A part that is not named stays as it is in `Job`.
    """
    return _job_class(tuple(names.items()))


@cache
def _job_class(names: tuple[tuple[Keys, str], ...]) -> type[Job]:
    kinds = {keys: resolve(FAMILIES[keys].table, name).Settings for keys, name in names}
    if (method := kinds.get(("method",))) and not method.trains:
        kinds[("training",)] = NoTraining
    job: type[Job] = _narrowed(Job, kinds)
    return job


def _narrowed(base: Any, kinds: Mapping[Keys, Any]) -> Any:
    """Return a model whose parts at the given places are of the given kinds."""
    parts = {keys[0]: kind for keys, kind in kinds.items() if len(keys) == 1}
    for key in dict.fromkeys(keys[0] for keys in kinds if len(keys) > 1):
        below = {keys[1:]: kind for keys, kind in kinds.items() if keys[0] == key and keys[1:]}
        parts[key] = _narrowed(base.model_fields[key].annotation, below)
    fields: Values = {
        key: (kind, ... if base.model_fields[key].is_required() else kind())
        for key, kind in parts.items()
    }
    return create_model(base.__name__, __base__=base, **fields)


def job_from_dict(values: Values) -> Job:
    """Rebuild a job from `Job.as_dict`. Raises pydantic's ValidationError on anything else."""
    own_code.make_importable(values.get(own_code.KEY))
    return validated(job_class(dict(names_in(values))), values)


def validated(kind: type[Job], values: Mapping[str, Any]) -> Job:
    """Return the job of plain values, none of them converted: true is no number, "5" is text.

    Reading JSON, pydantic is strict and still accepts a list for a tuple and text for a path. A
    setting has one key, its alias if it has one (`lambda`), else its name.
    """
    return kind.model_validate_json(json.dumps(values), strict=True, by_alias=True, by_name=False)
