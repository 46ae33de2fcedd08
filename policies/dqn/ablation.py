"""What each part of the DQN is worth: trainings that differ from the shipped settings in one part.

    python -m policies.dqn.ablation --out DIR [--decisions N] [--seeds N] [--only NAME…] [--jobs N]

writes `ablation.json` and prints a table. Every variant is trained from scratch for the same number of decisions, and
scored on the shipped stable and unpredictable workloads on seeds that are neither trained nor validated on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from policies.dqn.checkpoint import read_checkpoint
from policies.dqn.policy import DqnPolicy
from policies.dqn.train import BEST, TrainSettings, train
from policies.evaluation.parallel import in_parallel
from policies.selection.base import Policy
from policies.simulation.results import mean_and_interval
from policies.simulation.run import run
from policies.simulation.workload import Workload
from policies.simulation.workload_file import read_workload

logger = logging.getLogger(__name__)

WORKLOADS = ("stable", "unpredictable")
FIRST_SEED = 1000
"""Of the scores."""


def variants(settings: TrainSettings) -> Mapping[str, TrainSettings]:
    """The settings, and what they become without one part, by name."""
    network, learner, reward = settings.network, settings.learner, settings.reward
    validation = settings.validation
    without_chance = replace(settings, network=replace(network, chance=False))
    return MappingProxyType(
        {
            "as shipped": settings,
            "without the chance head": without_chance,
            "what comes after whole": replace(settings, validation=replace(validation, later_weights=(1.0,))),
            "without double": replace(settings, learner=replace(learner, double=False)),
            "without dueling": replace(settings, network=replace(network, dueling=False)),
            "without averaging": replace(settings, learner=replace(learner, average_weight=1.0)),
            "n_step=1": replace(settings, reward=replace(reward, n_step=1)),
            "without a baseline": replace(settings, reward=replace(reward, baseline="none")),
            "without network delay": replace(settings, without=("network",)),
            "without rates": replace(settings, without=("rate",)),
            "without queues": replace(settings, without=("queue",)),
            # State and reward as far as the poster tells, and a DQN of 2015: see README.md for what is guessed.
            "poster": replace(
                settings,
                without=("unposted",),
                network=replace(network, chance=False, dueling=False),
                learner=replace(learner, double=False, average_weight=1.0),
                reward=replace(reward, n_step=1, baseline="none"),
            ),
        }
    )


def score(make_policy: Callable[[Workload], Policy], seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Mean score and half of its 95 % interval on each workload, with a new policy for each run."""
    made = {}
    for name in WORKLOADS:
        workload = read_workload(name)
        mean, interval = mean_and_interval([run(workload, make_policy(workload), seed).score for seed in seeds])
        made[name] = {"mean": round(mean, 5), "ci95": round(interval, 5)}
    return made


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown."""
    lines = [f"| variant | {' | '.join(WORKLOADS)} |", "| --- | --- | --- |"]
    for name, scores in results.items():
        cells = [f"{scores[workload]['mean']:.4f} ± {scores[workload]['ci95']:.4f}" for workload in WORKLOADS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


class Variant(NamedTuple):
    """One to train and score."""

    settings: TrainSettings
    folder: Path
    seeds: Sequence[int]


def trained_and_scored(variant: Variant) -> dict[str, dict[str, float]]:
    """Its `score`; the checkpoint stays in its folder."""
    train(variant.settings, variant.folder)
    best = read_checkpoint(variant.folder / BEST)
    return score(lambda _: DqnPolicy(best), variant.seeds)


def ablate(
    settings: TrainSettings,
    out: Path,
    *,
    seeds: Sequence[int],
    only: Sequence[str] = (),
    jobs: int = 1,
) -> dict[str, dict[str, dict[str, float]]]:
    """Train and score the variants, all or those named, `jobs` at a time.

    Results so far are written, and a line logged, after each.
    """
    chosen = {name: changed for name, changed in variants(settings).items() if not only or name in only}
    out.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"decisions": settings.decisions, "seed": settings.seed, "seeds": list(seeds)}
    names = list(chosen)
    each = [Variant(changed, out / name.replace(" ", "-"), seeds) for name, changed in chosen.items()]
    found: dict[str, dict[str, dict[str, float]]] = {}
    results: dict[str, dict[str, dict[str, float]]] = {}
    for place, scores in in_parallel(trained_and_scored, each, processes=jobs):
        found[names[place]] = scores
        results = {name: found[name] for name in names if name in found}
        (out / "ablation.json").write_text(json.dumps({**content, "results": results}, indent=2) + "\n", "utf-8")
        logger.info("%d of %d: %s", len(found), len(names), names[place])
    return results


def scored_parser(module: str, description: str, *, decisions: int) -> argparse.ArgumentParser:
    """Of a command that trains for so many decisions, unless told otherwise, and scores on `WORKLOADS`."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True, help="where what is made goes")
    parser.add_argument("--decisions", type=int, default=decisions, help="of each training")
    parser.add_argument("--seed", type=int, default=1, help="of each training")
    parser.add_argument("--seeds", type=int, default=10, help=f"scored on, from {FIRST_SEED} on")
    return parser


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = scored_parser("policies.dqn.ablation", __doc__, decisions=300_000)
    names = list(variants(TrainSettings()))
    parser.add_argument("--jobs", type=int, default=1, help="trained at a time, on a core each")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME", help=", ".join(names))
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    settings = TrainSettings(seed=given.seed, decisions=given.decisions)
    results = ablate(
        settings,
        given.out,
        seeds=range(FIRST_SEED, FIRST_SEED + given.seeds),
        only=given.only,
        jobs=given.jobs,
    )
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
