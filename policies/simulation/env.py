"""The simulator as a Gymnasium environment: one step is one decision.

The observation is `policies.selection.features` for up to `places` candidates, zeros for those that are absent (the
workload has fewer, or the request has failed there); the actions are the candidates by position and, last, to shed. An
action for an absent candidate sheds. The reward of a step is what has become known since the step before it, so that an
episode's rewards sum to the run's; a learner that wants each reward at its decision finds it in the info:

`decision`: number of the decision that waits for an action; `action_mask`: which actions stand for something;
`elapsed_s`: virtual time since the step before; `outcomes`: (number of a request's last decision, reward) of requests
that have ended since; after the last step `score`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from policies.reward import score
from policies.selection.base import Candidate, Choice
from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES, Features
from policies.simulation.held import LateBinding
from policies.simulation.simulator import Simulation
from policies.simulation.workload import Workload

Observation = NDArray[np.float32]
WorkloadSource = Callable[[np.random.Generator], Workload]

BOUND = 10.0
"""Observations are within it; `features` keeps them well inside."""
LARGEST_SEED = 2**31
EMPTY_EPISODES = 100
"""So many drawn workloads without a request are no chance."""


class SelectionEnv(gymnasium.Env[Observation, np.int64]):
    """Model selection on workloads that `source` gives, one an episode.

    An episode ends with its last request decided and answered (`terminated`).
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, source: Workload | WorkloadSource, *, places: int = 8, late: LateBinding | None = None) -> None:
        self._source = source
        self._places = places
        self._late = late
        size = len(REQUEST_FEATURES) + places * len(CANDIDATE_FEATURES)
        self.observation_space = gymnasium.spaces.Box(-BOUND, BOUND, (size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(places + 1)
        self._zeros = np.zeros(size, np.float32)
        self._simulation: Simulation | None = None
        self._features = Features({})
        self._positions: dict[int, int] = {}
        self._decided: dict[int, int] = {}
        self._key = -1
        self._was_at = 0.0

    @property
    def places(self) -> int:
        """How many candidates the observation has room for."""
        return self._places

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode: a workload and its arrivals, drawn anew."""
        super().reset(seed=seed, options=options)
        simulation, key = self._begin()
        for _ in range(EMPTY_EPISODES):
            if key is not None:
                break
            simulation, key = self._begin()
        if key is None:
            raise ValueError(f"{simulation.workload.name}: {EMPTY_EPISODES} episodes in a row have no request")
        self._simulation = simulation
        self._features = Features({kind.traffic.name: kind.traffic for kind in simulation.workload.classes})
        self._decided.clear()
        self._key, self._was_at = key, simulation.now
        _, info = self._known(simulation)
        return self._observe(simulation, info), info

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide, and go on to the next decision."""
        simulation = self._simulation
        if simulation is None:
            raise gymnasium.error.ResetNeeded("reset comes before step")
        self._decided[self._key] = simulation.decisions
        simulation.decide(Choice(self._positions.get(int(action))))
        key = simulation.advance()
        reward, info = self._known(simulation)
        if key is None:
            self._simulation = None
            weights = [described.traffic.weight for described in simulation.workload.classes]
            total = sum(weights[kind] for kind in simulation.trace.kind)
            info["score"] = score(sum(simulation.outcome.reward), total, simulation.workload.best_quality)
            return self._zeros.copy(), reward, True, False, info
        self._key = key
        return self._observe(simulation, info), reward, False, False, info

    def _begin(self) -> tuple[Simulation, int | None]:
        """A new episode at its first decision; None if nothing is to be decided in it."""
        workload = self._source if isinstance(self._source, Workload) else self._source(self.np_random)
        there = len(workload.candidates)
        if there > self._places:
            raise ValueError(f"{workload.name}: {there} candidates, and the environment has {self._places} places")
        simulation = Simulation(workload, int(self.np_random.integers(LARGEST_SEED)), late=self._late)
        return simulation, simulation.advance()

    def _known(self, simulation: Simulation) -> tuple[float, dict[str, Any]]:
        """The sum of rewards since the last time, and the info without the mask."""
        rewards = simulation.outcome.reward
        outcomes = [(self._decided.pop(key), rewards[key]) for key in simulation.ended if key in self._decided]
        simulation.ended.clear()
        info: dict[str, Any] = {
            "decision": simulation.decisions,
            "elapsed_s": simulation.now - self._was_at,
            "outcomes": outcomes,
            "action_mask": np.zeros(self._places + 1, np.int8),
        }
        self._was_at = simulation.now
        return float(sum(reward for _, reward in outcomes)), info

    def _observe(self, simulation: Simulation, info: Mapping[str, Any]) -> Observation:
        request, offered = simulation.view()
        by_name = {candidate.name: position for position, candidate in enumerate(offered)}
        placed: list[Candidate | None] = []
        self._positions = {}
        for place, described in enumerate(simulation.workload.candidates):
            position = by_name.get(described.model)
            placed.append(None if position is None else offered[position])
            if position is not None:
                self._positions[place] = position
                info["action_mask"][place] = 1
        info["action_mask"][self._places] = 1
        values = self._features.flat(request, placed, places=self._places, now=simulation.now)
        return np.clip(np.array(values, np.float32), -BOUND, BOUND)
