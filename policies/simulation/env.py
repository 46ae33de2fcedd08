"""The simulator as a Gymnasium environment: one step is one decision.

The observation is `policies.selection.features` for up to `places` candidates, zeros for those that are absent (the
workload has fewer, or the request has failed there); the actions are the candidates by position and, last, to shed. An
action for an absent candidate sheds. The reward of a step is what has become known since the step before it, so that an
episode's rewards sum to the run's; a learner that wants each reward at its decision finds it in the info:

`decision`: number of the decision that waits for an action; `action_mask`: which actions stand for something;
`elapsed_s`: virtual time since the step before; `stake`: what the request that waits can earn at most, its weight times
the best quality; `reference`: what the reference policy earned with it on the same arrivals, 0 without one; `outcomes`:
(number of a request's last decision, reward) of requests that have ended since; `replaced`: numbers of decisions whose
request is decided again, because it failed there; after the last step `score`.

The mask leaves out candidates that are not ready while others are, and shedding when `features.may_shed` forbids it;
a step with an action that is masked is carried out all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from policies.reward import score
from policies.selection.base import Choice, Policy, choosable
from policies.selection.features import (
    ABSENT,
    CANDIDATE_FEATURES,
    LIMIT,
    REQUEST_FEATURES,
    Features,
    hopeless,
    may_shed,
)
from policies.simulation.simulator import Simulation
from policies.simulation.workload import Workload

Observation = NDArray[np.float32]
WorkloadSource = Callable[[np.random.Generator], Workload]

BOUND = LIMIT
"""Observations are within it: `features` sees to that."""
LARGEST_SEED = 2**31
AROUND_S = 1.0
"""Requests so near to each other met the same load."""
EMPTY_EPISODES = 100
"""So many drawn workloads without a request are no chance."""


class SelectionEnv(gymnasium.Env[Observation, np.int64]):
    """Model selection on workloads that `source` gives, one an episode.

    An episode ends with its last request decided and answered (`terminated`). `without` names groups of features to
    leave out. `reference` makes a policy that plays each episode beforehand, to compare with.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        source: Workload | WorkloadSource,
        *,
        places: int = 8,
        without: Collection[str] = (),
        reference: Callable[[], Policy] | None = None,
    ) -> None:
        self._source = source
        self._places = places
        size = len(REQUEST_FEATURES) + places * len(CANDIDATE_FEATURES)
        self.observation_space = gymnasium.spaces.Box(-BOUND, BOUND, (size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(places + 1)
        self._zeros = np.zeros(size, np.float32)
        self._simulation: Simulation | None = None
        self._without = without
        self._reference = reference
        self._earned: Sequence[float] = ()
        self._features = Features(without=without)
        self._positions: dict[int, int] = {}
        self._decided: dict[int, int] = {}
        self._seed = 0
        self._key = -1
        self._was_at = 0.0

    @property
    def places(self) -> int:
        """How many candidates the observation has room for."""
        return self._places

    @property
    def workload(self) -> Workload | None:
        """That of the episode; None outside of any."""
        return None if self._simulation is None else self._simulation.workload

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
        self._earned = self._play_reference(simulation)
        self._features = Features(without=self._without)
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
        self._seed = int(self.np_random.integers(LARGEST_SEED))
        simulation = Simulation(workload, self._seed)
        return simulation, simulation.advance()

    def _play_reference(self, simulation: Simulation) -> Sequence[float]:
        """What the reference policy earns with each request."""
        if self._reference is None:
            return ()
        policy = self._reference()
        other = Simulation(simulation.workload, self._seed, trace=simulation.trace)
        while other.advance() is not None:
            request, candidates = other.view()
            other.decide(policy.choose(request, candidates, now=other.now))
        weight = np.array([kind.traffic.weight for kind in simulation.workload.classes])[simulation.trace.kind]
        return _smoothed(np.array(simulation.trace.arrived_at), np.array(other.outcome.reward), weight)

    def _known(self, simulation: Simulation) -> tuple[float, dict[str, Any]]:
        """The sum of rewards since the last time, and the info without the mask."""
        rewards = simulation.outcome.reward
        outcomes = [(self._decided.pop(key), rewards[key]) for key in simulation.ended if key in self._decided]
        simulation.ended.clear()
        info: dict[str, Any] = {
            "decision": simulation.decisions,
            "elapsed_s": simulation.now - self._was_at,
            "outcomes": outcomes,
            "replaced": [],
            "action_mask": np.zeros(self._places + 1, np.int8),
        }
        self._was_at = simulation.now
        return float(sum(reward for _, reward in outcomes)), info

    def _observe(self, simulation: Simulation, info: dict[str, Any]) -> Observation:
        request, offered = simulation.view()
        workload = simulation.workload
        if self._key in self._decided:
            info["replaced"].append(self._decided[self._key])
        info["stake"] = request.weight * workload.best_quality
        info["reference"] = self._earned[self._key] if self._earned else 0.0
        values, rows = self._features.encode(request, offered, now=simulation.now)
        if len(offered) == len(workload.candidates):
            places = list(range(len(offered)))
        else:
            place_of = {described.model: place for place, described in enumerate(workload.candidates)}
            places = [place_of[candidate.name] for candidate in offered]
        self._positions = {place: position for position, place in enumerate(places)}
        mask = info["action_mask"]
        barred = hopeless(request, offered, now=simulation.now)
        for position in choosable(offered):
            mask[places[position]] = position not in barred
        mask[self._places] = not mask.any() or may_shed(request, offered, now=simulation.now)
        return placed(values, rows, places, of=self._places)


def placed(
    of_request: Sequence[float], rows: Sequence[Sequence[float]], places: Sequence[int], *, of: int
) -> Observation:
    """An observation: what `features` made of a request and its candidates, each candidate's row at its place."""
    numbers: list[Sequence[float]] = [ABSENT] * of
    for place, row in zip(places, rows, strict=True):
        numbers[place] = row
    return np.array([*of_request, *chain.from_iterable(numbers)], np.float32)


def _smoothed(arrived_at: NDArray[np.float64], earned: NDArray[np.float64], weight: NDArray[np.float64]) -> list[float]:
    """What each request would earn if all within `AROUND_S` of it earned alike, by their weights."""
    first = np.searchsorted(arrived_at, arrived_at - AROUND_S)
    after = np.searchsorted(arrived_at, arrived_at + AROUND_S, side="right")
    all_earned, all_weight = (np.concatenate(([0.0], np.cumsum(values))) for values in (earned, weight))
    share = (all_earned[after] - all_earned[first]) / (all_weight[after] - all_weight[first])
    smoothed: list[float] = (weight * share).tolist()
    return smoothed
