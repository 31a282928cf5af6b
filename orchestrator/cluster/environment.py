"""What of this shell's environment a job needs: it travels with the job, not with the head.

A head is started once, by the first submission. If jobs inherited its environment, the second job
would run with the passwords, the proxies and the thread count of the first.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.job.tracking_uri import checked
from orchestrator.job.uri import secret_in

PREFIXES = ("AWS_", "AZURE_", "GLOO_", "GOOGLE_", "MLFLOW_", "NCCL_", "ORCH_WEBHOOK", "PG")
"""Tracking servers, artifact stores, their databases' clients, torch's process groups, webhooks."""
CASELESS = ("all_proxy", "http_proxy", "https_proxy", "no_proxy")
NAMES = (
    "CURL_CA_BUNDLE",
    "MYSQL_PWD",
    "OMP_NUM_THREADS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
LOCAL = ("127.0.0.1", "localhost")
_SECRET = re.compile("WEBHOOK|TOKEN|PASS|PWD|SECRET|KEY|CREDENTIAL|USERNAME|CONNECTION_STRING")


@dataclass(frozen=True)
class Environment:
    """What a job gets: `public` can be seen by everyone on the cluster, `secret` cannot."""

    public: dict[str, str]
    secret: dict[str, str]


def travels(name: str) -> bool:
    """Return whether a variable belongs to a job rather than to the machine it runs on."""
    return name.startswith(PREFIXES) or name in NAMES or name.lower() in CASELESS


def for_local_head(env: Mapping[str, str] = os.environ) -> Environment:
    """Return everything that a job on the local head needs from this shell."""
    public, secret = _divided(env, (name for name in env if travels(name)))
    return Environment(public | no_proxy(env), secret)


def for_other_cluster(env: Mapping[str, str] = os.environ) -> Environment:
    """Return the part of this shell's environment that means the same on another cluster.

    Without proxies and files of this machine; `secret` is what must not be sent there.
    """
    names = (
        name
        for name in env
        if name.startswith(PREFIXES)
        and (name == "MLFLOW_TRACKING_URI" or not env[name].startswith(("/", "~")))
    )
    return Environment(*_divided(env, names))


def no_proxy(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the hosts to reach without a proxy, this machine included, in both spellings."""
    given = (host for name in ("no_proxy", "NO_PROXY") for host in env.get(name, "").split(","))
    hosts = dict.fromkeys([*(host.strip() for host in given if host.strip()), *LOCAL])
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts))


def _divided(env: Mapping[str, str], names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what may be public and what may not. Raises UsageError for a secret tracking URI."""
    public: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name in names:
        value = env[name]
        if name == "MLFLOW_TRACKING_URI":
            public |= {name: checked(value)} if value else {}
        elif _SECRET.search(name) or secret_in(value):
            secret[name] = value
        else:
            public[name] = value
    return public, secret
