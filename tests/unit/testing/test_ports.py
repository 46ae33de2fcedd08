"""Ports that can be listened on, each handed out once."""

from __future__ import annotations

import socket

from proxy.testing.ports import free_port


def test_a_free_port_can_be_bound_over_tcp_and_udp() -> None:
    port = free_port()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as taken:
            taken.bind(("127.0.0.1", port))


def test_no_port_is_handed_out_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_a_port_that_is_taken_is_passed_over() -> None:
    first = free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", first + 1))
        assert free_port() != first + 1
