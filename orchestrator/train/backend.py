"""Ray Train's torch, with a rendezvous of our own, and spare processes."""

from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch.config import (
    TorchConfig,
    _set_torch_distributed_env_vars,
    _TorchBackend,
)

from orchestrator.train.rendezvous import join, open_store
from orchestrator.train.spare import ask_later


@dataclass
class NodeAddressConfig(TorchConfig):  # type: ignore[misc]
    """Ray Train's torch, with a rendezvous of our own."""

    @property
    def backend_cls(self) -> type["NodeAddressBackend"]:
        """Return what sets up the workers."""
        return NodeAddressBackend


class NodeAddressBackend(_TorchBackend):  # type: ignore[misc]
    """Sets up torch's process group in the workers. Ray Train's controller calls it."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Open the store on rank 0 and let all ranks join it."""
        on_gpus = worker_group.get_resources_per_worker().get("GPU", 0) > 0
        host, port = worker_group.execute_single(0, open_store)
        worker_group.execute(_set_torch_distributed_env_vars)
        world = len(worker_group)
        joining = [
            worker_group.execute_single_async(
                rank,
                join,
                host=host,
                port=port,
                backend="nccl" if on_gpus else "gloo",
                as_rank=rank,
                world=world,
                seconds=backend_config.timeout_s,
            )
            for rank in range(world)
        ]
        ray.get(joining)

    def on_training_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Let all processes ask for spare ones: the controller for the one it starts beside."""
        ask_later()
        worker_group.execute(ask_later)

    def on_shutdown(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Leave the group to the end of its processes, which is next: a lost one leaves none."""
