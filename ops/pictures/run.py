"""One run of what `headway demo` runs, with too much load in the middle, and what is seen of it meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import Progress

from ops.pictures.scrapes import Scrapes
from proxy.clock import Clock, MonotonicClock
from proxy.commands.certs import make_certs
from proxy.control.targets import Target
from proxy.demo.client import ask_with, open_client, until_ready
from proxy.demo.configuration import DemoSetting, model_qualities, write_configuration
from proxy.demo.load import CLASSES, Arrival, arrivals, new_tallies, send_load
from proxy.demo.processes import HeadwayProcess, free_tcp_and_udp_port, free_tcp_port
from proxy.demo.trace_inbox import TraceInbox
from proxy.demo.triton_server import HOST, TritonServer, TritonSettings, model_repository
from proxy.tasks import spawn
from proxy.top.ends import End
from proxy.top.follow import follow
from proxy.top.live import painter
from proxy.top.screen import screen

SCRAPES, TOP, TRACES, TRACE = "scrapes.jsonl", "top.ansi", "traces.jsonl", "trace.ansi"
"""What is kept of a run."""

SCRAPE_S = 2.0
START_S = 300.0
"""Triton loads six models, and a machine may be busy."""
FLUSH_S = 3.0
"""After the last answer, for the spans that wait in the processes."""
TOP_COLUMNS, TRACE_COLUMNS = 150, 118
BUSY = (1 / 3, 2 / 3)
"""The part of the run with more load."""
SEED = 1
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How to run."""

    seconds: float = SECONDS
    busy_factor: float = 5.0
    """How much more load there is in the busy part than the demo sends."""


async def run(folder: Path, settings: RunSettings) -> None:
    """Run, and leave what was seen in `folder`."""
    clock = MonotonicClock()
    traces = folder / TRACES
    traces.unlink(missing_ok=True)
    async with AsyncExitStack() as running:
        scratch = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="headway-pictures-")))
        inbox = running.enter_context(TraceInbox(traces))
        repository = model_repository()
        triton = await running.enter_async_context(
            TritonServer(repository, TritonSettings(trace_otlp_url=inbox.url, start_timeout_s=START_S))
        )
        make_certs(scratch / "certs", now=datetime.now(UTC))
        setting = DemoSetting(
            folder=scratch,
            proxy_port=free_tcp_port(),
            daemon_port=free_tcp_and_udp_port(),
            proxy_control_port=free_tcp_port(),
            daemon_control_port=free_tcp_port(),
            triton_url=triton.grpc_url,
            qualities=model_qualities(repository),
            traces_file=traces,
        )
        config, metrics = _with_metrics(write_configuration(setting))
        for role in ("daemon", "proxy"):
            await running.enter_async_context(HeadwayProcess(role, config))
        url = f"{HOST}:{setting.proxy_port}"
        await until_ready(url, timeout_s=START_S)
        targets = [
            Target(f"{HOST}:{setting.proxy_control_port}", tls=False, role="proxy"),
            Target(f"{HOST}:{setting.daemon_control_port}", tls=False, role="daemon"),
        ]
        pages = {"headway-proxy": metrics["proxy"], "headway-daemon": metrics["daemon"], "triton": triton.metrics_url}
        seeing = [
            spawn(_scrape(folder / SCRAPES, pages, clock), name="scrapes"),
            spawn(_look(folder / TOP, targets, settings.seconds * sum(BUSY) / 2, clock), name="top"),
        ]
        try:
            await _load(url, settings, clock)
            await asyncio.sleep(FLUSH_S)
        finally:
            for one in seeing:
                one.cancel()
            await asyncio.gather(*seeing, return_exceptions=True)
    (folder / TRACE).write_text(_trace(traces), encoding="utf-8")


def schedule(settings: RunSettings) -> list[Arrival]:
    """The demo's load, with more of it in the middle."""
    generator = random.Random(SEED)
    begin, end = (settings.seconds * share for share in BUSY)
    busy = [replace(load, rate_hz=load.rate_hz * (settings.busy_factor - 1)) for load in CLASSES]
    more = [replace(one, at_s=one.at_s + begin) for one in arrivals(end - begin, generator, busy)]
    return sorted([*arrivals(settings.seconds, generator), *more], key=lambda arrival: arrival.at_s)


def _with_metrics(config: Path) -> tuple[Path, dict[str, str]]:
    """The demo's configuration with a page of metrics for each role, and the pages' URLs."""
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    pages = {}
    for role in ("proxy", "daemon"):
        address = f"{HOST}:{free_tcp_port()}"
        document[role]["metrics_listen"] = address
        pages[role] = f"http://{address}/metrics"
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return config, pages


async def _load(url: str, settings: RunSettings, clock: Clock) -> None:
    tallies = new_tallies()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("load", total=settings.seconds)

        async def tick() -> None:
            while True:
                await asyncio.sleep(1.0)
                progress.advance(task, 1.0)

        ticking = spawn(tick(), name="progress")
        async with open_client(url) as client:
            await send_load(schedule(settings), ask_with(client), tallies, clock=clock, seconds=settings.seconds)
        ticking.cancel()
    for name, tally in tallies.items():
        late, failed = tally.answered - tally.on_time, tally.errors.total()
        print(f"{name}: {tally.sent} sent, {tally.on_time} on time, {late} late, {failed} failed")


async def _scrape(file: Path, pages: Mapping[str, str], clock: Clock) -> None:
    """Look at every page now and then; what was seen is written when the task is cancelled."""
    scrapes = Scrapes()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def page(url: str) -> str:
        with opener.open(url, timeout=10) as answer:
            return str(answer.read().decode())

    try:
        while True:
            at = clock.now()
            for job, url in pages.items():
                target = {"job": job, "instance": url.split("/")[2]}
                scrapes.add(await asyncio.to_thread(page, url), at=at, target=target)
            await asyncio.sleep(max(0.0, at + SCRAPE_S - clock.now()))
    finally:
        scrapes.write(file)


async def _look(file: Path, targets: list[Target], after_s: float, clock: Clock) -> None:
    """Keep the page of `headway top` as it is `after_s` from now."""
    ends = [End(str(target)) for target in targets]
    following = [
        spawn(follow(target, end, tls=None, interval_s=1.0, clock=clock, changed=lambda: None), name=f"{target}")
        for target, end in zip(targets, ends, strict=True)
    ]
    paint = painter(Console(force_terminal=True, color_system="standard"))
    try:
        await asyncio.sleep(after_s)
        page = screen(ends, width=TOP_COLUMNS, height=30, now=clock.now(), interval_s=1.0)
        await asyncio.to_thread(file.write_text, "\n".join(paint(line) for line in page), encoding="utf-8")
    finally:
        for one in following:
            one.cancel()


def _trace(traces: Path) -> str:
    """What `headway trace` prints of the worst call."""
    shown = subprocess.run(
        [sys.executable, "-m", "proxy.cli", "trace", traces.name, "--missed", "--limit", "1"],
        cwd=traces.parent,
        env={
            **os.environ,
            "FORCE_COLOR": "1",
            "COLUMNS": str(TRACE_COLUMNS),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    return shown.stdout
