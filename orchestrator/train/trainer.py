"""From a job to Ray Train's trainer: what the workers get and what they need."""

from pathlib import Path
from typing import Any

import ray
from ray.train import LoggingConfig, Result, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback

from orchestrator.job.schema import Job
from orchestrator.plan.workers import room_for
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.backend import NodeAddressConfig
from orchestrator.train.entry import Config, train_function
from orchestrator.train.patience import Patience
from orchestrator.train.roster import Roster
from orchestrator.train.sizing import Sizing
from orchestrator.train.worker import Run

PROCESS_GROUP_TIMEOUT_SECONDS = 300
NOT_NEEDED = (DatasetsCallback, PlacementGroupCleanerCallback)
"""They start a process each, for Ray Data, and for controllers that die before their driver."""


class Trainer(TorchTrainer):  # type: ignore[misc]
    """Ray Train's trainer with our own policies, and with fewer helpers.

    It decides how many workers there are, by the nodes, and what follows when some are lost. The
    job and the folder of its run are given beside what Ray Train's own takes.
    """

    def __init__(self, *, job: Job, folder: RunFolder, **given: Any) -> None:
        super().__init__(**given)
        self._job, self._folder = job, folder

    def _initialize_and_run_controller(self, **given: Any) -> Result:
        name, most = self._folder.name, self._job.cluster.max_failures
        given["scaling_policy"] = Sizing(self.scaling_config, self._job.plans, self._folder)
        given["failure_policy"] = Patience(name, self._folder, most)
        return super()._initialize_and_run_controller(**given)

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        made = super()._create_default_callbacks()
        needed = [callback for callback in made if not isinstance(callback, NOT_NEEDED)]
        return [*needed, Roster(self._folder)]


def build_trainer(job: Job, run: Run, notes: Path) -> TorchTrainer:
    """Return the trainer of a job's run, for the cluster that this process is connected to.

    notes: a folder for what Ray Train itself writes down, of which nothing is needed later.
    """
    gpus = gpus_per_worker(job, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    return Trainer(
        job=job,
        folder=run.folder,
        train_loop_per_worker=train_function,
        train_loop_config=Config(job=job.as_dict(), run=run),
        torch_config=NodeAddressConfig(timeout_s=PROCESS_GROUP_TIMEOUT_SECONDS),
        scaling_config=ScalingConfig(
            num_workers=job.cluster.most,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": float(job.cluster.cpus_per_worker), "GPU": float(gpus)},
        ),
        run_config=RunConfig(
            name=run.folder.name,
            storage_path=str(notes),
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )


def gpus_per_worker(job: Job, nodes: list[dict[str, float]]) -> int:
    """Return the GPUs of each worker; `auto` takes one each where all workers find one.

    nodes: the resources of each. A worker's CPUs and its GPU must be on one of them.
    """
    asked, cpus = job.cluster.gpus_per_worker, job.cluster.cpus_per_worker
    places = sum(
        room_for(n.get("CPU", 0), n.get("GPU", 0), cpus_each=cpus, gpus_each=1) for n in nodes
    )
    return asked if asked != "auto" else int(places >= job.cluster.least)
