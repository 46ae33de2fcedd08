"""Whom `headway ctl` asks: addresses given by hand, or those of the roles in a configuration."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.config import Address, Available, Config
from proxy.config.records import Role
from proxy.config.sources import Node, Origin
from proxy.config.values import Endpoint, Refused
from proxy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Target:
    """One process to ask."""

    address: str
    """`host:port`."""
    tls: bool
    role: Role | None = None
    """What the configuration says it is; None for an address given by hand."""

    def __str__(self) -> str:
        """As it stands in front of what it answers."""
        return self.address if self.role is None else f"{self.role} at {self.address}"


def target_at(text: str, *, tls: bool) -> Target:
    """The process at `host:port`. Raises ValueError that says what is wrong with it."""
    try:
        address = Endpoint().read(Node(text, Origin("--at"), text=text), Available())
    except Refused as refused:
        raise ValueError(f"{refused.what}; allowed: {refused.allowed or Endpoint().allowed}") from None
    return Target(str(address), tls)


def targets_of(config: Config, roles: Sequence[Role]) -> list[Target]:
    """The processes of these roles that are controlled at an address.

    Raises `ConfigError` where there is none, or where the system picks the port.
    """
    targets: list[Target] = []
    missing: list[str] = []
    for role in roles:
        section = config.proxy if role == "proxy" else config.daemon
        key = f"{role}.control_listen"
        if section is None:
            continue
        if section.control_listen is None:
            missing.append(config.problem(key, "is not set", "an address on loopback such as 127.0.0.1:8009"))
        elif section.control_listen.port == 0:
            what = "is port 0, so that only the process's log has the address: give it with --at"
            raise ConfigError([config.problem(key, what)])
        else:
            targets.append(Target(str(_reachable(section.control_listen)), section.control_tls is not None, role))
    if not targets:
        raise ConfigError(missing or [config.problem(role, "missing") for role in roles])
    return targets


def _reachable(listen: Address) -> Address:
    """Where to connect to what listens there: on all addresses is also on loopback."""
    try:
        everywhere = ipaddress.ip_address(listen.host).is_unspecified
    except ValueError:
        return listen
    return Address("::1" if ":" in listen.host else "127.0.0.1", listen.port) if everywhere else listen
