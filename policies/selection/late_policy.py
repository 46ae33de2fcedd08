"""The policy that lets requests wait and decides them late, by plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.selection.base import Candidate, Choice, Policy, Request
from policies.selection.greedy import Greedy
from policies.selection.late_model import LateSettings

LATE = "late"
"""Its name in the configuration."""


class Late:
    """A policy whose requests wait until `policies.selection.late.LatePlanner` sends them.

    Who runs it asks the planner, made with its `settings`, about requests that may wait. `choose` is for those that may
    not: of a sequence, of a token stream, for candidates without a profile. Greedy decides them when they come.
    """

    def __init__(self, settings: LateSettings | None = None) -> None:
        self.settings = settings or LateSettings()
        self._on_arrival = Greedy()

    @property
    def name(self) -> str:
        """`late`."""
        return LATE

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The best candidate that is in time, of those that are ready."""
        return self._on_arrival.choose(request, candidates, now=now)

    def log_data(self) -> Mapping[str, object]:
        """Of the requests that could not wait."""
        return self._on_arrival.log_data()


def settings_of(policy: Policy) -> LateSettings | None:
    """The planner's settings where the policy decides late; None for one that decides when a request comes."""
    return policy.settings if isinstance(policy, Late) else None
