"""The Q-network: one encoder shared by all candidates, so that neither their number nor their order matters.

A candidate is encoded from its own numbers and the request's. The mean and the largest value of what the encoder makes
of all that may be chosen are the context. An action's advantage comes from its candidate's encoding and the context;
the advantage of shedding and the value of the state come from the context alone, which has the request in it.
`forward` is the same in numpy.

A Q-value is the sum of what the request at hand will earn and of what comes after. The first is its stake times the
candidate's quality, both of which are seen, times the chance of being in time, which has a head of its own; so that the
other has to learn only how much a decision costs later requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES, STAKE_UNIT

STAKE, QUALITY = REQUEST_FEATURES.index("stake"), CANDIDATE_FEATURES.index("quality")
NEVER = -1e9
"""Q-value of an action that stands for nothing."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The network's shape."""

    hidden: int = 64
    """Width of every layer."""
    dueling: bool = True
    """Value and advantage apart (Wang et al. 2016), else the Q-values themselves."""
    chance: bool = True
    """A head for the chance of being in time, else Q-values are whole."""


class QNetwork(nn.Module):
    """Observations as of `SelectionEnv` → Q-values of the candidates by place and, last, of shedding."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.dueling = settings.dueling
        self.chance = settings.chance
        self.of_request = nn.Linear(len(REQUEST_FEATURES), hidden)
        self.of_candidate = nn.Linear(len(CANDIDATE_FEATURES), hidden, bias=False)
        self.encoder = nn.Linear(hidden, hidden)
        self.context = nn.Linear(3 * hidden, hidden)
        self.candidate = nn.Linear(hidden, hidden, bias=False)
        self.in_time = nn.Linear(hidden, 1)
        self.advantage = nn.Linear(hidden, 1)
        self.shed = nn.Linear(hidden, 1)
        self.state = nn.Linear(hidden, 1)

    def forward(self, observation: Tensor, mask: Tensor) -> Tensor:
        """Q-values, shape (batch, places + 1); `mask` of the same shape is true for actions that may be taken."""
        at_hand, after, logits = self.parts(observation, mask)
        earned = at_hand * torch.sigmoid(logits) if self.chance else torch.zeros_like(at_hand)
        q_values: Tensor = torch.where(mask, after + nn.functional.pad(earned, (0, 1)), NEVER)
        return q_values

    def parts(self, observation: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the request can earn with each candidate, what comes after each action, logits of being in time.

        The context is made from the candidates in the mask, at least one.
        """
        split = len(REQUEST_FEATURES)
        request = self.of_request(observation[:, :split])
        there = mask[:, :-1]
        places = there.flatten().nonzero().squeeze(1)  # only what is there is worked out
        owner = places // there.shape[1]
        every = observation[:, split:].reshape(-1, len(CANDIDATE_FEATURES))
        rows = every[places]
        encoded = torch.relu(self.of_candidate(rows) + request[owner])
        encoded = torch.relu(self.encoder(encoded))
        context = torch.relu(self.context(torch.cat([torch.relu(request), *_pooled(encoded, places, there)], 1)))
        joined = torch.relu(self.candidate(encoded) + context[owner])
        heads = torch.cat([self.advantage(joined), self.in_time(joined)], 1)
        both = heads.new_zeros(there.numel(), 2).index_copy(0, places, heads).view(*there.shape, 2)
        after = torch.cat([both[:, :, 0], self.shed(context)], 1)
        if self.dueling:
            mean_advantage = (after * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
            after = after - mean_advantage + self.state(context)
        at_hand = STAKE_UNIT * observation[:, STAKE : STAKE + 1] * every[:, QUALITY].view(there.shape)
        return at_hand, after, both[:, :, 1]


def _pooled(encoded: Tensor, places: Tensor, there: Tensor) -> list[Tensor]:
    """Mean and largest of the candidates of each row, from encodings (at least 0) of those that are there."""
    padded = encoded.new_zeros(there.numel(), encoded.shape[1]).index_copy(0, places, encoded)
    padded = padded.view(*there.shape, -1)
    return [padded.sum(1) / there.sum(1, keepdim=True), padded.amax(1)]
