"""Runs a proxy or a daemon until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from contextlib import AsyncExitStack
from typing import Protocol

from proxy.commands.extras import from_extra
from proxy.compose.frontend import Proxy
from proxy.config import Config
from proxy.tasks import spawn

logger = logging.getLogger(__name__)


class Server(Protocol):
    """What `run_until_signalled` runs."""

    @property
    def address(self) -> str:
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listen."""

    async def drain(self) -> bool:
        """Refuse new calls and let those in progress finish; False if the configured time was not enough."""

    async def close(self) -> None:
        """Stop at once."""


async def serve_proxy(config: Config) -> int:
    """Run a proxy until SIGTERM or SIGINT; the exit code."""
    return await run_until_signalled(Proxy(config), noun="Proxy")


async def serve_daemon(config: Config) -> int:
    """Run a daemon until SIGTERM or SIGINT; the exit code.

    Raises `MissingExtraError` in the plain installation, which lacks what the daemon's model side needs.
    """
    with from_extra("daemon", "the daemon"):
        from proxy.compose.backend import Daemon  # noqa: PLC0415
    return await run_until_signalled(Daemon(config), noun="Daemon")


async def run_until_signalled(server: Server, *, noun: str) -> int:
    """Serve until the first SIGTERM or SIGINT, then drain; a second one stops at once. The exit code."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(server.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        await server.start()
        # What is there now stays: the garbage collector need not look through it again, for 15 to 40 ms each time.
        gc.collect()
        gc.freeze()
        logger.info("%s listens on %s", noun, server.address)
        await stop.wait()
        logger.info("%s stops: calls in progress may finish; a second signal stops at once", noun)
        drained = spawn(server.drain(), name="drain")
        hurried = spawn(hurry.wait(), name="second signal")
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()
    logger.info("%s stopped", noun)
    return 0
