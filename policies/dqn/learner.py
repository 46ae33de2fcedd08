"""One step of learning: double DQN with a target network that follows slowly, and the average that is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.dqn.network import NetworkSettings, QNetwork
from policies.dqn.replay import Batch

SHED_LOGIT = -30.0
"""What is refused is not in time."""
FORGET = 10
"""After s steps the average reaches back over the last tenth of them, until that is as long as the settings say."""


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How it learns."""

    learning_rate: float = 7e-4
    """Of Adam, at the beginning; it falls linearly."""
    last_learning_rate: float = 1e-5
    """At the end."""
    target_weight: float = 0.01
    """How far the target network goes towards the other at each step."""
    average_weight: float = 5e-4
    """How far the average of the parameters, which is what is kept, goes towards the network at each step. At the
    beginning it goes further, so that it does not remember the parameters before the first step."""
    double: bool = True
    """The next action is chosen by the network and valued by the target (van Hasselt et al. 2016), else both by the
    target."""
    huber: float = 1.0
    """Error up to which the loss is quadratic, in rewards."""
    chance_weight: float = 1.0
    """Of the cross entropy of being in time, beside the Huber loss of what comes after."""
    gradient_norm: float = 10.0
    """Gradients are scaled down to it."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """Of one step, for the log."""

    loss: float
    chance_loss: float
    """Cross entropy of being in time."""
    mean_after: float
    """Value of what comes after the decision."""
    error: float
    """Mean absolute error."""
    gradient_norm: float


class Learner:
    """The network, its target and the optimiser, on the CPU."""

    def __init__(self, settings: LearnerSettings, network: NetworkSettings, *, seed: int) -> None:
        torch.manual_seed(seed)
        self._settings = settings
        self.network = QNetwork(network)
        self.target = copy.deepcopy(self.network)
        self.target.requires_grad_(requires_grad=False)
        self.average = copy.deepcopy(self.target)
        """Polyak's average of the network over the last 1 / `average_weight` steps: it has less of the noise of single
        steps than the network and the target."""
        self._steps = 0
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, eps=1e-5, fused=True)
        self._loss = nn.HuberLoss(delta=settings.huber)
        self._parameters = list(self.network.parameters())
        self._target_parameters = list(self.target.parameters())
        self._average_parameters = list(self.average.parameters())

    def values(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Q-values of all actions, a row for each observation; of those that are masked far below all others."""
        with torch.inference_mode():
            made: NDArray[np.float32] = self.network(torch.from_numpy(observations), torch.from_numpy(masks)).numpy()
        return made

    def learn(self, batch: Batch, *, progress: float) -> Learnt:
        """One step; `progress` is the share of the training that is done."""
        settings = self._settings
        rate = settings.learning_rate + (settings.last_learning_rate - settings.learning_rate) * min(progress, 1.0)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        targets = self._targets(batch)
        at_hand, after, logits = self.network.parts(torch.from_numpy(batch.observation), torch.from_numpy(batch.mask))
        action, earned = torch.from_numpy(batch.action).unsqueeze(1), torch.from_numpy(batch.earned)
        values = after.gather(1, action).squeeze(1)
        if self.network.chance:
            logit = nn.functional.pad(logits, (0, 1), value=SHED_LOGIT).gather(1, action).squeeze(1)
            chance_loss = nn.functional.binary_cross_entropy_with_logits(logit, earned)
        else:
            targets = targets + nn.functional.pad(at_hand, (0, 1)).gather(1, action).squeeze(1) * earned
            chance_loss = torch.zeros(())
        loss = self._loss(values, targets) + settings.chance_weight * chance_loss
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, settings.gradient_norm)
        self._optimiser.step()
        self._steps += 1
        average_weight = max(settings.average_weight, 1 / (1 + self._steps / FORGET))
        with torch.no_grad():
            for target, average, parameter in zip(
                self._target_parameters, self._average_parameters, self._parameters, strict=True
            ):
                target.lerp_(parameter, settings.target_weight)
                average.lerp_(parameter, average_weight)
            values = values.detach()
            error = (values - targets).abs().mean()
            return Learnt(loss.item(), chance_loss.item(), values.mean().item(), error.item(), norm.item())

    def _targets(self, batch: Batch) -> Tensor:
        observations, masks = torch.from_numpy(batch.next_observation), torch.from_numpy(batch.next_mask)
        with torch.inference_mode():
            values = self.target(observations, masks)
            chooser = self.network(observations, masks) if self._settings.double else values
            best = values.gather(1, chooser.argmax(1, keepdim=True)).squeeze(1)
            targets: Tensor = torch.from_numpy(batch.rewards) + torch.from_numpy(batch.discount) * best
        return targets.clone()

    def state(self) -> dict[str, Any]:
        """For resuming."""
        return {
            "network": self.network.state_dict(),
            "target": self.target.state_dict(),
            "average": self.average.state_dict(),
            "steps": self._steps,
            "optimiser": self._optimiser.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.average.load_state_dict(state["average"])
        self._steps = int(state["steps"])
        self._optimiser.load_state_dict(state["optimiser"])
