"""How the ranks find one another: through a store that listens only on rank 0's node.

torch's own rendezvous listens on every interface of the machine, and anyone who reaches it can read
and change what the ranks exchange.
"""

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import ray
import torch.distributed as dist
from ray.train.torch.config import (
    TorchConfig,
    _set_torch_distributed_env_vars,
    _TorchBackend,
)
from torch._C._distributed_c10d import TCPStore

_opened: list[TCPStore] = []
"""Rank 0's store, which lives as long as its process."""


@dataclass
class NodeAddressConfig(TorchConfig):  # type: ignore[misc]
    """Ray Train's torch, with a rendezvous of our own."""

    @property
    def backend_cls(self) -> type["NodeAddressBackend"]:
        """Return what sets up the workers."""
        return NodeAddressBackend


class NodeAddressBackend(_TorchBackend):  # type: ignore[misc]
    """Sets up torch's process group in the workers, and ends it as Ray Train does."""

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


def open_store(host: str | None = None) -> tuple[str, int]:
    """Open the store at this node's address, at a free port; return both."""
    host = host or ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen(socket.SOMAXCONN)
    port = int(listener.getsockname()[1])
    store = TCPStore(
        host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )
    _opened.append(store)
    return host, port


def join(*, host: str, port: int, backend: str, as_rank: int, world: int, seconds: int) -> None:
    """Join the process group of a run; workers on one machine use the loopback interface."""
    if ip_address(host).is_loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", socket.if_indextoname(1))
    patience = timedelta(seconds=seconds)
    store = TCPStore(host, port, is_master=False, timeout=patience)
    dist.init_process_group(backend, store=store, rank=as_rank, world_size=world, timeout=patience)
