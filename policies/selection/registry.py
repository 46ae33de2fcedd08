"""From a policy's name in the configuration to the policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from policies.selection.base import Policy
from policies.selection.chance import PowerOfTwo, Random
from policies.selection.finish_time import EarliestFinish, LatestFinish, LeastPositiveHeadroom
from policies.selection.greedy import Greedy, greedy_earliest
from policies.selection.heuristics import LeastLoaded, RoundRobin
from policies.selection.infaas import Infaas
from policies.selection.late_policy import LATE, Late
from policies.selection.model_switching import ModelSwitching, thresholds
from policies.selection.proteus import ProteusLite
from policies.selection.slackfit import SlackFit
from policies.selection.static import Static


def _dqn() -> Policy:
    from policies.dqn.policy import shipped  # noqa: PLC0415 - numpy and safetensors, which only a daemon has

    return shipped()


def _dqn_from(file: str) -> Policy:
    from policies.dqn.policy import from_files  # noqa: PLC0415

    return from_files(file)


POLICIES: Mapping[str, Callable[[], Policy]] = MappingProxyType(
    {
        "random": Random,
        "round_robin": RoundRobin,
        "least_loaded": LeastLoaded,
        "power_of_two": PowerOfTwo,
        "greedy": Greedy,
        "greedy_earliest": greedy_earliest,
        "slackfit": SlackFit,
        "latest_finish": LatestFinish,
        "earliest_finish": EarliestFinish,
        "model_switching": ModelSwitching,
        "infaas": Infaas,
        "least_positive_headroom": LeastPositiveHeadroom,
        "proteus_lite": ProteusLite,
        LATE: Late,
        "dqn": _dqn,
    }
)
"""Policies that are named without an argument, with their knobs as they are by default."""

POLICIES_WITH_ARGUMENT: Mapping[str, tuple[str, Callable[[str], Policy]]] = MappingProxyType(
    {
        "static": ("model", Static),
        "thresholds": ("low,high", thresholds),
        "dqn": ("checkpoint", _dqn_from),
    }
)
"""Policies that are named `name:argument`, with what the argument is called in messages."""


def policy_names() -> tuple[str, ...]:
    """What may stand in the configuration, for messages: `round_robin`, `static:<model>` and so on."""
    with_argument = [f"{name}:<{argument}>" for name, (argument, _) in POLICIES_WITH_ARGUMENT.items()]
    return tuple(sorted([*POLICIES, *with_argument]))


def make_policy(spec: str) -> Policy:
    """A new policy from its name, such as `static:llm-large`. Raises ValueError naming what is allowed.

    `dqn` reads its checkpoint; `policies.dqn.checkpoint.CheckpointError`, a ValueError, says why it can't be used.
    """
    name, colon, argument = spec.partition(":")
    if not colon and name in POLICIES:
        return POLICIES[name]()
    if argument and name in POLICIES_WITH_ARGUMENT:
        return POLICIES_WITH_ARGUMENT[name][1](argument)
    raise ValueError(f"unknown policy {spec!r}; known are {', '.join(policy_names())}")


def require_candidate(spec: str, models: Collection[str]) -> None:
    """Raise ValueError, naming `models`, if the policy is for one model and that is none of them."""
    name, _, argument = spec.partition(":")
    if name in POLICIES_WITH_ARGUMENT and POLICIES_WITH_ARGUMENT[name][0] == "model" and argument not in models:
        allowed = ", ".join(f"{name}:{model}" for model in sorted(models))
        raise ValueError(f"{argument!r} is none of the route's candidates; known are {allowed}")
