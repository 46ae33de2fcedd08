"""The requests of one route that wait in the daemon, and what is to become of them by the planner's word.

Pure: `now` is passed in. What the planner has to know of the models it hears from their loads, which this queue
watches: requests of other routes, of sequences and of streams go to the same models. A planner that fails is replaced
by a new one, made from what is under way; what waits is then for greedy to decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import NamedTuple

from policies.profile import Profile
from policies.selection.late import LatePlanner, Plan
from policies.selection.late_model import LateSettings
from proxy.clock import Clock, ThreadCpuClock
from proxy.daemon.guard import BUDGET_S, NOT_A_NUMBER, RAISED, RESTING, Failures, GuardStatistics
from proxy.daemon.load import ModelLoad

PlannerFactory = Callable[[Sequence[tuple[float, Profile]], LateSettings], LatePlanner]


class Released(NamedTuple):
    """What is to become of a request that waited."""

    key: Hashable
    position: int | None = None
    """Of the model that it is to be sent to, among the route's candidates."""
    refused: bool = False
    """No model would answer it in time. If it is neither refused nor has a model, the route's policy is to be asked."""
    cause: str = ""
    """Why the planner did not decide, if it was to."""
    held: int = 0
    """Requests that waited when it was decided."""

    @property
    def undecided(self) -> bool:
        """Whether the route's policy is to be asked."""
        return self.position is None and not self.refused


class Decided(NamedTuple):
    """One decision about all that waits."""

    released: Sequence[Released]
    """In the order in which they are to be sent, without a pause."""
    again_at: float
    """When to decide again if nothing happens before; infinite if there is no need."""


