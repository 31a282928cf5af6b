"""Where the store of the ranks can be reached: Linux answers for all of 127.0.0.0/8."""

import os
import socket
import sys

import pytest
import torch
import torch.distributed as dist

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from orchestrator.train import rendezvous


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole network 127/8")
def test_the_store_listens_on_the_given_address_alone_and_ranks_join_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    host, port = rendezvous.open_store("127.0.0.1")
    with socket.create_connection((host, port), timeout=5):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    rendezvous.join(host=host, port=port, backend="gloo", as_rank=0, world=1, seconds=20)
    try:
        value = torch.ones(2)
        dist.all_reduce(value)
        assert value.tolist() == [1.0, 1.0]
        assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    finally:
        dist.destroy_process_group()
        monkeypatch.delenv("GLOO_SOCKET_IFNAME")
