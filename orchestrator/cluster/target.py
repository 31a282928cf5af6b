"""Which cluster is meant: --address, --cluster, RAY_ADDRESS, or none of them."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cluster import named
from orchestrator.cluster.address import dashboard_url
from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.token import Token
from orchestrator.errors import UsageError
from orchestrator.job.uri import masked

if TYPE_CHECKING:
    from orchestrator.job.source import Source

VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


@dataclass(frozen=True)
class Target:
    """A cluster as it was given. address: in any form; by: how it was given, such as --address.

    cluster: its name, if it has one. settings: of jobs that do not say otherwise.
    """

    address: str
    by: str
    token: Token | None = None
    cluster: str = ""
    settings: "Source | None" = None

    def __str__(self) -> str:
        return f"{masked(self.address)} ({self.by})"

    def client(self) -> ClusterClient:
        """Return a client of the cluster's dashboard.

        Raises UsageError for an address that cannot be read, Unreachable when none is found there.
        """
        return ClusterClient(dashboard_url(self.address, self.token), token=self.token)


def chosen(address: str | None, cluster: str | None) -> Target | None:
    """Return the cluster that a command's options name; None without them.

    Raises UsageError when both are given, or no cluster has the name.
    """
    if address and cluster:
        raise UsageError("--address and --cluster both name a cluster; leave out one of them.")
    if address:
        return Target(address, "--address")
    if cluster:
        return of_name(cluster, f"--cluster {cluster}")
    return None


def configured(address: str | None = None, cluster: str | None = None) -> Target | None:
    """Return the cluster that options name, else the environment; None for the local one."""
    if target := chosen(address, cluster):
        return target
    for name in VARIABLES:
        if value := os.environ.get(name, "").strip():
            return Target(value, name)
    return None


def of_name(name: str, by: str) -> Target:
    """Return a named cluster. Raises UsageError when there is none of the name."""
    found = named.find(name)
    return Target(found.address, by, found.token, name, found.settings)
