"""`headway train`: its flags, its bar, its result."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.commands.commit import commit
from proxy.commands.extras import from_extra
from proxy.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.dqn.train import Progress, Trained
    from policies.simulation.workload import SimulatedCandidate

EPILOG = """**Examples**

`headway train --out runs/mine`: from scratch, as the shipped checkpoint was made; an hour or so of one core

`headway train --from default --profile llm-large.yaml=0.71 --profile llm-small.yaml=0.48 --decisions 200000 --out
runs/mine`: the shipped checkpoint, on to your own models under drawn traffic

`headway train --from default --workload monday.yaml --decisions 200000 --out runs/mine`: likewise, on to your traffic

`headway train --streams --seed 6 --out runs/mine`: as one of the shipped checkpoints for token streams was made

Then `policy: dqn:runs/mine/best.safetensors` in the route, or several files with commas between them.
`tensorboard --logdir runs/mine` shows the curves."""

OUT = "Where the checkpoint, the log and the state go; made if need be."
FROM = "A checkpoint to go on from: a .safetensors file, or `default` or `streams-1` to `streams-6`, the shipped ones."
WORKLOAD = "A workload file to train and validate on instead of drawn workloads. May be repeated."
PROFILE = "A model to draw traffic for, by its profile and quality, instead of drawn models. May be repeated."
RESUME = "Go on with the training in --out, with its settings; --workload and --profile are to be given again."
STREAMS = "Draw token streams only, as the shipped checkpoints for routes whose candidates all stream were trained."
DECISIONS = "How many decisions to learn from; 1200000 unless resumed."


ROOT = Path(__file__).parents[2]


class TrainError(HeadwayError):
    """A training can't begin: the text names the file or flag."""


def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help=OUT)],
    start: Annotated[str | None, typer.Option("--from", metavar="CHECKPOINT", help=FROM)] = None,
    workload: Annotated[list[str] | None, typer.Option(metavar="FILE", help=WORKLOAD)] = None,
    profile: Annotated[list[str] | None, typer.Option(metavar="FILE=QUALITY", help=PROFILE)] = None,
    streams: Annotated[bool, typer.Option("--streams", help=STREAMS)] = False,  # noqa: FBT002
    decisions: Annotated[int | None, typer.Option(min=1, help=DECISIONS)] = None,
    seed: Annotated[int, typer.Option(min=0, help="What decides everything that is drawn.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME)] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Train the DQN that picks models, from scratch or on from a checkpoint.

    It plays simulated workloads, drawn at random unless files say otherwise, and keeps the checkpoint that scores best
    on validation workloads. The best so far is always in `--out`, so it may be stopped at any time and resumed.
    """
    with from_extra("train", "headway train"):
        from policies.dqn import train as training  # noqa: PLC0415
        from policies.dqn.checkpoint import CheckpointError, read_checkpoint  # noqa: PLC0415
        from policies.dqn.network import NetworkSettings  # noqa: PLC0415
        from policies.simulation.keys import WorkloadError  # noqa: PLC0415
        from policies.simulation.workload_file import read_workload  # noqa: PLC0415

    if resume and start:
        raise typer.BadParameter("goes on with its own parameters; --from doesn't go with it", param_hint="--resume")
    if workload and profile:
        raise typer.BadParameter("a workload has its own models; give one or the other", param_hint="--profile")
    settings = training.STREAMS if streams else training.TrainSettings()
    settings = replace(settings, seed=seed, decisions=decisions or settings.decisions)
    try:
        checkpoint = None if start is None else read_checkpoint(start)
        if checkpoint is not None:
            network = NetworkSettings(checkpoint.hidden, dueling=checkpoint.dueling, chance=checkpoint.chance)
            learner = replace(settings.learner, learning_rate=settings.learner.learning_rate * FINE)
            settings = replace(
                settings, network=network, learner=learner, without=checkpoint.without, epsilon_decay=0.0, warm_up=2_000
            )
        with _bar() as report:
            trained = training.train(
                settings,
                out,
                workloads=[read_workload(name) for name in workload or ()],
                candidates=[_candidate(text) for text in profile or ()],
                start=checkpoint,
                resume=resume,
                notes={"command": shlex.join(["headway", *sys.argv[1:]]), "commit": commit(ROOT)},
                report=report,
            )
    except (CheckpointError, WorkloadError) as error:
        raise TrainError(str(error)) from error
    print(_result(trained, as_json=as_json))


FINE = 0.2
"""Of the learning rate when a trained network goes on: the whole rate would undo what it knows first."""


def _candidate(text: str) -> SimulatedCandidate:
    """From `FILE=QUALITY`."""
    from policies.profile_file import profile_path, read_profile  # noqa: PLC0415
    from policies.simulation.workload import SimulatedCandidate  # noqa: PLC0415

    file, _, number = text.rpartition("=")
    try:
        quality = float(number)
    except ValueError:
        quality = 0.0
    if not file or not 0 < quality <= 1:
        raise typer.BadParameter(f"{text}: not FILE=QUALITY with a quality above 0, at most 1", param_hint="--profile")
    return SimulatedCandidate(file, quality, read_profile(profile_path(file, Path()), Path(file).stem))


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)

        def report(progress: Progress) -> None:
            best = "" if progress.best is None else f", best validation {progress.best.score:.3f}"
            text = f"score {progress.recent_score:.3f}{best}, left"
            bar.update(task, completed=progress.decisions, total=progress.of, description=text)

        yield report


def _result(trained: Trained, *, as_json: bool) -> str:
    best = trained.best
    if as_json:
        content: dict[str, Any] = {
            "checkpoint": str(trained.checkpoint.path),
            "validation": {"score": best.score, "known": best.known, "drawn": best.drawn},
            "curve": trained.curve,
        }
        return json.dumps(content, indent=2)
    lines = [
        f"{decisions:>9} decisions: "
        + ", ".join(f"{name} {score:.4f}" for name, score in (("known", known), ("drawn", drawn)) if score is not None)
        for decisions, known, drawn in trained.curve
    ]
    return "\n".join([*lines, f"best {best.score:.4f}: {trained.checkpoint.path}"])
