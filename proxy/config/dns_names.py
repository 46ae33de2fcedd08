"""Daemons as the file names them: one address, or a DNS name whose addresses are each a daemon."""

from __future__ import annotations

from dataclasses import dataclass, replace

from proxy.config.sources import Node, shown
from proxy.config.values import Address, Available, Endpoint, Refused

SCHEME = "dns:///"
"""gRPC's naming.md: `dns:[//authority/]host[:port]`. Without an authority, the system's resolver answers."""


@dataclass(frozen=True, slots=True)
class DnsName:
    """A name and a port: wherever the name points, now or later, a daemon listens at that port."""

    host: str
    port: int

    def __str__(self) -> str:
        """As in the file, `dns:///host:port`."""
        return f"{SCHEME}{Address(self.host, self.port)}"

    @property
    def server_name(self) -> str:
        """What the daemons' certificates are to be for: the name, without the dot that keeps search domains away."""
        return self.host.rstrip(".")


@dataclass(frozen=True, slots=True)
class DaemonEndpoint:
    """`host:port` is one daemon (`Address`), `dns:///host:port` as many as the name has addresses (`DnsName`).

    Of a plain name's addresses one is used, whichever answers: `localhost` is ::1 and 127.0.0.1 and still one daemon,
    and a Kubernetes Service with a cluster IP has one address anyway. A headless Service is written with the scheme.
    A host with an IPv4 and an IPv6 address behind such a name counts as two daemons and gets two tunnels.
    """

    @property
    def allowed(self) -> str:
        return f"{Endpoint().allowed}, or {SCHEME}host:port for all addresses of a name"

    def read(self, node: Node, available: Available) -> Address | DnsName:
        text = node.value.strip() if isinstance(node.value, str) else ""
        if text.startswith(SCHEME):
            address = Endpoint().read(replace(node, value=text.removeprefix(SCHEME)), available)
            return DnsName(address.host, address.port)
        if "://" in text or (text.startswith("dns:") and text.count(":") > 1):
            raise Refused(f"{shown(node)} is no address, and of schemes there is {SCHEME}host:port")
        return Endpoint().read(node, available)
