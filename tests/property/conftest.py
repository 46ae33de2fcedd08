"""Fixtures of the property tests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.commands.certs import make_certs


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `headway certs` leaves it, for the host `daemon.test`."""
    directory = tmp_path_factory.mktemp("certs")
    make_certs(directory, hosts=["daemon.test"], now=datetime.now(UTC))
    return directory
