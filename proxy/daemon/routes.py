"""The daemon's settings, and the table from the model names that clients ask for to the models behind them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from policies.profile import Profile
from policies.selection.arrivals import ArrivalMeter
from policies.selection.base import Policy
from policies.selection.late_policy import settings_of
from policies.traffic import TrafficClass
from proxy.clock import Clock, MonotonicClock
from proxy.daemon import triton as messages
from proxy.daemon.guard import is_learned, policy_at_start
from proxy.daemon.late_queue import LateQueue
from proxy.daemon.load import ModelLoad
from proxy.daemon.sequences import CAPACITY, IDLE_S
from proxy.daemon.waiting_room import WaitingRoom
from proxy.daemon.way_back import AnswerLengths
from proxy.telemetry.route_metrics import CandidateNumbers, RouteMetrics, RouteNumbers
from proxy.tunnel.exchange import Carrier

logger = logging.getLogger(__name__)

WAITING_BYTES = 256 << 20
"""As much as a single message may have by default; requests of 100 kB, 1000 a second, for 2.5 s."""


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """A gRPC server that the daemon calls."""

    name: str
    """Its name in the configuration."""
    address: str
    """host:port, for messages, spans and to tell whether it is on this host."""
    metrics: str | None = None
    """URL of its Prometheus page, for its queues and GPUs; None: they are not read."""


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """A model that may answer for a route."""

    triton: str
    """The backend that has it."""
    model: str
    """Its name there."""
    quality: float
    profile: Profile | None = None
    """How long it takes, measured beforehand; None: learned from its answers. One for all routes that have the model
    on that backend: the first that is given."""


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """A model name that clients ask for."""

    name: str
    policy: str
    """As in the configuration, such as `static:llm-large`."""
    candidates: tuple[CandidateSettings, ...]
    waiting_bytes: int = WAITING_BYTES
    """How much of requests may wait in the daemon, where the policy decides late."""


@dataclass(frozen=True, slots=True)
class DispatchSettings:
    """What `Dispatcher` is told."""

    backends: tuple[BackendSettings, ...]
    default: str
    """The backend for calls that no route claims."""
    listen: str
    """Where the daemon listens, host:port, for spans and messages."""
    routes: tuple[RouteSettings, ...] = ()
    classes: Mapping[str, TrafficClass] = field(default_factory=dict)
    """By name; a call of another class has weight 1, and its answer is delivered however late."""
    sequence_idle_s: float = IDLE_S
    sequences: int = CAPACITY
    """How many sequences are remembered at once."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A gRPC server and the way to it."""

    name: str
    address: str
    carrier: Carrier

    def __str__(self) -> str:
        """As it stands in messages."""
        return f"triton {self.name!r} at {self.address}"


@dataclass(frozen=True, slots=True, eq=False)
class RouteCandidate:
    """A model on a backend, with what is the same for all of a route's requests to it."""

    backend: Backend
    model: str
    quality: float
    load: ModelLoad = field(repr=False)
    request_suffix: bytes = field(repr=False)
    """Makes a request for the route one for the model."""
    marked_request_suffix: bytes = field(repr=False)
    """The same, and has the end of the answer marked."""
    numbers: CandidateNumbers = field(repr=False)
    answer_suffix: bytes = field(repr=False)
    """Makes the model's answer one of the route."""
    stream_answer_suffix: bytes = field(repr=False)


@dataclass(slots=True, eq=False)
class Route:
    """A model name that clients ask for, its candidates, and the policy that decides between them."""

    name: str
    candidates: tuple[RouteCandidate, ...]
    policy: Policy
    """Replaced when an operator switches policies, see `Routes.use_policy`."""
    numbers: RouteNumbers = field(repr=False)
    arrivals: ArrivalMeter = field(default_factory=ArrivalMeter)
    """Counts its requests, each once however often it is tried."""
    answers: AnswerLengths = field(default_factory=AnswerLengths)
    waiting: WaitingRoom | None = None
    """Where requests wait; None while the policy decides when they come."""
    waiting_bytes: int = WAITING_BYTES

    def of_model(self, model: str, backend: Backend) -> RouteCandidate | None:
        """The candidate with this model on this backend."""
        for candidate in self.candidates:
            if candidate.model == model and candidate.backend is backend:
                return candidate
        return None


