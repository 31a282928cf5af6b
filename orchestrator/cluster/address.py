"""The forms in which the address of a cluster comes."""

import socket
import urllib.parse

from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.dashboard import LOOPBACK
from orchestrator.cluster.meanwhile import meanwhile
from orchestrator.cluster.token import Token
from orchestrator.errors import OrchError, Unreachable, UsageError
from orchestrator.job.uri import masked, secret_in

PROBE_SECONDS = 4.0
RAY_CLIENT_PORT = 10001
"""Ray's own default."""
RAY_SECONDS = 4.0
"""How long the head of a cluster may take to name its dashboard; normally it needs milliseconds.
Ray's own patience is up to a minute."""
RAY_CLIENT_SECONDS = 15.0
"""The same for ray://, where Ray starts a process for each client."""


def dashboard_url(address: str, token: Token | None = None) -> str:
    """Return the dashboard's URL of a cluster.

    address: http(s)://host:port, a page of the dashboard as a browser shows it, host:port (of the
    dashboard or of the cluster's GCS), ray://..., or "auto" for a cluster that runs on this
    machine. token: where the cluster's is. Raises UsageError or Unreachable, within seconds.
    """
    address = address.strip()
    check_form(address)
    if _is_for_ray(address):
        return _asked_of_ray(address)
    if "://" in address:
        return _server(address)
    return _of_dashboard_or_gcs(_server(f"http://{address}"), token)


def check_form(address: str) -> None:
    """Raise UsageError for an address that cannot be right, without asking anyone."""
    url = address if "://" in address else f"http://{address}"
    if found := secret_in(url):
        raise UsageError(
            f"The cluster address contains {found}, which orch does not send and others can read. "
            "Leave it out; a token for the cluster goes into RAY_AUTH_TOKEN."
        )
    if not _is_for_ray(address):
        _server(url)


def _is_for_ray(address: str) -> bool:
    """Return whether only Ray itself knows the dashboard of an address."""
    return address == "auto" or address.lower().startswith("ray://")


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


def _of_dashboard_or_gcs(url: str, token: Token | None) -> str:
    """Return the dashboard of a cluster of which one port is known, but not which service it is."""
    try:
        ClusterClient(url, timeout=PROBE_SECONDS, token=token).version()
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
        return str(meanwhile(lambda: find(address)).result(patience))
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
