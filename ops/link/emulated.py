"""A link for a program: two namespaces, the shuttle between them, and both gone at the end of the block."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.link import control, namespaces
from ops.link.errors import LinkError, LinkGoneError
from ops.link.settings import Direction, LinkSettings, as_json
from ops.link.statistics import LinkStatistics
from proxy.children import send_signal

_ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 30.0
"""A start takes about 0.3 s on an idle machine."""
_STOP_TIMEOUT_S = 10.0


class Side:
    """One end of a link: a network namespace with the link's device and a loopback device of its own."""

    def __init__(self, link: str, side: str) -> None:
        self._link = link
        self._side = side
        self.namespace = f"{link}-{side}"
        """As `ip netns` calls it."""
        self.address = namespaces.ADDRESSES[side]
        """IPv4, of the link's device."""
        self.address6 = namespaces.ADDRESSES6[side]
        """IPv6; there is none where the MTU is below 1280."""

    def __repr__(self) -> str:
        return f"<Side {self.namespace} {self.address}>"

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs `arguments` inside. The process keeps its id, so signals reach the program."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket inside, used from this process: a socket stays in the namespace that it was made in."""
        with namespaces.inside(self.namespace):
            return socket.socket(family, kind, protocol)

    def sysctl(self, key: str, value: str | None = None) -> str:
        """Set a `net.…` key of this side's kernel, if there is a value; what it is then. Raises `LinkError`."""
        answer = control.ask(self._link, "sysctl", side=self._side, key=key, value=value)
        return str(answer)


class EmulatedLink:
    """A link, up within `async with`. Needs root; `namespaces_permitted()` says whether it can work here.

    The block's end, an exception in it, and the end of this process in any way at all delete the namespaces and end
    what still runs in them. The methods ask the shuttle, which takes well under a millisecond; they raise
    `LinkGoneError` if it is gone.
    """

    def __init__(self, settings: LinkSettings | None = None, *, seed: int = 1) -> None:
        self._settings = settings or LinkSettings()
        self._seed = seed
        self._process: Process | None = None
        self.name = ""
        """`hw-<pid>-<n>` while it is up."""
        self.priority = ""
        """Of the shuttle: real-time, nice or ordinary."""

    def __repr__(self) -> str:
        return f"<EmulatedLink {self.name or 'not up'}>"

    async def __aenter__(self) -> Self:
        """Bring it up. Raises `LinkError`."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops.link.shuttle", str(os.getpid())),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            cwd=_ROOT,
            start_new_session=True,  # a terminal's Ctrl-C is this process's to handle
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                said = await self._started(self._process)
        except TimeoutError as error:
            await self._stop()
            raise LinkError(f"the link was not up within {_START_TIMEOUT_S:g} s") from error
        except BaseException:
            await self._stop()
            raise
        self.name, self.priority = said["name"], said["priority"]
        self.near, self.far = (Side(self.name, side) for side in namespaces.SIDES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _started(self, process: Process) -> dict[str, str]:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 -- asked for above
        order = {"settings": as_json(self._settings), "seed": self._seed}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise LinkError(f"the link's shuttle ended with {await process.wait()} before it was up")
        said: dict[str, str] = json.loads(line)
        if "error" in said:
            raise LinkError(said["error"])
        return said

    async def _stop(self) -> None:
        """End the shuttle; finishes also when cancelled. What the shuttle could not delete is deleted here."""
        process, name = self._process, self.name
        if process is None:
            return
        self._process, self.name = None, ""
        send_signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except (TimeoutError, asyncio.CancelledError) as error:
            send_signal(process, signal.SIGKILL)
            await process.wait()
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            # A shuttle that ended in order has deleted them, and another link of this process may have the name by now.
            if name and process.returncode != 0:
                namespaces.delete(name)

    @property
    def shuttle_pid(self) -> int:
        """The process that carries the packets. Raises `LinkError` when the link is not up."""
        if self._process is None:
            raise LinkGoneError("the link is not up")
        return self._process.pid

    async def ended(self) -> int:
        """Wait until somebody else ends the link; the shuttle's exit code, 0 if it was told to end."""
        return 0 if self._process is None else await self._process.wait()

    def change(self, direction: Direction | str | None = None, **values: float) -> None:
        """Other values of `LinkSettings` from now on, in one direction or both. Raises `SettingsError`."""
        self._ask("change", values=values, direction=direction)

    def restart_clock(self) -> float:
        """Back to the settings of the start, their changes counted from now; now, on the monotonic clock."""
        return float(self._ask("restart_clock"))

    def statistics(self, *, reset: bool = False) -> LinkStatistics:
        """Since the start or the last reset; `reset` counts from nothing after this."""
        return LinkStatistics.from_json(self._ask("statistics", reset=reset))

    def mark(self) -> float:
        """Set the time origin of the log to now; now, on this machine's monotonic clock (`time.monotonic`)."""
        return float(self._ask("mark"))

    @contextlib.contextmanager
    def log(self, path: Path | str) -> Iterator[None]:
        """Write a line for each packet while the block runs; `ops.link.packet_log` names the columns."""
        self._ask("log", path=str(Path(path).absolute()))
        try:
            yield
        finally:
            with contextlib.suppress(LinkGoneError):  # then the shuttle has closed it
                self._ask("end_log")

    def _ask(self, what: str, **arguments: object) -> Any:
        if not self.name:
            raise LinkGoneError("the link is not up")
        return control.ask(self.name, what, **arguments)
