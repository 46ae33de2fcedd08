"""The paths that every conformance test runs over, and the ends of each path.

`direct` is client → backend: a test that fails there is wrong about gRPC. `quic` and `tcp` are
client → headway proxy → tunnel → headway daemon → backend: a test that fails only there has found a fault in headway.
"""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from proxy.testing.stack import HeadwayStack, ProcessStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client

HERE = pathlib.Path(__file__).parent
HEADWAY = ("quic", "tcp")
EVERY = ("direct", *HEADWAY)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "headway_only: makes sense only with headway between client and backend")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "path" in metafunc.fixturenames:
        headway_only = metafunc.definition.get_closest_marker("headway_only") is not None
        metafunc.parametrize("path", HEADWAY if headway_only else EVERY, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One loop a module: backend, stack and client are made once and live in the loop that the tests run in.
    module_loop = pytest.mark.asyncio(loop_scope="module")
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(module_loop, append=False)


@dataclass(frozen=True)
class Path:
    """A way from a client to a backend."""

    name: str

    @property
    def is_direct(self) -> bool:
        return self.name == "direct"

    @contextlib.asynccontextmanager
    async def open(self, backend_address: str, *, max_message_bytes: int | None = None) -> AsyncIterator[str]:
        """Yield the address to call; `max_message_bytes` is headway's limit and nothing on the direct path."""
        if self.is_direct:
            yield backend_address
            return
        ends: dict[str, int] = {} if max_message_bytes is None else {"max_message_bytes": max_message_bytes}
        async with HeadwayStack(backend_address, transport=self.name, proxy=ends, daemon=ends) as stack:
            yield stack.address

    @contextlib.asynccontextmanager
    async def processes(self, backend_address: str) -> AsyncIterator["Processes"]:
        """Like `open`, with proxy and daemon as processes of their own."""
        async with ProcessStack(backend_address, transport=self.name) as stack:
            yield Processes(stack.address, {"proxy": stack.proxy_pid, "daemon": stack.daemon_pid})


@dataclass(frozen=True)
class Processes:
    """headway in processes: where to call it, and whom to measure."""

    address: str
    pids: dict[str, int]


@dataclass(frozen=True)
class Target:
    """A path that is open: the endpoint under test and the backend behind it."""

    address: str
    backend: Backend
    path: Path


@pytest.fixture(scope="module")
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[Backend]:
    async with Backend() as backend:
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(path: Path, backend: Backend) -> AsyncIterator[Target]:
    async with path.open(backend.address) as address:
        yield Target(address, backend, path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(target: Target) -> AsyncIterator[Client]:
    async with Client(target.address) as client:
        yield client
