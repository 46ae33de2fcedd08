"""Whether a client and a Triton are on one host: only then do shared-memory regions mean the same to both."""

from __future__ import annotations

import ipaddress

from proxy.errors import CallError, Code

LOCALHOST = "localhost"


def require_same_host(path: str, peer: str, backend: str) -> None:
    """Raise CallError (UNIMPLEMENTED) unless the client (`peer`) and the Triton (`backend`) are both local addresses.

    Both are host:port; a client's may also be `unix:…`. A client that reaches Triton by another address of the same
    host is taken for a remote one.
    """
    if (peer.startswith("unix:") or _is_loopback(peer)) and _is_loopback(backend):
        return
    method = path.rpartition("/")[2]
    raise CallError(
        Code.UNIMPLEMENTED,
        f"{method} is not possible through headway: shared memory needs the client and Triton on one host,"
        f" the client is at {peer or 'an unknown address'} and Triton at {backend}",
    )


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host.lower() == LOCALHOST:
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or (
        isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None and ip.ipv4_mapped.is_loopback
    )
