"""A directory as `headway certs` leaves it, and configurations in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.commands.certs import make_certs
from proxy.config import Config, load_config

Loader = Callable[[str], Config]

MADE_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Has `certs/`, made at `MADE_AT` for gpu-host."""
    make_certs(tmp_path / "certs", hosts=["gpu-host"], now=MADE_AT)
    return tmp_path


@pytest.fixture
def load(home: Path) -> Loader:
    """Load a configuration whose paths start from `home`."""

    def load_text(text: str) -> Config:
        path = home / "headway.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load_text
