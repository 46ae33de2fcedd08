"""`headway evaluate`: its flags."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.commands.extras import from_extra
from proxy.errors import HeadwayError

EPILOG = """**Examples**

`headway evaluate`: all policies on the stable and the unpredictable workload, five seeds

`headway evaluate --workloads all --policies all --seeds 20 --json results.json --plots plots`: the committed results

`headway evaluate --workloads mine.yaml --policies dqn greedy static:llm-large`: your own workload

`headway evaluate --workloads small`: small ones, against the exact bound

`headway evaluate --workloads mine.yaml --tune tuned.yaml`, then `headway evaluate --workloads mine.yaml --tuned
tuned.yaml`: with baselines tuned on it

A workload file is YAML: arrivals, classes, network, candidates with their latency by batch size or a profile that
`headway profile` wrote, events. Those shipped, in `policies/simulation/workloads`, are examples to copy.

A score is the sum of weight × quality over requests on time, divided by the weights of all × the best quality. The
clairvoyant bound is what no policy exceeds that knows all arrivals. The same seeds give the same results, whatever
`--jobs` is."""

WORKLOADS = "Workload files, names of shipped ones, `all` of those, or `small`, those with an exact bound."
POLICIES = (
    "Names as in the configuration, `static` for each model, `dqn:FILE` for a checkpoint, `thresholds`, or `all`."
)
SEEDS = "How many seeds; 5 where nothing is said."
FIRST_SEED = "Of the seeds; 1000 where nothing is said, with --tune 900."
JSON = "Write every figure of every seed here."
PLOTS = "Draw score, share on time, regret and the models over time here."
JOBS = "How many processes; as many as there are cores where nothing is said."
BOUND = "Compute the clairvoyant bound, about half the time of a run."
TUNED = "The baselines' knobs, as --tune writes them; those shipped where nothing is said."
TUNE = "Instead of comparing, search the baselines' knobs on the workloads and write them to this file."


def evaluate(
    workloads: Annotated[list[str] | None, typer.Option(metavar="FILE|NAME…", help=WORKLOADS)] = None,
    policies: Annotated[list[str] | None, typer.Option(metavar="all|NAME…", help=POLICIES)] = None,
    seeds: Annotated[int | None, typer.Option(min=1, metavar="N", help=SEEDS, show_default=False)] = None,
    first_seed: Annotated[int | None, typer.Option(min=0, metavar="N", help=FIRST_SEED, show_default=False)] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help=JSON)] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help=PLOTS)] = None,
    jobs: Annotated[int, typer.Option(min=0, metavar="N", help=JOBS, show_default=False)] = 0,
    bound: Annotated[bool, typer.Option("--bound/--no-bound", help=BOUND)] = True,  # noqa: FBT002
    tuned: Annotated[Path | None, typer.Option(metavar="FILE", help=TUNED)] = None,
    tune: Annotated[Path | None, typer.Option(metavar="FILE", help=TUNE)] = None,
) -> None:
    """Compare policies on workloads, in virtual time: score, share on time, share of the clairvoyant bound.

    It needs no Triton: the simulator runs the models' profiles, for the same requests under every policy.
    """
    with from_extra("train", "headway evaluate"):
        from rich.console import Console  # noqa: PLC0415

        from proxy.commands.comparison import Evaluation, compare, tune_baselines  # noqa: PLC0415

    asked = Evaluation(
        workloads=workloads or ("stable", "unpredictable"),
        policies=policies or ("all",),
        seeds=seeds,
        first_seed=first_seed,
        processes=jobs,
        bound=bound,
        tuned=tuned,
        json_file=json_file,
        plots=plots,
        command=shlex.join(["headway", *sys.argv[1:]]),
    )
    if tune is None:
        compare(asked, Console())
        return
    for given, flag in ((json_file, "--json"), (plots, "--plots"), (tuned, "--tuned")):
        if given is not None:
            raise HeadwayError(f"--tune compares nothing, so {flag} has no effect with it")
    tune_baselines(asked, tune, Console())
