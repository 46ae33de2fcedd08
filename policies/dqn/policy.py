"""The trained policy as the daemon runs it: numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from policies.dqn.checkpoint import SHIPPED, Checkpoint, CheckpointError, read_checkpoint
from policies.dqn.forward import Forward
from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable
from policies.selection.features import Features, hopeless, may_shed
from policies.selection.greedy import Greedy


class DqnPolicy:
    """The action of the highest Q-value among the candidates that are ready and, where it may, to shed.

    A candidate that is predicted to be late does not count while another is predicted to be in time.

    Q-values estimate what is lost from this decision on, in units of what an average request can earn, so that 0 is the
    best there is; `Choice.scores` has them, shed last, with -inf for what could not be chosen. The network knows no
    candidate without a profile: while one of those may be chosen, greedy by slack decides. Cost: one pass through the
    network, which grows with the candidates, and by an eighth with each further checkpoint. The values of several
    checkpoints are averaged, and then what comes after counts whole, whatever the weight that is best for each alone:
    their mean is less noisy. With `streams`, other checkpoints on the same features, those decide where the request is
    for a stream and all candidates that may be chosen stream tokens.
    """

    def __init__(self, *checkpoints: Checkpoint, streams: Sequence[Checkpoint] = (), name: str = "dqn") -> None:
        first = checkpoints[0]
        for other in (*checkpoints, *streams):
            if other.without != first.without:
                raise CheckpointError(f"{other.path}: its features are not those of {first.path}")
        self._name = name
        self._features = Features(without=first.without)
        self._whole = _forward(checkpoints)
        self._streams = _forward(streams) if streams else self._whole
        self._greedy = Greedy()
        self._decisions = self._sheds = self._by_greedy = 0

    @property
    def name(self) -> str:
        """`dqn`, or `dqn:<file>[,<file>…]` for checkpoints of one's own."""
        return self._name

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """Decide one request."""
        if not candidates:
            return NO_CANDIDATES
        self._decisions += 1
        of_request, rows = self._features.encode(request, candidates, now=now)
        positions = choosable(candidates)
        profiles = [candidates[position].profile for position in positions]
        if None in profiles:
            self._by_greedy += 1
            return replace(self._greedy.choose(request, candidates, now=now), fallback=NO_PROFILE)
        if len(positions) < len(rows):
            rows = [rows[position] for position in positions]
        sheds = may_shed(request, candidates, now=now)
        streams = request.streaming and all(profile is not None and profile.tokens is not None for profile in profiles)
        forward = self._streams if streams else self._whole
        values = forward.q_values(np.array(of_request, np.float32), np.array(rows, np.float32), may_shed=sheds)
        shed_value = values.pop()
        barred = hopeless(request, candidates, now=now)
        values = [NEVER if position in barred else value for position, value in zip(positions, values, strict=True)]
        best = max(range(len(values)), key=values.__getitem__)
        scores = [NEVER] * (len(candidates) + 1)
        for position, value in zip(positions, values, strict=True):
            scores[position] = value
        if sheds:
            scores[-1] = shed_value
            if shed_value > values[best]:
                self._sheds += 1
                return Choice(None, SHED, tuple(scores))
        return Choice(positions[best], "highest Q-value", tuple(scores))

    def log_data(self) -> Mapping[str, object]:
        """How many decisions, and how they went."""
        return {"decisions": self._decisions, "shed": self._sheds, "by_greedy": self._by_greedy}


def _forward(checkpoints: Sequence[Checkpoint]) -> Forward:
    first = checkpoints[0]
    for other in checkpoints:
        if (other.hidden, other.dueling, other.chance) != (first.hidden, first.dueling, first.chance):
            raise CheckpointError(f"{other.path}: its network is of another shape than that of {first.path}")
    return Forward(
        [checkpoint.parameters for checkpoint in checkpoints],
        dueling=first.dueling,
        chance=first.chance,
        later_weight=first.later_weight if len(checkpoints) == 1 else 1.0,
    )


NEVER = float("-inf")
NO_PROFILE = "a candidate has no profile"
SHED = "refused for the sake of other requests, or because no model would answer in time"


def shipped() -> DqnPolicy:
    """With the checkpoints that come with headway. Raises `CheckpointError`."""
    whole, streams = ([read_checkpoint(name) for name in SHIPPED[kind]] for kind in ("default", "streams"))
    return DqnPolicy(*whole, streams=streams)


def from_files(files: str) -> DqnPolicy:
    """With checkpoints of one's own, separated by commas. Raises `CheckpointError`."""
    return DqnPolicy(*(read_checkpoint(file) for file in files.split(",")), name=f"dqn:{files}")
