"""The process that carries packets from one namespace's device to the other's, as the model says.

`python -m ops.link.shuttle OWNER` (started by `EmulatedLink`, not by hand) reads settings and seed from its standard
input, makes the namespaces, writes one line with their name, carries packets, and deletes the namespaces when it is
told to stop (SIGTERM, or over its control socket) or when the process OWNER has ended, however that came about.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ops.link import control, namespaces
from ops.link.errors import LinkError, SettingsError
from ops.link.model import Model
from ops.link.packet_log import PacketLog
from ops.link.settings import Direction, LinkSettings, from_json
from proxy.clock import Clock, MonotonicClock

READS_IN_A_TURN = 64
"""Of one device. More would hold up packets that are due."""

_LONGEST_PACKET = 65535 + 64


class Shuttle:
    """Two devices and the model between them; `turn` carries what there is to carry.

    Devices are file descriptors that don't block: one packet a read, one packet a write.
    """

    def __init__(self, settings: LinkSettings, *, seed: int, near: int, far: int, clock: Clock) -> None:
        self._clock = clock
        self._model = Model(settings, seed=seed, now=clock.now())
        # From where to where each direction goes.
        self._ways = {Direction.UP: (near, far), Direction.DOWN: (far, near)}
        self._log: PacketLog | None = None
        self._origin_at = clock.now()
        self.stopping = False
        self._answers: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "change": self._change,
            "restart_clock": self._restart_clock,
            "statistics": self._statistics,
            "mark": self._mark,
            "log": self._start_log,
            "end_log": self._end_log,
            "sysctl": self._sysctl,
            "stop": self._stop,
        }
        self.name = ""
        """Of the link, where it has namespaces."""

    def __repr__(self) -> str:
        return f"<Shuttle {self.name} {self._model!r}>"

    def wait_s(self) -> float | None:
        """How long nothing is due; None: until a packet or a question comes."""
        at = self._model.next_at()
        return None if math.isinf(at) else max(at - self._clock.now(), 0.0)

    def turn(self, readable: list[int]) -> None:
        """Take in what the readable devices have, hand out what is due."""
        for direction, (source, _) in self._ways.items():
            if source in readable:
                self._take_in(direction, source)
        for direction, (_, target) in self._ways.items():
            for packet in self._model.arrived(direction, now=self._clock.now()):
                # A device that is down, or a receiver out of memory: the packet is gone, as it would be anywhere.
                with contextlib.suppress(OSError):
                    os.write(target, packet.data)
                if self._log is not None:
                    self._log.add(direction, packet)

    def _take_in(self, direction: Direction, source: int) -> None:
        for _ in range(READS_IN_A_TURN):
            try:
                data = os.read(source, _LONGEST_PACKET)
            except OSError:  # nothing there any more; or the device is down
                return
            packet = self._model.enter(direction, data, now=self._clock.now())
            if packet.fate is not None and self._log is not None:
                self._log.add(direction, packet)

    def answer(self, question: bytes) -> bytes:
        """What to say to a question over the control socket."""
        try:
            arguments = json.loads(question)
            answer = self._answers[arguments["what"]](arguments)
        except (LinkError, OSError) as error:
            return json.dumps({"error": str(error), "refused": isinstance(error, SettingsError)}).encode()
        except (ValueError, KeyError, TypeError) as error:
            return json.dumps({"error": f"no question for a link: {error!r}", "refused": False}).encode()
        return json.dumps({"answer": answer}).encode()

    def _change(self, arguments: Mapping[str, Any]) -> None:
        direction = Direction(arguments["direction"]) if arguments["direction"] else None
        self._model.change(arguments["values"], direction=direction, now=self._clock.now())

    def _restart_clock(self, arguments: Mapping[str, Any]) -> float:
        now = self._clock.now()
        self._model.restart_clock(now=now)
        return now

    def _statistics(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return self._model.statistics(now=self._clock.now(), reset=arguments["reset"]).as_json()

    def _mark(self, arguments: Mapping[str, Any]) -> float:
        self._origin_at = self._clock.now()
        if self._log is not None:
            self._log.origin_at = self._origin_at
        return self._origin_at

    def _start_log(self, arguments: Mapping[str, Any]) -> None:
        if self._log is not None:
            raise LinkError("the link writes a log already; end that one first")
        self._log = PacketLog(Path(arguments["path"]), origin_at=self._origin_at)

    def _end_log(self, arguments: Mapping[str, Any]) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            log.close()

    def _sysctl(self, arguments: Mapping[str, Any]) -> str:
        key, value = arguments["key"], arguments["value"]
        if key == namespaces.CONGESTION_CONTROL and value is not None:
            namespaces.allow_congestion_control(value)
        with namespaces.inside(f"{self.name}-{arguments['side']}"):
            if value is not None:
                namespaces.write_sysctl(key, value)
            return namespaces.read_sysctl(key)

    def _stop(self, arguments: Mapping[str, Any]) -> int:
        self.stopping = True
        return os.getpid()  # whose end shows that the namespaces are gone

    def close(self) -> None:
        """End the log, if there is one."""
        self._end_log({})


def carry(shuttle: Shuttle, devices: list[int], ends: list[int], listener: socket.socket) -> None:
    """Carry packets and answer questions until told to stop, or until one of `ends` can be read."""
    connections: dict[int, socket.socket] = {}
    waiting = [*devices, *ends, listener.fileno()]
    while not shuttle.stopping:
        # select, and neither epoll nor poll: those that Python has count in whole milliseconds.
        readable, _, _ = select.select([*waiting, *connections], [], [], shuttle.wait_s())
        shuttle.turn(readable)
        for handle in readable:
            if handle in ends:
                shuttle.stopping = True
            elif handle in connections:
                _reply(shuttle, connections.pop(handle))
            elif handle == listener.fileno():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    connections[connection.fileno()] = connection
    for connection in connections.values():
        connection.close()


def _reply(shuttle: Shuttle, connection: socket.socket) -> None:
    """One question, one answer."""
    with connection, contextlib.suppress(OSError):
        question = connection.recv(control.LONGEST_BYTES)
        if question and control.from_same_user(connection):
            connection.send(shuttle.answer(question))


def hurry() -> str:
    """Run before other programs if this process may; says how."""
    try:
        # What this process starts runs as usual.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        except OSError:
            return "ordinary"
        return "nice"
    return "real-time"


def run(owner: int, settings: LinkSettings, seed: int) -> None:
    """A link from its making to its end. Raises `LinkError`."""
    with contextlib.ExitStack() as stack:
        ends = [_when_signalled(stack), _when_ended(stack, owner)]
        namespaces.sweep()
        name = namespaces.create(owner)
        stack.callback(namespaces.delete, name)
        listener = control.listener(name)
        stack.callback(listener.close)
        devices = []
        for side, direction in zip(namespaces.SIDES, Direction, strict=True):
            mtu_bytes = int(settings.towards(direction).mtu_bytes)
            devices.append(namespaces.open_device(f"{name}-{side}", side, mtu_bytes=mtu_bytes))
            stack.callback(os.close, devices[-1])
        near, far = devices
        shuttle = Shuttle(settings, seed=seed, near=near, far=far, clock=MonotonicClock())
        stack.callback(shuttle.close)
        shuttle.name = name
        gc.disable()  # nothing here is part of a cycle, and a pause for the search would delay packets
        priority = hurry()
        print(json.dumps({"name": name, "priority": priority}), flush=True)
        carry(shuttle, devices, ends, listener)


def _when_signalled(stack: contextlib.ExitStack) -> int:
    """A file descriptor that can be read after SIGTERM or SIGHUP."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stack.callback(os.close, readable)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner's to handle; it comes to all processes of a terminal
    return readable


def _when_ended(stack: contextlib.ExitStack, owner: int) -> int:
    """A file descriptor that can be read after the process has ended."""
    try:
        handle = os.pidfd_open(owner)
    except ProcessLookupError as error:
        raise LinkError(f"process {owner}, who wanted the link, has ended") from error
    stack.callback(os.close, handle)
    return handle


def main() -> int:
    """Exit codes: 0 stopped, 1 failed."""
    order = json.loads(sys.stdin.readline())
    try:
        run(int(sys.argv[1]), from_json(order["settings"]), order["seed"])
    except (LinkError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
