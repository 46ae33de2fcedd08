from __future__ import annotations

import asyncio

import pytest

from proxy.config import Address
from proxy.tasks import spawn
from proxy.testing.memory_resolver import MemoryResolver


async def test_names_are_what_the_test_says() -> None:
    resolver = MemoryResolver({"a.test": ["10.0.0.1", "::1", "10.0.0.1"]})
    assert await resolver.resolve("a.test", 1) == (Address("10.0.0.1", 1), Address("::1", 1))
    resolver.names["a.test"].remove("::1")
    assert await resolver.resolve("a.test", 2) == (Address("10.0.0.1", 2),)
    assert repr(resolver) == "<MemoryResolver {'a.test': ['10.0.0.1', '10.0.0.1']} asked=2>"


@pytest.mark.parametrize("names", [{}, {"a.test": []}])
async def test_a_name_without_addresses_is_not_known(names: dict[str, list[str]]) -> None:
    with pytest.raises(OSError, match="Name or service not known"):
        await MemoryResolver(names).resolve("a.test", 1)


async def test_an_answer_can_be_held_back() -> None:
    resolver = MemoryResolver({"a.test": ["10.0.0.1"]})
    resolver.answering.clear()
    answer = spawn(resolver.resolve("a.test", 1), name="resolving")
    await asyncio.sleep(0)
    assert (resolver.asked, answer.done()) == (1, False)
    resolver.answering.set()
    assert await answer == (Address("10.0.0.1", 1),)
