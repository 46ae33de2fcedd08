"""The trained policy as the daemon runs it: numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from policies.dqn.checkpoint import Checkpoint, CheckpointError, read_checkpoint
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
    network, which grows with the candidates. With `streams`, a second checkpoint on the same features, that one decides
    where the request is for a stream and all candidates that may be chosen stream tokens.
    """

    def __init__(self, checkpoint: Checkpoint, *, streams: Checkpoint | None = None, name: str = "dqn") -> None:
        if streams is not None and streams.without != checkpoint.without:
            raise CheckpointError(f"{streams.path}: its features are not those of {checkpoint.path}")
        self._name = name
        self._features = Features(without=checkpoint.without)
        self._whole = _forward(checkpoint)
        self._streams = self._whole if streams is None else _forward(streams)
        self._greedy = Greedy()
        self._decisions = self._sheds = self._by_greedy = 0

    @property
    def name(self) -> str:
        """`dqn`, or `dqn:<file>` for a checkpoint of one's own."""
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


def _forward(checkpoint: Checkpoint) -> Forward:
    return Forward(
        checkpoint.parameters,
        dueling=checkpoint.dueling,
        chance=checkpoint.chance,
        later_weight=checkpoint.later_weight,
    )


NEVER = float("-inf")
NO_PROFILE = "a candidate has no profile"
SHED = "refused for the sake of other requests, or because no model would answer in time"


def shipped() -> DqnPolicy:
    """With the checkpoints that come with headway. Raises `CheckpointError`."""
    return DqnPolicy(read_checkpoint(), streams=read_checkpoint("streams"))


def from_file(file: str) -> DqnPolicy:
    """With a checkpoint of one's own. Raises `CheckpointError`."""
    return DqnPolicy(read_checkpoint(file), name=f"dqn:{file}")