class LateQueue:
    """What waits for the candidates of a route, which are given as (quality, load).

    Raises ValueError naming those that it can't plan for: without a profile, or with one of token streams.
    """

    def __init__(
        self,
        candidates: Sequence[tuple[float, ModelLoad]],
        settings: LateSettings,
        *,
        name: str,
        make_planner: PlannerFactory = LatePlanner,
        timer: Clock | None = None,
    ) -> None:
        self._loads = [load for _, load in candidates]
        self._models = [(quality, _plannable(load)) for quality, load in candidates]
        self._position = {load: position for position, load in enumerate(self._loads)}
        self._settings = settings
        self._make_planner = make_planner
        self._timer = timer or ThreadCpuClock()
        self._failures = Failures(name)
        self._held: dict[Hashable, int] = {}
        self._held_bytes = 0
        self._on_the_way: dict[Hashable, int] = {}
        """Sent by a plan, and not at its model yet."""
        self._lost = ""
        """Why the planner that knew of what waits is gone; empty while it is there."""
        self._planner = self._new_planner(0.0)

    def __repr__(self) -> str:
        return f"<LateQueue {len(self._held)} requests, {self._held_bytes} bytes, {self._planner!r}>"

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """Length of all that waits."""
        return self._held_bytes

    @property
    def loads(self) -> Sequence[ModelLoad]:
        """The candidates' accounts."""
        return self._loads

    def statistics(self) -> GuardStatistics:
        """Of the planner's decisions, and of those that were not its own."""
        return self._failures.statistics()

    def hold(
        self,
        key: Hashable,
        *,
        due_at: float,
        way_back_deviation_s: float,
        weight: float,
        size_bytes: int,
        barred: Collection[int] = (),
        now: float,
    ) -> Released | None:
        """A request waits from now on; see `LatePlanner.hold`. Not None: it is decided already."""
        if self._failures.resting(now=now):
            self._failures.note(RESTING, "", now=now)
            return Released(key, cause=RESTING)
        if not any(position not in barred and load.account.ready(now=now) for position, load in enumerate(self._loads)):
            return Released(key)
        try:
            self._planner.hold(
                key, due_at=due_at, way_back_deviation_s=way_back_deviation_s, weight=weight, barred=barred
            )
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with it, the request is to be served
            self._failed(RAISED, _text(error), now)
            return Released(key, cause=RAISED)
        self._held[key] = size_bytes
        self._held_bytes += size_bytes
        return None

    def give_up(self, key: Hashable, *, now: float) -> None:
        """Nobody waits for the request any more, which may have been released already."""
        if key in self._held:
            self._let_go(key)
            self._tell(lambda planner: planner.discard(key), now=now)
        position = self._on_the_way.pop(key, None)
        if position is not None:
            self._tell(lambda planner: planner.ended(position, key, answered=False, now=now), now)

    def release_all(self) -> Sequence[Released]:
        """Everything, for the route's policy to decide."""
        released = [Released(key) for key in self._held]
        for key in list(self._held):
            self._let_go(key)
        return released

    def decide(self, *, now: float) -> Decided:
        """What is to become of what waits."""
        if not self._held:
            return Decided((), math.inf)
        if self._lost:
            return self._undecided(self._lost, now)
        if self._failures.resting(now=now):
            self._failures.note(RESTING, "", now=now)
            return self._undecided(RESTING, now)
        ready = [load.account.ready(now=now) for load in self._loads]
        if not any(ready):
            return self._undecided("", now)  # each is tried somewhere, and told at once what is away
        plan = self._plan(ready, now)
        return self._undecided(self._lost, now) if plan is None else self._carried_out(plan, ready, now)

    def sent(self, load: ModelLoad, key: Hashable, *, now: float) -> None:
        """See `LoadWatcher`. The planner knows of what it sent itself."""
        if self._on_the_way.pop(key, None) is None:
            position = self._position[load]
            self._tell(lambda planner: planner.sent(position, key, now=now), now)

    def ended(self, load: ModelLoad, key: Hashable, *, answered: bool, now: float) -> None:
        """See `LoadWatcher`."""
        position = self._position[load]
        self._tell(lambda planner: planner.ended(position, key, answered=answered, now=now), now)

    def _plan(self, ready: Sequence[bool], now: float) -> Plan | None:
        """The planner's word; None if it failed, and is lost."""
        self._failures.asked()
        began_at = self._timer.now()
        try:
            plan = self._planner.plan(ready, now=now)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with it, the requests are to be served
            self._failed(RAISED, _text(error), now)
            return None
        if math.isnan(plan.again_at):
            self._failed(NOT_A_NUMBER, repr(plan.again_at), now)
            return None
        took_s = self._timer.now() - began_at
        if took_s > BUDGET_S:
            self._failures.was_slow(took_s, BUDGET_S, now=now)
        else:
            self._failures.worked()
        return plan

    def _carried_out(self, plan: Plan, ready: Sequence[bool], now: float) -> Decided:
        held = len(self._held)
        released = [Released(key, refused=True, held=held) for key in plan.refused]
        for key, position in plan.sends:
            released.append(Released(key, position, held=held))
            self._on_the_way[key] = position
        for one in released:
            self._let_go(one.key)
        again_at = plan.again_at
        if self._held and not all(ready):
            back_at = min(
                load.account.ready_at for load, is_ready in zip(self._loads, ready, strict=True) if not is_ready
            )
            again_at = min(again_at, max(back_at, now))
        return Decided(released, again_at)

    def _undecided(self, cause: str, now: float) -> Decided:
        """All of it is for the route's policy."""
        released = [one._replace(cause=cause) for one in self.release_all()]
        for _ in released[1:] if cause else ():
            self._failures.note(cause, "", now=now)  # of the first it has been noted
        self._lost = ""
        self._planner = self._new_planner(now)
        return Decided(released, math.inf)

    def _let_go(self, key: Hashable) -> None:
        self._held_bytes -= self._held.pop(key)

    def _tell(self, what: Callable[[LatePlanner], None], now: float) -> None:
        try:
            what(self._planner)
        except Exception as error:  # noqa: BLE001 -- the account of a model goes on
            self._failed(RAISED, _text(error), now)

    def _failed(self, cause: str, what: str, now: float) -> None:
        self._failures.failed(cause, what, now=now)
        self._lost = cause if self._held else ""
        self._planner = self._new_planner(now)

    def _new_planner(self, now: float) -> LatePlanner:
        """One that knows what is under way. What waits is not in it."""
        planner = self._make_planner(self._models, self._settings)
        for position, load in enumerate(self._loads):
            for key, sent_at in load.under_way.items():
                planner.sent(position, key, now=sent_at)
        for key, position in self._on_the_way.items():
            planner.sent(position, key, now=now)
        return planner


def _plannable(load: ModelLoad) -> Profile:
    profile = load.account.profile
    if profile is None or profile.tokens is not None:
        lacks = "no profile" if profile is None else "a profile of token streams"
        raise ValueError(f"{load.account.name} on {load.account.instance} has {lacks}")
    return profile


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
