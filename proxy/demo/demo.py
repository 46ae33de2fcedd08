"""`headway demo`, from the first process to the last word.

Exit codes: 0 when the demo went to its end, `--keep` and its Ctrl-C included; 1 when something did not start or answer;
130 when Ctrl-C (or SIGTERM, SIGHUP) cut it short. Whatever ends it, the processes, their shared memory and the
temporary folder are gone when it returns; the file of traces stays.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rich.console import Console
from rich.text import Text

from proxy.clock import MonotonicClock
from proxy.commands.certs import make_certs
from proxy.demo.client import ask_with, complete, open_client, stream_completion, until_ready
from proxy.demo.configuration import (
    POLICY,
    SIZES,
    STREAM_ROUTE,
    DemoSetting,
    model_qualities,
    write_configuration,
)
from proxy.demo.load import arrivals, new_tallies, send_load
from proxy.demo.next_steps import Surroundings, after_keeping, after_the_end
from proxy.demo.processes import DemoError, HeadwayProcess, Watched, free_tcp_and_udp_port, free_tcp_port
from proxy.demo.screen import show_while
from proxy.demo.trace_inbox import TraceInbox
from proxy.demo.trace_view import draw, read_spans
from proxy.demo.triton_server import HOST, TritonServer, TritonSettings, model_repository
from proxy.errors import HeadwayError
from proxy.tasks import spawn
from proxy.tracefile.spans import Span

T = TypeVar("T")

DONE, INTERRUPTED = 0, 130

PROXY_PORT = 8001
"""Where gRPC clients of Triton look; another one if it is taken."""
PROXY_CONTROL_PORT, DAEMON_CONTROL_PORT = 8009, 8010
"""For `headway ctl`; others if they are taken."""
READY_TIMEOUT_S = 20.0
"""From the start of daemon and proxy to the first answer through both."""
TRACE_TIMEOUT_S = 4.0
"""Until the spans of one call, which wait up to a second in each process, are in the file."""
SEED = 1
PLAIN_WIDTH = 120
"""Columns of output that goes to a file or a pipe: all of the table fits."""
TRACES_FILE = Path("headway-traces.jsonl")
"""The configuration's default, too."""

COMPLETIONS = (
    ("realtime", "The for statement is used to ", 32),
    ("standard", "An exception is raised when ", 48),
    ("bulk", "The import statement ", 96),
)
STREAMED = ("realtime", "A list is a ", 64)


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the command line says."""

    seconds: float = 10.0
    """How long to send load."""
    keep: bool = False
    """Stay up until Ctrl-C."""
    traces_file: Path = TRACES_FILE
    """Spans are appended to it."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that runs."""

    url: str
    """The proxy, host:port."""
    config: Path
    traces_file: Path
    traces_offset: int
    """Size of the file when the demo began."""
    processes: tuple[Watched, ...]

    async def guarded(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, but raise the process's `failure` as soon as one ends that should run."""
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._fail_when_one_ends())
                result = await work
                watch.cancel()
        except BaseExceptionGroup as failures:
            ours = failures.subgroup(HeadwayError)
            if ours is None:
                raise
            raise _first(ours) from None
        else:
            return result

    async def _fail_when_one_ends(self) -> NoReturn:
        ends = [spawn(process.exited(), name=f"exit of {process!r}") for process in self.processes]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        raise next(process for process, end in zip(self.processes, ends, strict=True) if end.done()).failure()


@dataclass(slots=True)
class Interruption:
    """A signal that asks the demo to end."""

    asked: asyncio.Event
    expected: bool = False
    """Whether nothing is left to do, so that it need not be cut short."""


def run(*, keep: bool, seconds: float, traces_file: Path | None = None, console: Console | None = None) -> int:
    """Run the demo; the exit code. Raises `HeadwayError` when something does not start or answer."""
    settings = DemoSettings(seconds=seconds, keep=keep, traces_file=(traces_file or TRACES_FILE).absolute())
    if console is None:
        console = Console()
        if not console.is_terminal:
            console.width = PLAIN_WIDTH
    return asyncio.run(run_until_interrupted(settings, console))


