"""Why a port can't be listened on. grpc says only that it failed, and where to look for more."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Literal

from proxy.config import Address, Config
from proxy.errors import ConfigError

Protocol = Literal["TCP", "UDP"]

_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def cannot_listen(config: Config, key: str, address: Address, protocol: Protocol, error: Exception) -> ConfigError:
    """The line about `key` after `error`, with the system's reason where trying once more finds one."""
    why = reason(address, protocol) or (error.strerror if isinstance(error, OSError) else None) or str(error)
    return ConfigError([config.problem(key, f"can't listen on {address} ({protocol}): {why}")])


def reason(address: Address, protocol: Protocol) -> str:
    """What the system has against listening there; empty for nothing."""
    kind = _KINDS[protocol]
    with ExitStack() as opened:
        try:
            for family, *_, where in socket.getaddrinfo(address.host, address.port, type=kind, flags=socket.AI_PASSIVE):
                probe = opened.enter_context(socket.socket(family, kind))
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as grpc does
                probe.bind(where)
                if kind == socket.SOCK_STREAM:
                    probe.listen()
        except OSError as error:  # of a name that does not exist, too
            return error.strerror or str(error)
    return ""
