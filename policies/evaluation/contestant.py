"""From the names on the command line to policies, each with its knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from policies.selection.base import Policy
from policies.selection.registry import POLICIES, POLICIES_WITH_ARGUMENT, make_policy
from policies.selection.tuning import TUNABLE
from policies.simulation.workload import Workload

ALL = "all"
STATIC = "static"
LEARNED = "dqn"
BASELINES = (*(name for name in POLICIES if name != LEARNED), "thresholds")
"""Without the static models, which differ from workload to workload."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy of the comparison."""

    name: str
    """As it is shown: a policy's name in the configuration, or that of a tunable one."""
    knobs: Mapping[str, object] = field(default_factory=dict)
    """Set for it; the others are at their defaults."""
    tuned: bool = False
    """Whether the knobs were searched for on this workload."""

    def make(self) -> Policy:
        """A new policy, with no memory. Raises ValueError as `make_policy`."""
        if self.name in TUNABLE:
            return TUNABLE[self.name].factory(self.knobs)()
        return make_policy(self.name)

    @property
    def learned(self) -> bool:
        """Whether it is what the baselines are there for."""
        return self.name.partition(":")[0] == LEARNED


def known_names() -> tuple[str, ...]:
    """What may be asked for, for messages."""
    with_argument = (f"{name}:<{argument}>" for name, (argument, _) in POLICIES_WITH_ARGUMENT.items())
    return (ALL, *sorted({STATIC, LEARNED, *BASELINES, *POLICIES, *with_argument}))


def expand(names: Sequence[str]) -> list[str]:
    """`all` by what it stands for, and each name once. Raises ValueError for an unknown name."""
    expanded: list[str] = []
    for name in names:
        expanded += [STATIC, *BASELINES, LEARNED] if name == ALL else [name]
    for name in expanded:
        _require_known(name)
    return list(dict.fromkeys(expanded))


def contestants(
    names: Sequence[str], workload: Workload, tuned: Mapping[str, Mapping[str, object]]
) -> Iterator[Contestant]:
    """Those of one workload; `static` is each of its candidates. `tuned` has the knobs found on it, by policy.

    A static model that the workload does not have is left out.
    """
    models = [candidate.model for candidate in workload.candidates]
    seen = set()
    for name in names:
        spread = [f"{STATIC}:{model}" for model in models] if name == STATIC else [name]
        for single in spread:
            kind, _, argument = single.partition(":")
            if single in seen or (kind == STATIC and argument not in models):
                continue
            seen.add(single)
            yield Contestant(single, tuned.get(single, {}), tuned=single in tuned)


def _require_known(name: str) -> None:
    kind, _, argument = name.partition(":")
    known = name == STATIC or name in BASELINES or name in POLICIES or kind == LEARNED
    if known or (argument and kind in POLICIES_WITH_ARGUMENT):
        return
    raise ValueError(f"unknown policy {name!r}; known are {', '.join(known_names())}")
