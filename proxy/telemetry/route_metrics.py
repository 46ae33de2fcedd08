"""What became of the requests of a daemon's routes: who was chosen, how fast, and what the answers were worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from proxy.telemetry import metric_names as names
from proxy.telemetry.exposition import Family
from proxy.telemetry.metrics import DECISION_BUCKETS, Counter, Histogram, Labelled, Summary


class RouteMetrics:
    """Counts the requests of one daemon. Its classes are those given, and what else a request brings."""

    def __init__(self, classes: Iterable[str] = ()) -> None:
        self.classes = tuple(classes)
        self.accuracy = Labelled(names.EFFECTIVE_ACCURACY, Summary)
        self.selected = Labelled(names.MODEL_SELECTED, Counter)
        self.decisions = Labelled(names.POLICY_DECISION, partial(Histogram, DECISION_BUCKETS))

    def __repr__(self) -> str:
        return f"<RouteMetrics {self.accuracy!r} {self.selected!r}>"

    def families(self) -> Iterator[Family]:
        """What a scrape sees."""
        yield self.accuracy.family()
        yield self.selected.family()
        yield self.decisions.family()


class RouteNumbers:
    """What requests of one route add to."""

    def __init__(self, metrics: RouteMetrics, route: str, *, policy: str) -> None:
        self._metrics = metrics
        self._route = route
        self._accuracy = {name: metrics.accuracy.at(name, route) for name in metrics.classes}
        self._decisions = {policy: metrics.decisions.at(route, policy)}

    def __repr__(self) -> str:
        return f"<RouteNumbers {self._route}>"

    def decided(self, policy: str, *, took_s: float) -> None:
        """A policy made its choice."""
        found = self._decisions.get(policy)
        if found is None:
            found = self._decisions[policy] = self._metrics.decisions.at(self._route, policy)
        found.observe(took_s)

    def ended(self, traffic_class: str, *, worth: float) -> None:
        """A request is over. `worth`: the quality of the model if its answer left in time, else 0."""
        found = self._accuracy.get(traffic_class)
        if found is None:
            found = self._accuracy[traffic_class] = self._metrics.accuracy.at(traffic_class, self._route)
        found.observe(worth)


class CandidateNumbers:
    """What requests to one candidate of a route add to."""

    def __init__(self, metrics: RouteMetrics, route: str, *, model: str, triton: str) -> None:
        self._metrics = metrics
        self._labels = route, model, triton
        self._sent = {name: metrics.selected.at(name, *self._labels) for name in metrics.classes}

    def __repr__(self) -> str:
        return f"<CandidateNumbers {' '.join(self._labels)}>"

    def sent(self, traffic_class: str) -> None:
        """A request goes to it."""
        found = self._sent.get(traffic_class)
        if found is None:
            found = self._sent[traffic_class] = self._metrics.selected.at(traffic_class, *self._labels)
        found.add()
