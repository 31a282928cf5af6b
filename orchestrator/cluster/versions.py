"""The versions of Ray and Python on a cluster and here, compared before anything is sent there."""

import platform
import re
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import UsageError

LEAST_RAY = (2, 60)
LEAST_PYTHON = (3, 11)


class Versions(NamedTuple):
    """The versions of a machine or a cluster; empty where it does not say."""

    ray: str
    python: str

    def __str__(self) -> str:
        python = f", Python {self.python}" if self.python else ""
        return f"Ray {self.ray}{python}"


def on(client: ClusterClient) -> Versions:
    """Return the versions of a cluster. Raises Unreachable."""
    return Versions(client.version()["ray_version"], client.python_version())


def check(client: ClusterClient, say: Callable[[str], None], *, here: bool) -> None:
    """Warn of other versions on a cluster. Raises UsageError when its jobs could not run.

    here: its jobs run with this Python, which then has to be the cluster's own.
    """
    own, there = Versions(metadata.version("ray"), platform.python_version()), on(client)
    same = there.ray == own.ray and there.python in ("", own.python)
    if here and not same:
        raise UsageError(
            f"The cluster at {client.url} runs {there}; orch runs {own}, and on this machine its "
            "jobs would, too. Start the cluster in the environment of orch, or install orch in "
            "the cluster's."
        )
    if _numbers(there.ray) < LEAST_RAY or (there.python and _numbers(there.python) < LEAST_PYTHON):
        raise UsageError(
            f"The cluster at {client.url} runs {there}; jobs of orch need at least "
            f"Ray {_dotted(LEAST_RAY)} and Python {_dotted(LEAST_PYTHON)} there."
        )
    if not same:
        say(
            f"warning: the cluster runs {there}, this machine {own}. Jobs run with what the "
            "cluster has; their results may differ from those here."
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
