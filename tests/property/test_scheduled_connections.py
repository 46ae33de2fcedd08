"""Real connections over links that lose, reorder and double, under each scheduler: every stream's bytes as written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.scheduling.base import StreamOrder
from policies.scheduling.registry import SCHEDULERS, make_scheduler
from proxy.testing.memory_link import Link, LinkSettings
from tests.unit.quic.pair import Pair, Side

links = st.builds(
    LinkSettings,
    delay_s=st.just(0.01),
    rate_bytes_s=st.sampled_from((200_000.0, 2_000_000.0)),
    queue_bytes=st.just(30_000),
    loss=st.sampled_from((0.0, 0.05)),
    duplicate=st.sampled_from((0.0, 0.1)),
    reorder=st.sampled_from((0.0, 0.2)),
    reorder_delay_s=st.just(0.015),
)


STREAMS = range(0, 24, 4)


class Writer:
    """Writes streams in pieces at one end, with orders that change, and knows what the other must get."""

    def __init__(self, side: Side, rng: random.Random) -> None:
        self.side = side
        self.rng = rng
        self.written: dict[int, bytes] = {}

    def write(self, stream_id: int, piece: bytes, *, now: float, end: bool = False) -> None:
        rng = self.rng
        order = StreamOrder(
            stream_id,
            now,
            now + rng.choice((-1.0, 0.05, 0.5, 5.0, float("inf"))),
            priority=rng.randrange(3),
            level=rng.choice(("high", "low")),
            weight=rng.choice((0.01, 1.0, 2.0)),
        )
        self.side.connection.order_stream(order, now=now)
        self.written[stream_id] = self.written.get(stream_id, b"") + piece
        self.side.connection.send_stream_data(stream_id, piece, end)


def run(certs: Path, name: str, settings: LinkSettings, seed: int) -> None:
    pair = Pair(certs, scheduler=make_scheduler(name))
    pair.server.connection.use_scheduler(make_scheduler(name), now=pair.clock.now())
    rng = random.Random(seed)
    pair.link.uplink, pair.link.downlink = (Link(settings, rng=random.Random(seed + way)) for way in (1, 2))
    client, server = Writer(pair.client, rng), Writer(pair.server, rng)
    both = [(writer, stream_id) for writer in (client, server) for stream_id in STREAMS]
    for stream_id in STREAMS:
        client.write(stream_id, b"!", now=pair.clock.now())
    pair.link.run(until=lambda: len(pair.server.data) == len(STREAMS))  # the streams exist at the other end
    for last in (False, False, True):
        pair.link.run_for(0.03)
        for writer, stream_id in both:
            piece = rng.randbytes(rng.choice((0, 1, 300, 3_000, 12_000)))
            writer.write(stream_id, piece, now=pair.clock.now(), end=last)
    pair.link.run(until=lambda: len(pair.client.ended) == len(pair.server.ended) == len(STREAMS), within_s=120.0)
    for writer, reader in ((client, pair.server), (server, pair.client)):
        assert {stream_id: bytes(data) for stream_id, data in reader.data.items()} == writer.written
    assert pair.client.connection.unsent_bytes(0) == pair.server.connection.unsent_bytes(0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_no_byte_is_lost_doubled_or_reordered_within_a_stream(certs: Path, name: str) -> None:
    @settings(max_examples=5)
    @given(link=links, seed=st.integers(0, 1000))
    def every_link(link: LinkSettings, seed: int) -> None:
        run(certs, name, link, seed)

    every_link()
