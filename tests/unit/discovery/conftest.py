"""Virtual time: intervals of a discovery pass at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from proxy.testing.virtual_loop import VirtualTimeLoop

REAL_THREADS = ("test_resolver.py",)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"real": asyncio.new_event_loop} if item.path.name in REAL_THREADS else {"virtual": VirtualTimeLoop}
