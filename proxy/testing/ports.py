"""Ports for servers that tests and benchmarks start."""

from __future__ import annotations

import itertools
import os
import socket

_PORTS = range(12_000, 32_000)
"""Below the range from which the system takes the ports of outgoing connections (Linux: 32768 and up): otherwise some
client's connection may take a port between the look at it and its server's start."""

_next_port = itertools.cycle(_PORTS)
# Processes that run side by side begin far from each other, also with numbers that follow one another.
for _ in range(os.getpid() * 6113 % len(_PORTS)):
    next(_next_port)


def free_port() -> int:
    """A loopback port that nobody listens on, neither TCP nor UDP. No port is handed out again before all others."""
    for port in itertools.islice(_next_port, len(_PORTS)):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"every port from {_PORTS.start} to {_PORTS.stop - 1} is taken")
