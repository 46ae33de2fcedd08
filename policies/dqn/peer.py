"""Another library's DQN on the same environment, as an independent check: stable-baselines3 (Raffin et al., JMLR 2021).

    python -m policies.dqn.peer --out DIR [--decisions N] [--seed N] [--seeds N]

trains it on the workloads that `headway train` draws, with its own network, replay and updates (Mnih et al. 2015: one
step, no double, no duelling, no mask while it learns), and scores it on the shipped stable and unpredictable workloads
beside the shipped checkpoint and greedy, on the same seeds: `peer.json` and a table. Needs the extra `[peer]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from policies.dqn.ablation import FIRST_SEED, score, scored_parser, table
from policies.dqn.domain import Domain, DomainSettings
from policies.dqn.policy import shipped
from policies.dqn.rollout import mean_stake
from policies.dqn.train import reference_policy
from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Policy, Request, choosable
from policies.selection.features import Features, hopeless, may_shed
from policies.simulation.env import Observation, SelectionEnv, placed
from policies.simulation.workload import Workload

SETTINGS: Mapping[str, Any] = {
    "learning_rate": 5e-4,
    "buffer_size": 300_000,
    "learning_starts": 10_000,
    "batch_size": 128,
    "gamma": 0.98,
    "train_freq": 4,
    "target_update_interval": 1000,
    "exploration_fraction": 0.1,
    "exploration_final_eps": 0.02,
}
"""Of its DQN; the others are its defaults."""
HIDDEN = (128, 128)


class ByValues:
    """The highest of `values`, made of what `SelectionEnv` observes, among the actions that its mask allows."""

    def __init__(
        self, values: Callable[[Observation], NDArray[np.float32]], *, models: Sequence[str], places: int
    ) -> None:
        self._values = values
        self._place_of = {model: place for place, model in enumerate(models)}
        self._places = places
        self._features = Features()

    @property
    def name(self) -> str:
        """`peer`."""
        return "peer"

    def observe(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Observation:
        """The environment's observation of this decision."""
        values, rows = self._features.encode(request, candidates, now=now)
        return placed(values, rows, [self._place_of[candidate.name] for candidate in candidates], of=self._places)

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """Decide one request."""
        if not candidates:
            return NO_CANDIDATES
        values = self._values(self.observe(request, candidates, now=now))
        barred = hopeless(request, candidates, now=now)
        allowed: dict[int | None, float] = {
            position: float(values[self._place_of[candidates[position].name]])
            for position in choosable(candidates)
            if position not in barred
        }
        if not allowed or may_shed(request, candidates, now=now):
            allowed[None] = float(values[self._places])
        return Choice(max(allowed, key=allowed.__getitem__))

    def log_data(self) -> Mapping[str, object]:
        """Nothing."""
        return {}


class InAverageRequests(gymnasium.Wrapper[Observation, np.int64, Observation, np.int64]):
    """Rewards in units of what an average request of the episode's workload can earn, as in headway's training."""

    _unit = 1.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        begun = super().reset(seed=seed, options=options)
        workload = self.get_wrapper_attr("workload")
        self._unit = mean_stake(workload)
        return begun

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Decide."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, float(reward) / self._unit, terminated, truncated, info


def trained(decisions: int, *, seed: int) -> tuple[Callable[[Observation], NDArray[np.float32]], int]:
    """Values by stable-baselines3's DQN after so many decisions, and for how many candidates it has places."""
    # In no extra that CI installs.
    from stable_baselines3 import DQN  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    torch.set_num_threads(1)
    domain = DomainSettings()
    places = domain.candidates[1]
    environment = InAverageRequests(SelectionEnv(Domain(domain), places=places))
    model = DQN("MlpPolicy", environment, policy_kwargs={"net_arch": list(HIDDEN)}, seed=seed, device="cpu", **SETTINGS)
    model.learn(decisions, progress_bar=sys.stderr.isatty())

    def values(observation: Observation) -> NDArray[np.float32]:
        with torch.inference_mode():
            made: NDArray[np.float32] = model.q_net(torch.from_numpy(observation[None])).numpy()[0]
        return made

    return values, places


def compare(
    values: Callable[[Observation], NDArray[np.float32]], places: int, seeds: Sequence[int]
) -> dict[str, dict[str, dict[str, float]]]:
    """`score` of the values, of the shipped checkpoint and of greedy."""

    def peer(workload: Workload) -> Policy:
        return ByValues(values, models=[candidate.model for candidate in workload.candidates], places=places)

    return {
        "stable-baselines3": score(peer, seeds),
        "headway, as shipped": score(lambda _: shipped(), seeds),
        "greedy": score(lambda _: reference_policy(), seeds),
    }


def main(arguments: Sequence[str]) -> None:
    """The command."""
    given = scored_parser("policies.dqn.peer", __doc__, decisions=1_200_000).parse_args(arguments)
    try:
        values, places = trained(given.decisions, seed=given.seed)
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed: pip install 'headway[peer]'") from None
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    results = compare(values, places, seeds)
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"decisions": given.decisions, "seed": given.seed, "seeds": list(seeds), "settings": {**SETTINGS}}
    text = json.dumps({**content, "hidden": list(HIDDEN), "results": results}, indent=2)
    (given.out / "peer.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
