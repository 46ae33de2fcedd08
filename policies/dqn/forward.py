"""The Q-network's forward pass in numpy, for one decision: what the daemon runs, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES, STAKE_UNIT

Array = NDArray[np.float32]

HEADS = ("in_time", "advantage", "shed", "state")
STAKE, QUALITY = REQUEST_FEATURES.index("stake"), CANDIDATE_FEATURES.index("quality")
LARGEST_LOGIT = 30.0
"""Beyond it a chance is 0 or 1 in 32 bits."""


def heads_of(*, dueling: bool, chance: bool) -> tuple[str, ...]:
    """The heads that a network has."""
    without = {"state": not dueling, "in_time": not chance}
    return tuple(head for head in HEADS if not without.get(head))


def shapes(hidden: int, *, dueling: bool, chance: bool) -> dict[str, tuple[int, ...]]:
    """Shape of each of the network's parameters, by torch's names."""
    made: dict[str, tuple[int, ...]] = {
        "of_request.weight": (hidden, len(REQUEST_FEATURES)),
        "of_request.bias": (hidden,),
        "of_candidate.weight": (hidden, len(CANDIDATE_FEATURES)),
        "encoder.weight": (hidden, hidden),
        "encoder.bias": (hidden,),
        "context.weight": (hidden, 3 * hidden),
        "context.bias": (hidden,),
        "candidate.weight": (hidden, hidden),
    }
    for head in heads_of(dueling=dueling, chance=chance):
        made |= {f"{head}.weight": (1, hidden), f"{head}.bias": (1,)}
    return made


THREADED = 9216
"""Numbers in a matrix from which on OpenBLAS, numpy's own build, multiplies it with a vector on several threads
(`interface/gemv.c`). Waiting for another thread takes milliseconds on a busy machine: 4 to 8 at the median for 384 x
128 on two cores with 15 processes ready to run, against 3 microseconds on one thread."""


class Forward:
    """Mean Q-values of one or more networks of the same shape, worked out side by side.

    Networks that were trained alike from other seeds err in other ways, so that the mean of what they say errs less
    (Anschel et al. 2017 average a network's earlier states).
    """

    __slots__ = (
        "_candidate",
        "_chance",
        "_context",
        "_context_bias",
        "_dueling",
        "_encoder",
        "_encoder_bias",
        "_heads",
        "_heads_bias",
        "_in_time",
        "_in_time_bias",
        "_of_candidate",
        "_of_request",
        "_of_request_bias",
    )

    def __init__(
        self,
        members: Sequence[Mapping[str, Array]],
        *,
        dueling: bool,
        chance: bool,
        later_weight: float = 1.0,
    ) -> None:
        """`members` are the networks' parameters by torch's names, in the shapes of `shapes`."""

        def stacked(name: str) -> Array:
            return np.stack([member[name] for member in members])

        def matrices(name: str) -> Array:
            return np.ascontiguousarray(stacked(f"{name}.weight").transpose(0, 2, 1))

        self._of_request, self._of_request_bias = matrices("of_request"), stacked("of_request.bias")
        self._of_candidate = matrices("of_candidate")
        self._encoder, self._encoder_bias = matrices("encoder"), stacked("encoder.bias")[:, None]
        self._context, self._context_bias = _in_blocks(matrices("context")), stacked("context.bias")
        self._candidate = matrices("candidate")
        self._dueling = dueling
        self._chance = chance
        if chance:
            self._in_time, self._in_time_bias = matrices("in_time"), stacked("in_time.bias")[:, :, None]
        # What comes after is linear in its heads, so that they can have the weight, and the mean's.
        weight = np.float32(later_weight / len(members))
        later = [head for head in heads_of(dueling=dueling, chance=chance) if head != "in_time"]
        self._heads = {head: weight * stacked(f"{head}.weight")[:, 0] for head in later}
        self._heads_bias = {head: float(weight * stacked(f"{head}.bias").sum()) for head in later}

    def q_values(self, request: Array, candidates: Array, *, may_shed: bool) -> list[float]:
        """Of each row of `candidates`, all of which may be chosen, and last of shedding.

        What comes after counts by its weight. Without `may_shed` the last is worked out as the others are, but the mean
        of the advantages leaves it out, as in training.
        """
        of_request = request @ self._of_request + self._of_request_bias
        encoded = candidates @ self._of_candidate
        encoded += of_request[:, None]
        np.maximum(encoded, 0.0, out=encoded)
        encoded = encoded @ self._encoder
        encoded += self._encoder_bias
        np.maximum(encoded, 0.0, out=encoded)
        np.maximum(of_request, 0.0, out=of_request)
        mean = encoded.sum(1) * (1.0 / len(candidates))
        pooled = np.concatenate((of_request, mean, encoded.max(1)), 1)
        members, blocks = self._context.shape[:2]
        context: Array = (pooled.reshape(members, blocks, 1, -1) @ self._context).sum((1, 2))
        context += self._context_bias
        np.maximum(context, 0.0, out=context)
        joined = encoded @ self._candidate
        joined += context[:, None]
        np.maximum(joined, 0.0, out=joined)
        advantages = (joined * self._heads["advantage"][:, None]).sum((0, 2))
        advantages += self._heads_bias["advantage"]
        values: list[float] = advantages.tolist()
        values.append(float(np.vdot(context, self._heads["shed"])) + self._heads_bias["shed"])
        if self._dueling:
            counted = values if may_shed else values[:-1]
            offset = float(np.vdot(context, self._heads["state"])) + self._heads_bias["state"]
            offset -= sum(counted) / len(counted)
            values = [value + offset for value in values]
        if not self._chance:
            return values
        stake = STAKE_UNIT * float(request[STAKE])
        logits: list[float] = (joined @ self._in_time + self._in_time_bias).ravel().tolist()
        chances = [1.0 / (1.0 + math.exp(-min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT))) for logit in logits]
        qualities: list[float] = candidates[:, QUALITY].tolist()
        count = len(qualities)
        for place, quality in enumerate(qualities):
            values[place] += stake * quality * sum(chances[place::count]) / members
        return values


def _in_blocks(matrices: Array) -> Array:
    """Each matrix as blocks of its rows, each with fewer numbers than `THREADED`."""
    members, rows, columns = matrices.shape
    blocks = next(count for count in range(1, rows + 1) if rows % count == 0 and rows // count * columns < THREADED)
    return matrices.reshape(members, blocks, rows // blocks, columns)
