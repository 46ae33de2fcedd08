"""`python -m ops.emulated`: write a repository of emulated models, run a Triton on it, measure how near they come."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import grpc.aio
from rich.console import Console
from rich.progress import Progress

from ops.emulated.fidelity import LOADS, UNLIMITED, Fidelity, Prober
from ops.emulated.fidelity_table import fidelity_table
from ops.emulated.repository import EmulatedModel, emulated_models, write_repository
from policies.profile_file import profile_path, read_entries, shipped_profiles
from policies.simulation.keys import WorkloadError
from policies.simulation.workload_file import read_workload, shipped_workloads
from proxy.demo.triton_server import TritonServer
from proxy.errors import HeadwayError

TABLE_WIDTH = 120
"""Of what is not printed to a terminal."""
EPILOG = """examples:
  python -m ops.emulated --workload stable --out models              the candidates of a workload
  python -m ops.emulated --profiles llm-large=llama-13b-a100 llm-small=llama-1b-a100 --serve
  python -m ops.emulated --workload tokens --measure --seconds 20"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m ops.emulated",
        description="Emulate language models on a real Triton: they take as long as their profiles say.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    profiles = ", ".join(path.stem for path in shipped_profiles())
    made.add_argument(
        "--profiles",
        nargs="+",
        metavar="[NAME=]FILE",
        default=[],
        help=f"profiles, or files of several; NAME is the model's in Triton. Shipped: {profiles}",
    )
    workloads = ", ".join(path.stem for path in shipped_workloads())
    made.add_argument("--workload", metavar="NAME|FILE", help=f"a workload's candidates. Shipped: {workloads}")
    made.add_argument("--whole", action="store_true", help="whole answers of models that could stream tokens")
    made.add_argument("--seed", type=int, default=1, help="of the spread of latencies")
    made.add_argument("--out", type=Path, metavar="DIR", help="where the model repository goes")
    made.add_argument("--serve", action="store_true", help="run a Triton on it until Ctrl-C")
    made.add_argument("--measure", action="store_true", help="run a Triton on it, and compare it with the profiles")
    made.add_argument("--seconds", type=float, default=10.0, help="of each measurement (10)")
    made.add_argument("--json", type=Path, metavar="FILE", help="what was measured, as JSON")
    return made


def models_of(arguments: argparse.Namespace) -> list[EmulatedModel]:
    """What the command line asks for. Raises `WorkloadError`."""
    found = []
    for text in arguments.profiles:
        name, equals, file = text.rpartition("=")
        entries = read_entries(profile_path(file, Path.cwd()))
        if equals and len(entries) > 1:
            raise WorkloadError(f"{text}: {file} has {len(entries)} models; leave the name out")
        found += [EmulatedModel(name if equals else entry.model, entry.profile, arguments.seed) for entry in entries]
    if arguments.workload:
        found += emulated_models(read_workload(arguments.workload), seed=arguments.seed)
    if arguments.whole:
        found = [replace(model, profile=replace(model.profile, tokens=None)) for model in found]
    return found


async def serve(directory: Path, console: Console) -> None:
    """Run a Triton until a signal comes. Raises `TritonError` when it does not start, or ends by itself."""
    running = asyncio.current_task()
    assert running is not None  # noqa: S101 -- asyncio.run made one
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with TritonServer(directory) as triton:
            addresses = f"gRPC {triton.grpc_url}, HTTP {triton.http_url}, metrics {triton.metrics_url}"
            console.print(f"{addresses}; Ctrl-C ends it", highlight=False, soft_wrap=True)
            await triton.exited()
            raise triton.failure()


async def measure(
    directory: Path, models: Sequence[EmulatedModel], *, seconds: float, console: Console
) -> list[Fidelity]:
    """Measure each model alone and under load, one after the other."""
    found = []
    async with (
        TritonServer(directory) as triton,
        grpc.aio.insecure_channel(triton.grpc_url, options=UNLIMITED) as channel,
    ):
        prober = Prober(channel)
        with Progress(console=console, transient=True) as progress:
            loads = (0.0, *LOADS)
            bar = progress.add_task("", total=len(models) * len(loads))
            for model in models:
                for load in loads:
                    progress.update(bar, description=f"{model.name}, load {load:g}")
                    found.append(await prober.measure(model, load=load, seconds=seconds, seed=1))
                    progress.advance(bar)
    return found


def main() -> int:
    """Exit codes: 0 done, 1 Triton failed, 2 usage."""
    made = parser()
    arguments = made.parse_args()
    console = Console()
    if console.width < TABLE_WIDTH and not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    if not (arguments.profiles or arguments.workload):
        made.error("no models: give --profiles or --workload")
    if not (arguments.out or arguments.serve or arguments.measure):
        made.error("nothing to do: give --out, --serve or --measure")
    with contextlib.ExitStack() as stack:
        directory = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-emulated-")))
        try:
            models = models_of(arguments)
            write_repository(directory, models)
        except (WorkloadError, ValueError) as error:
            print(error, file=sys.stderr)
            return 2
        if arguments.out:
            console.print(f"{directory}: {', '.join(model.name for model in models)}", highlight=False)
        try:
            if arguments.measure:
                found = asyncio.run(measure(directory, models, seconds=arguments.seconds, console=console))
                console.print(fidelity_table(found))
                if arguments.json:
                    arguments.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
            if arguments.serve:
                asyncio.run(serve(directory, console))
        except HeadwayError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
