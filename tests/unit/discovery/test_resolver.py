"""The system's resolver, asked for what needs no DNS server."""

from __future__ import annotations

import pytest

from proxy.config import Address
from proxy.discovery.resolver import SystemResolver


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7"])
async def test_an_address_is_itself(host: str) -> None:
    assert await SystemResolver().resolve(host, 4433) == (Address(host, 4433),)


async def test_the_name_of_this_machine() -> None:
    found = await SystemResolver().resolve("localhost", 4433)
    assert {*found} <= {Address("127.0.0.1", 4433), Address("::1", 4433)}
    assert len(found) == len({*found}) > 0


@pytest.mark.parametrize("host", [f"{'a' * 64}.invalid", "a..invalid"])
async def test_what_can_be_no_name(host: str) -> None:
    with pytest.raises(OSError, match="no name that DNS could have"):
        await SystemResolver().resolve(host, 4433)
