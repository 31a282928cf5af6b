"""Which cluster is meant: --address, RAY_ADDRESS, and the forms they come in."""

import os
import socket
import urllib.parse

from orchestrator.cluster.client import LOOPBACK, ClusterClient
from orchestrator.errors import OrchError, Unreachable, UsageError

VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
PROBE_SECONDS = 5.0


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

    address: http(s)://host:port, host:port (of the dashboard or of the cluster's GCS), ray://...,
    or "auto" for a cluster that runs on this machine. Raises UsageError or Unreachable.
    """
    if address.startswith(("http://", "https://")):
        return _checked_url(address)
    if address == "auto" or address.startswith("ray://"):
        return _asked_of_ray(address)
    url = _checked_url(f"http://{address}")
    try:
        ClusterClient(url, timeout=PROBE_SECONDS).version()
    except Unreachable as error:
        if not _listens(url) or "token" in str(error):
            raise
        return _asked_of_ray(address)
    return url


def is_this_machine(url: str, head_ip: str | None) -> bool:
    """Tell whether the head of the cluster behind a dashboard's URL is this machine.

    head_ip: the head node's own address. A loopback URL alone proves nothing: it may be forwarded
    (ssh -L, kubectl port-forward).
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    return _is_own(host) and head_ip is not None and _is_own(head_ip)


def _checked_url(url: str) -> str:
    expected = "Expected http://HOST:PORT, HOST:PORT or auto."
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"The cluster address {url!r} cannot be read. {expected}") from None
    if not parts.hostname or " " in url:
        raise UsageError(f"The cluster address {url!r} names no host. {expected}")
    if parts.scheme == "http" and port is None:
        raise UsageError(f"The cluster address {url!r} names no port. {expected}")
    return url.rstrip("/")


def _asked_of_ray(address: str) -> str:
    """Let Ray find the dashboard of a cluster that is named in Ray's own ways."""
    from ray.dashboard.utils import (
        ray_address_to_api_server_url,
        ray_client_address_to_api_server_url,
    )

    find = (
        ray_client_address_to_api_server_url
        if address.startswith("ray://")
        else ray_address_to_api_server_url
    )
    try:
        return str(find(address))
    except OrchError:
        raise
    except Exception as error:  # Ray raises anything from ValueError to RpcError here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unreachable(
            f"No Ray cluster is found at {address!r} ({reason}). Give the address of its "
            "dashboard, http://HOST:8265, or leave it out and orch starts a local cluster."
        ) from error


def _listens(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _is_own(host: str) -> bool:
    """Tell whether an address belongs to this machine: only one's own can be bound."""
    if host in LOOPBACK:
        return True
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True
