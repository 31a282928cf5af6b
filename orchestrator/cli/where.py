"""The options that say on which cluster: --address and --cluster."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from orchestrator.cli.completion import complete_cluster

Command = TypeVar("Command", bound=Callable[..., Any])


def where(command: Command) -> Command:
    """Give a command the options --address URL and --cluster NAME, of which one may be used."""
    address = click.option(
        "--address", metavar="URL", help="Cluster to use, http://HOST:8265; else RAY_ADDRESS."
    )
    cluster = click.option(
        "--cluster",
        metavar="NAME",
        shell_complete=complete_cluster,
        help="Cluster to use, as clusters.yaml in orch's own folder names it.",
    )
    return address(cluster(command))
