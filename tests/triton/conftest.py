"""Real Triton servers for the tests in this folder.

`triton` has the test models beside this file, `llm_triton` the demo's language models; both live for the whole
session. A test that kills or stops a server starts its own: `TritonServer(test_models,
TritonSettings(models=("echo",)))` takes half a second.
"""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.demo.triton_server import TritonServer, model_repository
from proxy.demo.triton_wheel import TritonMissingError

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.triton)


async def _serve(repository: Path) -> AsyncIterator[TritonServer]:
    try:
        async with TritonServer(repository) as server:
            yield server
    except TritonMissingError as missing:
        if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def test_models() -> Path:
    """The model repository with echo, add_sub, sleepy and the like."""
    return HERE / "models"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def triton(test_models: Path) -> AsyncIterator[TritonServer]:
    """A real Triton with the test models."""
    async for server in _serve(test_models):
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llm_triton() -> AsyncIterator[TritonServer]:
    """A real Triton with the demo's language models."""
    async for server in _serve(model_repository()):
        yield server
