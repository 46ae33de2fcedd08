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
        "_members",
        "_of_candidate",
        "_of_candidate_bias",
        "_of_candidate_heads",
        "_of_request",
        "_of_request_bias",
        "_of_state_bias",
        "_of_state_heads",
    )

    def __init__(
        self, members: Sequence[Mapping[str, Array]], *, dueling: bool, chance: bool, later_weight: float = 1.0
    ) -> None:
        """`members` are the networks' parameters by torch's names, in the shapes of `shapes`."""
        # What comes after is linear in its heads, so that they can have the weight, and the mean's.
        weights = dict.fromkeys(HEADS, later_weight / len(members)) | {"in_time": 1.0}
        of_candidate, of_state = ("advantage", "in_time"), ("shed", "state")
        there = heads_of(dueling=dueling, chance=chance)

        def stacked(name: str) -> Array:
            # One network goes without the axis of the members: a product of matrices has less to look at then.
            return np.stack([member[name] for member in members]) if len(members) > 1 else members[0][name]

        def matrix(name: str) -> Array:
            return np.ascontiguousarray(stacked(f"{name}.weight").swapaxes(-1, -2))

        def heads(names: Sequence[str], part: str) -> Array:
            own = [np.float32(weights[name]) * stacked(f"{name}.{part}") for name in names if name in there]
            return np.concatenate(own, -2 if part == "weight" else -1)

        self._members = len(members)
        self._of_request, self._of_request_bias = matrix("of_request"), stacked("of_request.bias")
        self._of_candidate = matrix("of_candidate")
        self._encoder, self._encoder_bias = matrix("encoder"), stacked("encoder.bias")[..., None, :]
        self._context, self._context_bias = _in_blocks(matrix("context")), stacked("context.bias")
        self._candidate = matrix("candidate")
        self._of_candidate_heads = np.ascontiguousarray(heads(of_candidate, "weight").swapaxes(-1, -2))
        self._of_candidate_bias = heads(of_candidate, "bias")[..., None, :]
        # These are all linear, so that one row has those of all members.
        rows = heads(of_state, "weight").reshape(len(members), -1, len(members[0]["context.bias"]))
        self._of_state_heads = np.ascontiguousarray(rows.swapaxes(0, 1)).reshape(rows.shape[1], -1)
        self._of_state_bias = heads(of_state, "bias").reshape(len(members), -1).sum(0)
        self._dueling = dueling
        self._chance = chance

    def q_values(self, request: Array, candidates: Array, *, may_shed: bool) -> list[float]:
        """Of each row of `candidates`, all of which may be chosen, and last of shedding.

        What comes after counts by its weight. Without `may_shed` the last is worked out as the others are, but the mean
        of the advantages leaves it out, as in training.
        """
        of_request = request @ self._of_request
        of_request += self._of_request_bias
        encoded = candidates @ self._of_candidate
        encoded += of_request[..., None, :]
        np.maximum(encoded, 0.0, out=encoded)
        encoded = encoded @ self._encoder
        encoded += self._encoder_bias
        np.maximum(encoded, 0.0, out=encoded)
        np.maximum(of_request, 0.0, out=of_request)
        mean = encoded.sum(-2) * (1.0 / len(candidates))
        pooled = np.concatenate((of_request, mean, encoded.max(-2)), -1)
        blocks = self._context.shape[-3]
        context: Array = (pooled.reshape(*pooled.shape[:-1], blocks, 1, -1) @ self._context).sum((-3, -2))
        context += self._context_bias
        np.maximum(context, 0.0, out=context)
        joined = encoded @ self._candidate
        joined += context[..., None, :]
        np.maximum(joined, 0.0, out=joined)
        said = joined @ self._of_candidate_heads
        said += self._of_candidate_bias
        by_member: list[list[list[float]]] = said.reshape(self._members, len(candidates), -1).tolist()
        by_candidate = list(zip(*by_member, strict=True))
        values = [sum(figures[0] for figures in of_members) for of_members in by_candidate]
        of_state: list[float] = (self._of_state_heads @ context.ravel() + self._of_state_bias).tolist()
        values.append(of_state[0])
        if self._dueling:
            counted = values if may_shed else values[:-1]
            offset = of_state[1] - sum(counted) / len(counted)
            values = [value + offset for value in values]
        if not self._chance:
            return values
        stake = STAKE_UNIT * float(request[STAKE]) / self._members
        qualities: list[float] = candidates[:, QUALITY].tolist()
        for place, (quality, of_members) in enumerate(zip(qualities, by_candidate, strict=True)):
            values[place] += stake * quality * sum(_chance(figures[1]) for figures in of_members)
        return values


def _chance(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT)))


def _in_blocks(matrix: Array) -> Array:
    """The matrix, or each of several, as blocks of its rows, each with fewer numbers than `THREADED`."""
    *several, rows, columns = matrix.shape
    blocks = next(count for count in range(1, rows + 1) if rows % count == 0 and rows // count * columns < THREADED)
    return matrix.reshape(*several, blocks, rows // blocks, columns)
