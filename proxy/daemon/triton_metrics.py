"""Reads Triton's metrics page once a second: requests in the models' queues, and how busy its GPUs are.

Off the way of requests: they see what was read last. Of a page, which has some twenty lines for each model, only the
lines of two metrics are parsed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from proxy.daemon.routes import Routes
from proxy.errors import HeadwayError

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0
TIMEOUT_S = 1.0
"""A page that takes longer is given up."""
LARGEST_PAGE_BYTES = 16 << 20
"""A Triton with a thousand models has a page of about 2 MB."""

PENDING = "nv_inference_pending_request_count"
GPU = "nv_gpu_utilization"
"""0 to 1, for each GPU (Triton's `docs/user_guide/metrics.md`)."""
_LINES = re.compile(rf"^(?:{PENDING}|{GPU})\b.*$", re.MULTILINE)
_HTTP_OK = 200
_PORTS = {"http": 80, "https": 443}


class MetricsError(HeadwayError):
    """A page could not be read; the text says why."""


@dataclass(frozen=True, slots=True)
class TritonNumbers:
    """What a page says that policies go by."""

    pending: Mapping[str, int] = field(default_factory=dict)
    """Requests in each model's queue, all of its versions together."""
    gpu_load: float | None = None
    """Mean utilisation of its GPUs, 0 to 1: which of them runs a model is not said. None where it has none."""


def parse_metrics(page: str) -> TritonNumbers:
    """Read a page. Raises MetricsError for text that is none."""
    pending: dict[str, int] = {}
    loads: list[float] = []
    try:
        for family in text_string_to_metric_families("\n".join([*_LINES.findall(page), ""])):
            for sample in family.samples:
                if sample.name == PENDING:
                    model = sample.labels.get("model", "")
                    pending[model] = pending.get(model, 0) + int(sample.value)
                else:
                    loads.append(min(max(sample.value, 0.0), 1.0))
    except (ValueError, OverflowError) as error:
        raise MetricsError(f"not a Prometheus page: {error}") from error
    return TritonNumbers(pending, sum(loads) / len(loads) if loads else None)


async def fetch(url: str) -> str:
    """The body of an HTTP GET. Raises MetricsError, and TimeoutError after `TIMEOUT_S`.

    HTTP/1.0, so that the body ends with the connection.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            port = parts.port or _PORTS[parts.scheme]
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
            writer.write(f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: text/plain\r\n\r\n".encode())
            answer = bytearray()
            while chunk := await reader.read(1 << 16):
                answer += chunk
                if len(answer) > LARGEST_PAGE_BYTES:
                    raise MetricsError(f"the page is longer than {LARGEST_PAGE_BYTES} bytes")
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise MetricsError(str(error)) from error
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or not status[1].isdigit():  # noqa: PLR2004
        raise MetricsError("the answer is not HTTP")
    if int(status[1]) != _HTTP_OK:
        raise MetricsError(f"HTTP status {status[1].decode()}")
    return body.decode(errors="replace")


class MetricsPoll:
    """Keeps the accounts of the models up to date with what their Tritons say. `pages` has the URLs, by Triton."""

    def __init__(self, routes: Routes, pages: Mapping[str, str]) -> None:
        self._routes = routes
        self._pages = pages
        self._unread: set[str] = set()

    def __repr__(self) -> str:
        return f"<MetricsPoll {len(self._pages)} pages, {len(self._unread)} that can't be read>"

    async def run(self) -> None:
        """Poll until cancelled."""
        while self._pages:
            await self.poll()
            await asyncio.sleep(INTERVAL_S)

    async def poll(self) -> None:
        """Read every page once."""
        await asyncio.gather(*(self._read(triton, url) for triton, url in self._pages.items()))

    async def _read(self, triton: str, url: str) -> None:
        numbers = TritonNumbers()
        problem = ""
        try:
            numbers = parse_metrics(await fetch(url))
        except TimeoutError:
            problem = f"no answer within {TIMEOUT_S:g} s"
        except MetricsError as error:
            problem = str(error)
        if problem and triton not in self._unread:
            self._unread.add(triton)
            logger.warning("Metrics of triton %r at %s can't be read: %s", triton, url, problem)
        elif not problem and triton in self._unread:
            self._unread.discard(triton)
            logger.warning("Metrics of triton %r at %s can be read again", triton, url)
        for backend, model, load in self._routes.models():
            if backend == triton:
                load.account.queued(numbers.pending.get(model, 0))
                load.account.gpu_load = numbers.gpu_load
