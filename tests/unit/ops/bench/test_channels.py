from __future__ import annotations

from ops.bench.channels import Channels


async def test_one_channel_an_address() -> None:
    channels = Channels()
    first = channels.to("127.0.0.1:1")
    assert channels.to("127.0.0.1:1") is first
    assert channels.to("127.0.0.1:2") is not first
    await channels.close()
