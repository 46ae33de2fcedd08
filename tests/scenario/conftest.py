"""Both ends of a tunnel in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.commands.certs import make_certs
from proxy.testing.virtual_loop import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `headway certs` leaves it."""
    directory = tmp_path_factory.mktemp("certs")
    make_certs(directory, now=datetime.now(UTC))
    return directory
