"""`python -m ops.bench NAME [--scenario FILE] [--out DIR] [--quick]`: run an experiment, write its results."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from proxy.commands.extras import is_package_missing

try:
    from ops.bench import decision, overhead, report, scheduler, tracing
    from ops.bench.congestion import experiment as congestion
    from ops.bench.end_to_end import experiment as end_to_end
    from ops.bench.network import experiment as network
    from ops.bench.processes import ROOT, ChildError
    from ops.bench.real_serving import experiment as real_serving
    from ops.bench.scenario import ScenarioError
except ModuleNotFoundError as error:
    if not is_package_missing(error):
        raise
    sys.exit(f"the benchmarks need {error.name}, which the installation for development has: make install")

TABLE_WIDTH = 120
"""What most tables need; where the terminal is narrower, lines run over instead."""
FILE_WIDTH = 160
"""What all tables need, where output goes to a file."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What the dispatcher needs of one."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Console, Path], Awaitable[report.Report]]


EXPERIMENTS = {
    "congestion": Experiment(
        "what the congestion controllers make of the link", congestion.add_arguments, congestion.run
    ),
    "decision": Experiment(
        "what choosing a model costs, by policy and candidates", decision.add_arguments, decision.run
    ),
    "end_to_end": Experiment(
        "which order, transport and choice of model keep the most deadlines, on the whole stack",
        end_to_end.add_arguments,
        end_to_end.run,
    ),
    "network": Experiment(
        "what order, congestion control and transport do to deadlines", network.add_arguments, network.run
    ),
    "overhead": Experiment(
        "what the detour costs, with its peers in the same run", overhead.add_arguments, overhead.run
    ),
    "real_serving": Experiment(
        "model selection on real Triton models, beside the simulator", real_serving.add_arguments, real_serving.run
    ),
    "scheduler": Experiment(
        "what choosing the next stream costs, by open streams", scheduler.add_arguments, scheduler.run
    ),
    "tracing": Experiment(
        "what tracing costs, and a collector that is away, hung or slow", tracing.add_arguments, tracing.run
    ),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m ops.bench", description="Run one of headway's experiments.")
    names = made.add_subparsers(dest="experiment", metavar="NAME", required=True)
    for name, experiment in EXPERIMENTS.items():
        one = names.add_parser(name, help=experiment.summary, description=f"{name}: {experiment.summary}.")
        one.add_argument("--scenario", type=Path, metavar="FILE", help="YAML; without it, the one that ships")
        one.add_argument("--out", type=Path, metavar="DIR", help="where results.json goes; bench-results/NAME")
        one.add_argument("--quick", action="store_true", help="ends within two minutes")
        experiment.add_arguments(one)
    return made


async def _run(arguments: argparse.Namespace, console: Console) -> bool:
    """Whether nothing failed."""
    running = asyncio.current_task()
    assert running is not None  # noqa: S101 -- asyncio.run made one
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    out = arguments.out or ROOT / "bench-results" / arguments.experiment
    result = await EXPERIMENTS[arguments.experiment].run(arguments, console, out)
    console.print(f"results: {report.write(result, out, sys.argv[1:])}", highlight=False)
    return not result.notes.get("failed")


def main() -> int:
    """Exit codes: 0 done, 1 failed, 2 usage."""
    arguments = parser().parse_args()
    console = Console()
    least = TABLE_WIDTH if console.is_terminal else FILE_WIDTH
    if console.width < least:
        console = Console(width=least)
    try:
        done = asyncio.run(_run(arguments, console))
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    except ChildError as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("interrupted; everything that was started is stopped", file=sys.stderr)
        return 1
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
