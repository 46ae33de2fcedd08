"""Several environments in step, so that one forward pass decides for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policies.dqn.replay import Mask, Observation, Trajectory, Transition
from policies.simulation.env import SelectionEnv
from policies.simulation.workload import Workload


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """What a decision is told that it earned. Nothing here changes which policy is best."""

    n_step: int = 16
    """Decisions whose rewards are counted before the network's own estimate takes over: fewer before one explored."""
    tau_s: float = 2.0
    """A reward t seconds of virtual time later counts exp(-t / tau)."""
    baseline: Literal["none", "best", "reference"] = "reference"
    """What is taken off each reward: nothing, what the request can earn at most, or what the environment's reference
    policy earned with it. Arrivals do not depend on decisions, so for each request it is a constant, and the best
    policy is the same; but returns then vary with the decisions rather than with how many and what requests come.
    """


class Rollout:
    """Plays episode after episode in each environment. `seed` and the actions decide everything."""

    def __init__(self, environments: Sequence[SelectionEnv], settings: RewardSettings, *, seed: int) -> None:
        self._environments = environments
        self._settings = settings
        self.scores: list[float] = []
        """Of episodes that ended; whoever reads them clears the list."""
        self._at = [0.0] * len(environments)
        self._scale = [1.0] * len(environments)
        self._baselines: list[list[float]] = [[] for _ in environments]
        self._trajectories = [self._trajectory() for _ in environments]
        size = environments[0].observation_space.shape or (0,)
        self.observations: Observation = np.zeros((len(environments), *size), np.float32)
        """Of the decisions that wait, one a row."""
        self.masks: Mask = np.zeros((len(environments), environments[0].places + 1), np.bool_)
        for place in range(len(environments)):
            self._reset(place, seed * 1000 + place)

    def step(self, actions: NDArray[np.int64], explored: NDArray[np.bool_] | None = None) -> list[Transition]:
        """Take one decision in each; the transitions that have become complete.

        `explored` says which actions are others than the best; without it none is.
        """
        complete: list[Transition] = []
        for place, (environment, action) in enumerate(zip(self._environments, actions.tolist(), strict=True)):
            trajectory, baselines, scale = self._trajectories[place], self._baselines[place], self._scale[place]
            trajectory.act(action, explored=explored is not None and bool(explored[place]))
            observation, _, over, _, info = environment.step(np.int64(action))
            for number, reward in info["outcomes"]:
                trajectory.outcome(number, reward / scale, baseline=baselines[number] / scale)
            for number in info["replaced"]:
                trajectory.outcome(number, 0.0)
            complete.extend(trajectory.known())
            if over:
                self.scores.append(info["score"])
                self._reset(place, None)
                continue
            self._at[place] += info["elapsed_s"]
            self._begin(place, observation, info)
        return complete

    def _reset(self, place: int, seed: int | None) -> None:
        environment = self._environments[place]
        observation, info = environment.reset(seed=seed)
        self._at[place] = 0.0
        self._baselines[place] = []
        self._trajectories[place] = self._trajectory()
        self._scale[place] = 1.0 if environment.workload is None else mean_stake(environment.workload)
        self._begin(place, observation, info)

    def _begin(self, place: int, observation: Observation, info: Mapping[str, Any]) -> None:
        allowed = info["action_mask"].astype(np.bool_)
        self.observations[place] = observation
        self.masks[place] = allowed
        key = KEYS[self._settings.baseline]
        self._baselines[place].append(info[key] if key else 0.0)
        self._trajectories[place].begin(observation, allowed, at=self._at[place])

    def _trajectory(self) -> Trajectory:
        return Trajectory(n_step=self._settings.n_step, tau_s=self._settings.tau_s)


KEYS = {"none": "", "best": "stake", "reference": "reference"}
"""Of the environment's info."""


def mean_stake(workload: Workload) -> float:
    """What a request of the workload can earn at most, on average: the unit of rewards."""
    shares = sum(kind.share for kind in workload.classes)
    weight = sum(kind.share * kind.traffic.weight for kind in workload.classes) / shares
    return weight * workload.best_quality