async def run_until_interrupted(settings: DemoSettings, console: Console) -> int:
    """Run the demo, and stop everything in order when a signal asks for it. A second signal does not hurry that."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None  # noqa: S101 -- a coroutine runs in a task
    interruption = Interruption(asyncio.Event())

    def interrupt() -> None:
        if not interruption.expected and not interruption.asked.is_set():
            main.cancel()
        interruption.asked.set()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, interrupt)
    try:
        async with _stack(settings, console) as stack:
            await stack.guarded(_story(settings, stack, console, interruption))
    except asyncio.CancelledError:
        if not interruption.asked.is_set():
            raise
        console.print("Interrupted; everything is stopped.")
        return INTERRUPTED
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
    return DONE


@asynccontextmanager
async def _stack(settings: DemoSettings, console: Console) -> AsyncIterator[Stack]:
    """Start everything; stop it in the opposite order."""
    clock = MonotonicClock()

    def say(what: str, detail: str, since: float) -> float:
        now = clock.now()
        line = Text.assemble((f"{what:<13}", "bold"), f" {detail}  ", (f"{now - since:.1f} s", "dim"))
        console.print(line, soft_wrap=True)
        return now

    async with AsyncExitStack() as running:
        started_at = clock.now()
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="headway-demo-")))
        offset = settings.traces_file.stat().st_size if settings.traces_file.exists() else 0
        try:
            inbox = running.enter_context(TraceInbox(settings.traces_file))
        except OSError as error:
            raise DemoError(f"{settings.traces_file} cannot be written: {error.strerror}") from error
        repository = model_repository()
        qualities = model_qualities(repository)
        console.print("Starting Triton with three language models, for whole and for streamed answers …", style="dim")
        triton = await running.enter_async_context(
            TritonServer(repository, TritonSettings(trace_otlp_url=inbox.url, stop_grace_s=1.0))
        )
        models = ", ".join(f"{size} {qualities[size]:.2f}" for size in SIZES)
        started_at = say("Triton", f"{triton.grpc_url}  models (quality): {models}", started_at)

        make_certs(folder / "certs", now=datetime.now(UTC))
        setting = DemoSetting(
            folder=folder,
            proxy_port=free_tcp_port(preferred=PROXY_PORT),
            daemon_port=free_tcp_and_udp_port(),
            proxy_control_port=free_tcp_port(preferred=PROXY_CONTROL_PORT),
            daemon_control_port=free_tcp_port(preferred=DAEMON_CONTROL_PORT),
            triton_url=triton.grpc_url,
            qualities=qualities,
            traces_file=settings.traces_file,
        )
        config = write_configuration(setting)
        daemon = await running.enter_async_context(HeadwayProcess("daemon", config))
        proxy = await running.enter_async_context(HeadwayProcess("proxy", config))
        stack = Stack(f"{HOST}:{setting.proxy_port}", config, settings.traces_file, offset, (triton, daemon, proxy))
        await stack.guarded(until_ready(stack.url, timeout_s=READY_TIMEOUT_S))
        say("daemon", f"{HOST}:{setting.daemon_port}  gRPC over HTTP/3; policy: {POLICY}", started_at)
        say("proxy", f"{stack.url}  where clients connect", started_at)
        console.print()
        yield stack


async def _story(settings: DemoSettings, stack: Stack, console: Console, interruption: Interruption) -> None:
    await _send_load(settings, stack, console)
    trace_id = secrets.token_hex(16)
    await asyncio.to_thread(_show_completions, stack.url, trace_id, console)
    await asyncio.to_thread(_show_stream, stack.url, console)
    await _show_traces(stack, trace_id, console)
    _show_next(settings, stack, console)
    if settings.keep:
        console.print(f"\nRunning on {stack.url} until Ctrl-C.", highlight=False)
        console.print(f"How it is: headway top -c {stack.config}", style="dim", highlight=False, soft_wrap=True)
        interruption.expected = True
        await interruption.asked.wait()


async def _send_load(settings: DemoSettings, stack: Stack, console: Console) -> None:
    console.print(f"{settings.seconds:g} s of requests from a stock tritonclient, three traffic classes:")
    tallies = new_tallies()
    schedule = arrivals(settings.seconds, random.Random(SEED))  # noqa: S311 -- a load, not a secret
    async with open_client(stack.url) as client:
        load = send_load(schedule, ask_with(client), tallies, clock=MonotonicClock(), seconds=settings.seconds)
        await show_while(load, tallies, console)
    errors = [error for tally in tallies.values() for error in tally.errors]
    if errors:
        console.print(f"The first error: {errors[0]}", style="yellow", markup=False)
    if not any(tally.answered for tally in tallies.values()):
        raise DemoError("no request was answered")


def _show_completions(url: str, trace_id: str, console: Console) -> None:
    console.print("\nCompletions:")
    for number, (traffic_class, prompt, tokens) in enumerate(COMPLETIONS):
        traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01" if number == 0 else ""
        text, model = complete(url, traffic_class, prompt, tokens, traceparent=traceparent)
        _show_completion(traffic_class, prompt, text, model, console)


def _show_completion(traffic_class: str, prompt: str, text: str, model: str, console: Console) -> None:
    line = Text.assemble((f"  {traffic_class:<9}", "bold"), prompt, (_one_line(text), "cyan"), (f"  [{model}]", "dim"))
    console.print(line, soft_wrap=True)


def _show_stream(url: str, console: Console) -> None:
    traffic_class, prompt, tokens = STREAMED
    console.print(f"\nAnd one token by token, from {STREAM_ROUTE}:")
    console.print(Text.assemble((f"  {traffic_class:<9}", "bold"), prompt), end="", soft_wrap=True)
    model = ""
    for piece, model in stream_completion(url, traffic_class, prompt, tokens):  # noqa: B007 -- the last one is shown
        console.print(Text(_one_line(piece), style="cyan"), end="", soft_wrap=True)
        console.file.flush()
    console.print(Text(f"  [{model}]", style="dim"))


def _one_line(text: str) -> str:
    """The models write line breaks and indentation, too; a space stands for each line break."""
    return "".join(character if character.isprintable() else " " for character in text)


async def _show_traces(stack: Stack, trace_id: str, console: Console) -> None:
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ or "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in os.environ:
        console.print("\nTraces went to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names.")
        return
    spans = await _spans_of(stack, trace_id)
    console.print(f"\nTraces: {stack.traces_file}", soft_wrap=True, highlight=False)
    if spans:
        console.print("The first completion in it:", style="dim", highlight=False)
        console.print(draw(spans, width=console.width), highlight=False)
    here = Surroundings()
    console.print(
        f"  All of it: {here.headway()} trace {here.shown(stack.traces_file)}", highlight=False, soft_wrap=True
    )
    console.print(
        "  To look at it in Jaeger: docker run --rm -p 16686:16686 jaegertracing/jaeger, then http://localhost:16686, "
        "Search, Upload.",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


async def _spans_of(stack: Stack, trace_id: str) -> list[Span]:
    """The spans of a call: two of the proxy's, two of the daemon's, three of Triton's, or as many as came in time."""
    spans: list[Span] = []
    clock = MonotonicClock()
    give_up_at = clock.now() + TRACE_TIMEOUT_S
    while len(spans) < 7 and clock.now() < give_up_at:  # noqa: PLR2004 -- counted above
        await asyncio.sleep(0.2)
        spans = await asyncio.to_thread(read_spans, stack.traces_file, trace_id, offset=stack.traces_offset)
    return spans


def _show_next(settings: DemoSettings, stack: Stack, console: Console) -> None:
    here = Surroundings()
    if settings.keep:
        console.print(f"\nNext: point any Triton client at {stack.url}, for the model `llm`; or", highlight=False)
        steps = after_keeping(here, stack.url, stack.config)
    else:
        console.print("\nNext:")
        steps = after_the_end(here)
    for step in steps:
        console.print(f"  {step.command}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"      {step.does}", style="dim", markup=False, highlight=False, soft_wrap=True)


def _first(failures: BaseExceptionGroup[HeadwayError]) -> HeadwayError:
    """A group's first exception, however deep."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