class Routes:
    """All routes, by name in bytes, as names stand in messages."""

    def __init__(
        self,
        settings: Sequence[RouteSettings],
        backends: Mapping[str, Backend],
        metrics: RouteMetrics | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._metrics = metrics or RouteMetrics()
        self._clock = clock or MonotonicClock()
        self._loads = _loads(settings)
        self._routes = {
            route.name.encode(): Route(
                route.name,
                tuple(self._candidate(route.name, candidate, backends) for candidate in route.candidates),
                policy_at_start(route.policy),
                RouteNumbers(self._metrics, route.name, policy=route.policy),
                waiting_bytes=route.waiting_bytes,
            )
            for route in settings
        }
        for route in self:
            self.use_policy(route, route.policy)
            if is_learned(route.policy.name):
                _want_profiles(route)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, name: bytes) -> Route | None:
        """The route of this name; None for names that pass through."""
        return self._routes.get(name)

    def use_policy(self, route: Route, policy: Policy) -> None:
        """Have a policy decide from now on, about what waits for the former one as well."""
        former, route.policy, route.waiting = route.waiting, policy, self._waiting_room(route, policy)
        if former is not None:
            former.close()

    def models(self) -> Iterator[tuple[str, str, ModelLoad]]:
        """Each model that is a candidate somewhere, once: its backend's name, its own, its account."""
        return ((backend, model, load) for (backend, model), load in self._loads.items())

    def _candidate(self, route: str, settings: CandidateSettings, backends: Mapping[str, Backend]) -> RouteCandidate:
        return RouteCandidate(
            backend=backends[settings.triton],
            model=settings.model,
            quality=settings.quality,
            load=self._loads[settings.triton, settings.model],
            request_suffix=messages.request_suffix(settings.model),
            marked_request_suffix=messages.request_suffix(settings.model, mark_end=True),
            numbers=CandidateNumbers(self._metrics, route, model=settings.model, triton=settings.triton),
            answer_suffix=messages.answer_suffix(route, settings.model),
            stream_answer_suffix=messages.answer_suffix(route, settings.model, stream=True),
        )

    def _waiting_room(self, route: Route, policy: Policy) -> WaitingRoom | None:
        settings = settings_of(policy)
        if settings is None:
            return None
        candidates = [(candidate.quality, candidate.load) for candidate in route.candidates]
        try:
            queue = LateQueue(candidates, settings, name=policy.name)
        except ValueError as error:
            what = "Policy %s of route %s decides as greedy does when requests come: %s"
            logger.warning(what, policy.name, route.name, error)
            return None
        return WaitingRoom(
            queue,
            capacity_bytes=route.waiting_bytes,
            clock=self._clock,
            decided=partial(_note_decided, route.numbers, policy.name),
        )


def _note_decided(numbers: RouteNumbers, policy: str, took_s: float) -> None:
    numbers.decided(policy, took_s=took_s)


def _want_profiles(route: Route) -> None:
    lacking = [candidate.model for candidate in route.candidates if candidate.load.account.profile is None]
    if lacking:
        what = "Policy %s of route %s decides as greedy does while these candidates have no profile: %s"
        logger.warning(what, route.policy.name, route.name, ", ".join(lacking))


def _loads(settings: Sequence[RouteSettings]) -> dict[tuple[str, str], ModelLoad]:
    profiles: dict[tuple[str, str], Profile | None] = {}
    for candidate in (candidate for route in settings for candidate in route.candidates):
        key = candidate.triton, candidate.model
        profiles[key] = profiles.get(key) or candidate.profile
    return {(triton, model): ModelLoad(model, triton, profile=profile) for (triton, model), profile in profiles.items()}
