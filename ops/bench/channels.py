"""The connections of a client that an experiment has started: one to each address, made when it is first called."""

from __future__ import annotations

import grpc

from ops.bench.serving import UNLIMITED


class Channels:
    """Channels without limits, with gRPC `options` on top."""

    def __init__(self, *options: tuple[str, int]) -> None:
        self._options = (*UNLIMITED, *options)
        self._channels: dict[str, grpc.aio.Channel] = {}

    def to(self, address: str) -> grpc.aio.Channel:
        """The channel to an address."""
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=self._options)
        return self._channels[address]

    async def close(self) -> None:
        """Close them all, with their calls."""
        for channel in self._channels.values():
            await channel.close(None)
