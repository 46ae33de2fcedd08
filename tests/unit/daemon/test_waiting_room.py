from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from policies.profile import Profile
from policies.selection.base import Request
from policies.selection.late_model import LateSettings
from proxy.daemon.late_queue import LateQueue, Released
from proxy.daemon.load import ModelLoad
from proxy.daemon.waiting_room import RoomFullError, WaitingRoom, WaitingStatistics
from proxy.errors import Code
from proxy.tasks import spawn
from proxy.testing.virtual_loop import VirtualTimeLoop


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    made = VirtualTimeLoop()
    yield made
    made.close()


class Served:
    """A room before one model, which takes 0.4 s, or 1 s for four, and is told of what is released."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.load = ModelLoad("large", "a", profile=Profile(((1, 0.4), (4, 1.0))))
        self.decisions = 0
        self.released: dict[str, tuple[float, Released]] = {}
        queue = LateQueue([(0.8, self.load)], LateSettings(least_lead_s=0.0), name="late")
        self.room = WaitingRoom(queue, capacity_bytes=100, clock=loop.clock, decided=self._decided)

    def _decided(self, took_s: float) -> None:
        self.decisions += 1

    async def ask(self, name: str, *, due_at: float = 90.0, size: int = 10) -> Released:
        """One request from its arrival to its answer."""
        request = Request("llm", deadline_at=due_at + 0.1, way_back_s=0.1, size_bytes=size)
        released = await self.room.wait(request, way_back_deviation_s=0.0)
        self.released[name] = (self.loop.time(), released)
        if released.position is not None:
            self.load.sent(released.key, now=self.loop.time())
            await asyncio.sleep(0.4)
            self.load.finished(released.key, Code.OK, now=self.loop.time())
        return released

    def begin(self, name: str, *, size: int = 10) -> asyncio.Task[Released]:
        return spawn(self.ask(name, size=size), name=name)

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(story)


@pytest.fixture
def served(loop: VirtualTimeLoop) -> Served:
    return Served(loop)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_are_released_when_the_model_is_about_to_be_free(served: Served) -> None:
    async def story() -> None:
        await asyncio.gather(served.ask("a"), served.ask("b"), served.ask("c"))

    served.run(story())
    assert {name: round(at, 3) for name, (at, _) in served.released.items()} == {"a": 0.0, "b": 0.4, "c": 0.4}
    assert served.room.statistics() == WaitingStatistics()


def test_nothing_is_decided_while_nothing_happens(served: Served) -> None:
    async def story() -> None:
        asks = [served.begin(name) for name in "abcd"]
        await turns()
        assert served.decisions == 1
        assert served.room.statistics() == WaitingStatistics(3, 30)
        await asyncio.sleep(0.39)
        assert served.decisions == 1
        await asyncio.gather(*asks)

    served.run(story())


def test_a_cancelled_request_leaves_and_the_others_go_on(served: Served) -> None:
    async def story() -> None:
        first, second = (served.begin(name) for name in "ab")
        await turns()
        third = served.begin("c")
        await turns()
        second.cancel()
        await turns()
        assert served.room.statistics() == WaitingStatistics(1, 10)
        await first
        await third

    served.run(story())
    assert set(served.released) == {"a", "c"}


def test_one_cancelled_between_its_release_and_its_departure_leaves_the_model_to_the_next(served: Served) -> None:
    async def story() -> None:
        first = served.begin("a")
        await turns(1)
        served.loop.call_soon(first.cancel)  # after the decision, before the task goes on
        with pytest.raises(asyncio.CancelledError):
            await first
        await served.ask("b")

    served.run(story())
    assert served.released["b"][0] == 0.0


def test_what_does_not_fit_is_refused_and_a_single_request_always_fits(served: Served) -> None:
    async def story() -> None:
        first = served.begin("a")
        await turns()
        large = served.begin("large", size=1000)
        await turns()
        with pytest.raises(RoomFullError, match=r"^1000 bytes wait already, and 100 may$"):
            await served.ask("c", size=1)
        await first
        await large

    served.run(story())


def test_a_closed_room_leaves_everything_to_the_policy(served: Served) -> None:
    async def story() -> None:
        first, second = (served.begin(name) for name in "ab")
        await turns()
        served.room.close()
        assert (await second).undecided
        await first
        assert served.decisions == 1

    served.run(story())


def test_a_model_that_is_ready_again_is_noticed(served: Served) -> None:
    async def story() -> None:
        first, second = (served.begin(name) for name in "ab")
        await turns()
        served.load.probed(ready=False, now=0.0)
        assert (await second).undecided  # nothing else could take it
        await first

    served.run(story())
    assert served.released["b"][0] == 0.0


def test_what_comes_too_late_is_refused_at_once(served: Served) -> None:
    async def story() -> None:
        released = await served.ask("a", due_at=0.1)
        assert released.refused

    served.run(story())
    assert repr(served.room).startswith("<WaitingRoom <LateQueue 0 requests")
    assert served.room.guard().decisions == 1
