"""Which cluster is meant: --address, RAY_ADDRESS, and the forms they come in."""

import os
import socket
import threading
import urllib.parse
from collections.abc import Callable
from concurrent.futures import Future

from orchestrator.cluster.client import LOOPBACK, ClusterClient
from orchestrator.errors import OrchError, Unreachable, UsageError
from orchestrator.job.uri import masked, secret_in

VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
PROBE_SECONDS = 4.0
RAY_CLIENT_PORT = 10001
"""Ray's own default."""
RAY_SECONDS = 4.0
"""How long the head of a cluster may take to name its dashboard; normally it needs milliseconds."""
RAY_CLIENT_SECONDS = 15.0
"""The same for ray://, where Ray starts a process for each client."""


def configured(given: str | None) -> tuple[str, str] | None:
    """Return the address to use and where it was given; None when no cluster is configured."""
    if given:
        return given, "--address"
    for name in VARIABLES:
        if value := os.environ.get(name, "").strip():
            return value, name
    return None


def dashboard_url(address: str) -> str:
    """Return the dashboard's URL of a cluster.

    address: http(s)://host:port, a page of the dashboard as a browser shows it, host:port (of the
    dashboard or of the cluster's GCS), ray://..., or "auto" for a cluster that runs on this
    machine. Raises UsageError or Unreachable, within seconds.
    """
    address = address.strip()
    if found := secret_in(address if "://" in address else f"http://{address}"):
        raise UsageError(
            f"The cluster address contains {found}, which orch does not send and others can read. "
            "Leave it out; a token for the cluster goes into RAY_AUTH_TOKEN."
        )
    if address == "auto" or address.lower().startswith("ray://"):
        return _asked_of_ray(address)
    if "://" in address:
        return _server(address)
    return _of_dashboard_or_gcs(_server(f"http://{address}"))


def is_this_machine(url: str, head_ip: str | None) -> bool:
    """Return whether the head of the cluster behind a dashboard's URL is this machine.

    head_ip: the head node's own address. A loopback URL alone proves nothing: it may be forwarded
    (ssh -L, kubectl port-forward).
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    return _is_own(host) and head_ip is not None and _is_own(head_ip)


def _server(url: str) -> str:
    """Return scheme://host:port of a URL, without the page that it names."""
    expected = "Expected http://HOST:PORT, HOST:PORT or auto."
    shown = masked(url)
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"The cluster address {shown!r} cannot be read. {expected}") from None
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"The cluster address {shown!r} is not a web address. {expected}")
    if not parts.hostname or " " in parts.netloc:
        raise UsageError(f"The cluster address {shown!r} names no host. {expected}")
    if parts.scheme == "http" and port is None:
        raise UsageError(f"The cluster address {shown!r} names no port. {expected}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _of_dashboard_or_gcs(url: str) -> str:
    """Return the dashboard of a cluster of which one port is known, but not which service it is."""
    try:
        ClusterClient(url, timeout=PROBE_SECONDS).version()
    except Unreachable as error:
        if not _listens(url) or "token" in str(error):
            raise
        return _asked_of_ray(url.removeprefix("http://"))
    return url


def _asked_of_ray(address: str) -> str:
    """Let Ray find the dashboard of a cluster that is named in Ray's own ways."""
    if address.lower().startswith("ray://") and not _listens(address):
        raise _not_found(address, "nothing is listening there")
    from ray.dashboard.utils import (
        ray_address_to_api_server_url,
        ray_client_address_to_api_server_url,
    )

    find, patience = (
        (ray_client_address_to_api_server_url, RAY_CLIENT_SECONDS)
        if address.lower().startswith("ray://")
        else (ray_address_to_api_server_url, RAY_SECONDS)
    )
    try:
        return str(_within(patience, lambda: find(address)))
    except OrchError:
        raise
    except TimeoutError as error:
        raise _not_found(address, f"no answer within {patience:.0f} s") from error
    except Exception as error:  # Ray raises anything from ValueError to RpcError here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _not_found(address, reason) from error


def _not_found(address: str, reason: str) -> Unreachable:
    return Unreachable(
        f"No Ray cluster is found at {address!r} ({reason}). Give the address of its "
        "dashboard, http://HOST:8265, or leave it out, and orch starts a local cluster."
    )


def _within(seconds: float, ask: Callable[[], object]) -> object:
    """Return what `ask` returns, or raise TimeoutError. Ray's own patience is up to a minute.

    A question that timed out stays in its thread until this process ends.
    """
    answer: Future[object] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(seconds)


def _listens(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        place = (parts.hostname or "", parts.port or RAY_CLIENT_PORT)
        socket.create_connection(place, PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def _is_own(host: str) -> bool:
    """Return whether an address belongs to this machine: only its own addresses can be bound."""
    if host in LOOPBACK:
        return True
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True
