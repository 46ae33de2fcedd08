"""Sockets and timers turned into calls, and calls into datagrams.

A turn of the event loop takes in all datagrams that wait on the socket, hands them to their connection together, and
answers them together: one flush a turn, however many calls wrote in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

Address = tuple[str, int] | tuple[str, int, int, int]
Datagram = tuple[bytes, Address]

SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked of the kernel in both directions. With the usual 208 KiB a burst of other processes' work on the machine
loses datagrams."""
_MAX_DATAGRAM_BYTES = 65536
_DATAGRAMS_A_TURN = 128
"""Bounds how long one socket keeps the event loop."""
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3
_IPV6_MTU_DISCOVER = 23
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})


class UdpPort:
    """A UDP socket on the running event loop.

    `on_datagrams` gets what arrived in one turn and the time; `on_unreachable` is called when the kernel says that
    nobody listens at the other end (connected sockets only).
    """

    def __init__(
        self,
        udp_socket: socket.socket,
        *,
        on_datagrams: Callable[[list[Datagram], float], None],
        on_unreachable: Callable[[OSError], None] | None = None,
    ) -> None:
        self._socket = udp_socket
        self._loop = asyncio.get_running_loop()
        self._on_datagrams = on_datagrams
        self._on_unreachable = on_unreachable
        self._backlog: deque[Datagram] = deque()
        self._connected = on_unreachable is not None
        udp_socket.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        _enlarge_buffers(udp_socket)
        _forbid_fragments(udp_socket)
        self._loop.add_reader(udp_socket.fileno(), self._readable)

    def __repr__(self) -> str:
        return f"<UdpPort fd={self._socket.fileno()} backlog={len(self._backlog)}>"

    @property
    def address(self) -> Address:
        """The address the socket is bound to."""
        address: Address = self._socket.getsockname()
        return address

    def now(self) -> float:
        """Seconds on the event loop's clock, read afresh.

        Uvloop's own `time` stands still within a turn, too coarse for round trips.
        """
        return time.monotonic()

    def call_soon(self, callback: Callable[[], None], *, delay_s: float = 0.0) -> None:
        """Run `callback` in the event loop's next turn, or `delay_s` from now."""
        if delay_s > 0:
            self._loop.call_later(delay_s, callback)
        else:
            self._loop.call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Handle:
        """Run `callback` at `when`, on the clock of `now`."""
        return self._loop.call_at(when, callback)

    def send(self, datagrams: list[Datagram]) -> None:
        """Put datagrams on the wire, in order. What the kernel has no room for waits until it has."""
        if self._backlog:
            self._backlog.extend(datagrams)
            return
        for index, datagram in enumerate(datagrams):
            if not self._send_one(datagram):
                self._backlog.extend(datagrams[index:])
                self._loop.add_writer(self._socket.fileno(), self._writable)
                return

    def close(self) -> None:
        """Stop listening and close the socket. What waits to be sent is dropped."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
        self._backlog.clear()

    def _readable(self) -> None:
        datagrams: list[Datagram] = []
        failure: OSError | None = None
        while len(datagrams) < _DATAGRAMS_A_TURN:
            try:
                datagrams.append(self._socket.recvfrom(_MAX_DATAGRAM_BYTES))
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # An ICMP message about something sent earlier. The kernel tells it before the datagrams that came
                # before it, in which the peer may have said why it goes.
                failure = error
        if datagrams:
            self._on_datagrams(datagrams, time.monotonic())
        if failure is not None:
            self._failed(failure)

    def _report(self, error: OSError) -> None:
        """Tell of an error that a sending met, once what is on the socket has been taken in."""
        if self._socket.fileno() >= 0:
            self._readable()
            self._failed(error)

    def _writable(self) -> None:
        while self._backlog:
            if not self._send_one(self._backlog[0]):
                return
            self._backlog.popleft()
        self._loop.remove_writer(self._socket.fileno())

    def _send_one(self, datagram: Datagram) -> bool:
        """False when the kernel has no room. Other failures are what the network does to datagrams anyway."""
        data, address = datagram
        try:
            if self._connected:
                self._socket.send(data)
            else:
                self._socket.sendto(data, address)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                # A probe of the path's packet size that is too large for the first hop. Read, the error is gone; else
                # the kernel would tell it to the next datagram too, and drop that.
                self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            else:
                self._loop.call_soon(self._report, error)
        return True

    def _failed(self, error: OSError) -> None:
        if self._on_unreachable is not None and error.errno in _UNREACHABLE:
            self._on_unreachable(error)
        else:
            logger.debug("UDP socket: %s", error)


def _enlarge_buffers(udp_socket: socket.socket) -> None:
    for forced, plain in ((33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF)):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE: root only
        try:
            udp_socket.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER_BYTES)
        except OSError:
            udp_socket.setsockopt(socket.SOL_SOCKET, plain, SOCKET_BUFFER_BYTES)


def _forbid_fragments(udp_socket: socket.socket) -> None:
    """QUIC datagrams must not be fragmented (RFC 9000 section 14).

    The kernel's own idea of the path's MTU is not asked.
    """
    with contextlib.suppress(OSError):
        if udp_socket.family == socket.AF_INET6:
            udp_socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
        udp_socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
