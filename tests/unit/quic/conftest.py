"""Certificates, and virtual time for what needs an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.commands.certs import make_certs
from proxy.testing.virtual_loop import VirtualTimeLoop

REAL_SOCKETS = ("test_driver.py", "test_port.py")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"real": asyncio.new_event_loop} if item.path.name in REAL_SOCKETS else {"virtual": VirtualTimeLoop}


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `headway certs` leaves it, for the host `daemon.test`."""
    directory = tmp_path_factory.mktemp("certs")
    make_certs(directory, hosts=["daemon.test"], now=datetime.now(UTC))
    return directory
