"""How the ranks find one another: through a store that listens only on rank 0's node.

torch's own rendezvous listens on every interface of the machine, and anyone who reaches it can read
and change what the ranks exchange.
"""

import os
import socket
from datetime import timedelta
from ipaddress import ip_address

import ray
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from orchestrator.train.ranks import other_ranks

_opened: list[TCPStore] = []
"""Rank 0's store, which lives as long as its process."""


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
    """Join the process group of a run; workers on one machine use the loopback interface.

    Raises LostRank when another rank does not come.
    """
    if ip_address(host).is_loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", socket.if_indextoname(1))
    patience = timedelta(seconds=seconds)
    with other_ranks():
        store = TCPStore(host, port, is_master=False, timeout=patience)
        dist.init_process_group(
            backend, store=store, rank=as_rank, world_size=world, timeout=patience
        )
