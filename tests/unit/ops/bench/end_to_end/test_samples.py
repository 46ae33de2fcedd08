import asyncio

from ops.bench.end_to_end.samples import Sampler, read_page, sample_of

PAGE = """# TYPE headway_queue_bytes gauge
headway_queue_bytes{direction="request"} 4096
headway_scheduler_mode{direction="request",scheduler="adaptive",mode="pruning"} 1
"""


def test_a_page_tells_mode_and_queue() -> None:
    assert sample_of(PAGE) == {"mode": "pruning", "queue_bytes": 4096.0}
    assert sample_of("") == {"mode": None, "queue_bytes": None}


async def test_pages_are_read_while_the_block_runs() -> None:
    asked = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n\r\n{PAGE}".encode())
        writer.close()
        asked.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"
        assert await read_page(url) == PAGE
        asked.clear()
        async with Sampler(url, began_at=0.0) as sampler:
            await asked.wait()
            while not sampler.samples:  # noqa: ASYNC110 -- the page is on its way
                await asyncio.sleep(0)
    assert sampler.samples[0]["mode"] == "pruning"


async def test_without_a_url_nothing_is_read_and_a_page_that_fails_is_left_out() -> None:
    async with Sampler(None, began_at=0.0) as idle:
        pass
    async with Sampler("http://127.0.0.1:1/metrics", began_at=0.0) as refused:
        await asyncio.sleep(0.01)
    assert idle.samples == refused.samples == []
