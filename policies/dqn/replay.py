"""What was seen, for learning: decisions whose n-step return has become known, and a ring buffer of them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Observation = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Transition(NamedTuple):
    """A decision, what came of it and of up to n - 1 after it, and the decision after those."""

    observation: Observation
    mask: Mask
    action: int
    earned: bool
    """Whether the decision itself earned anything."""
    rewards: float
    """Of the decisions after it, discounted to its time, less its own baseline."""
    discount: float
    """Of the value of the decision after."""
    next_observation: Observation
    next_mask: Mask


class _Decision:
    __slots__ = ("action", "at", "baseline", "explored", "mask", "observation", "reward")

    def __init__(self, observation: Observation, mask: Mask, at: float) -> None:
        self.observation = observation
        self.mask = mask
        self.at = at
        self.action = -1
        self.explored = False
        self.reward: float | None = None
        self.baseline = 0.0


class Trajectory:
    """One episode's decisions until their n-step returns are known.

    A reward belongs to its decision, when it became known does not count: the discount is exp(-t / `tau_s`) with the
    virtual time t from the decision to the one that is rewarded. A return ends before a decision that explored:
    what came of that would be put down to the first, though the policy would not have taken it (Watkins 1989). The last
    n decisions of an episode are left out, since nothing follows that could be learnt.
    """

    def __init__(self, *, n_step: int, tau_s: float) -> None:
        self._n_step = n_step
        self._tau_s = tau_s
        self._decisions: deque[_Decision] = deque()
        self._first = 0

    def __len__(self) -> int:
        return len(self._decisions)

    def begin(self, observation: Observation, mask: Mask, *, at: float) -> None:
        """A decision that waits for its action."""
        self._decisions.append(_Decision(observation, mask, at))

    def act(self, action: int, *, explored: bool = False) -> None:
        """The action for it, and whether it is another than the best."""
        self._decisions[-1].action = action
        self._decisions[-1].explored = explored

    def outcome(self, number: int, reward: float, *, baseline: float = 0.0) -> None:
        """The reward of a decision, by its number in the episode, and what is to be taken off it."""
        decision = self._decisions[number - self._first]
        decision.reward = reward
        decision.baseline = baseline

    def known(self) -> Iterator[Transition]:
        """Transitions that are complete, the earliest first; they leave."""
        decisions, n_step = self._decisions, self._n_step
        while len(decisions) > n_step:
            first = decisions[0]
            if first.reward is None:
                return
            rewards, ends = -first.baseline, n_step
            for place in range(1, n_step):
                decision = decisions[place]
                if decision.explored:
                    ends = place
                    break
                if decision.reward is None:
                    return
                left = math.exp((first.at - decision.at) / self._tau_s)
                rewards += left * (decision.reward - decision.baseline)
            after = decisions[ends]
            discount = math.exp((first.at - after.at) / self._tau_s)
            earned = first.reward > 0
            yield Transition(
                first.observation, first.mask, first.action, earned, rewards, discount, after.observation, after.mask
            )
            decisions.popleft()
            self._first += 1


class Batch(NamedTuple):
    """Columns of transitions."""

    observation: Observation
    mask: Mask
    action: NDArray[np.int64]
    earned: NDArray[np.float32]
    rewards: NDArray[np.float32]
    discount: NDArray[np.float32]
    next_observation: Observation
    next_mask: Mask


class Replay:
    """The last `capacity` transitions, sampled evenly."""

    def __init__(self, capacity: int, *, observation_size: int, actions: int) -> None:
        self._capacity = capacity
        self._added = 0
        self._columns = Batch(
            np.zeros((capacity, observation_size), np.float32),
            np.zeros((capacity, actions), np.bool_),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.float32),
            np.zeros((capacity, observation_size), np.float32),
            np.zeros((capacity, actions), np.bool_),
        )

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(self, transition: Transition) -> None:
        """Keep one, in place of the oldest when full."""
        place = self._added % self._capacity
        columns = self._columns
        columns.observation[place] = transition.observation
        columns.mask[place] = transition.mask
        columns.action[place] = transition.action
        columns.earned[place] = transition.earned
        columns.rewards[place] = transition.rewards
        columns.discount[place] = transition.discount
        columns.next_observation[place] = transition.next_observation
        columns.next_mask[place] = transition.next_mask
        self._added += 1

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """`count` of them, with replacement."""
        places = generator.integers(len(self), size=count)
        return Batch(*(column[places] for column in self._columns))

    def state(self) -> dict[str, Any]:
        """What is kept, for `load`: how many were ever added, and a tensor for each column."""
        kept = {name: torch.from_numpy(column[: len(self)]) for name, column in self._columns._asdict().items()}
        return {"added": self._added, **kept}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the `state` of one of the same capacity and shapes."""
        self._added = int(state["added"])
        for name, column in self._columns._asdict().items():
            column[: len(self)] = state[name].numpy()
