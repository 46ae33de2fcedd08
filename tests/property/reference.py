"""The disciplines by their definitions: lists that are searched through for every answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from policies.scheduling.base import NO_DEADLINE_WAIT_S, StreamOrder
from policies.scheduling.timely_first import FRAME_BYTES, TURN_BYTES
from policies.scheduling.weighted import QUANTUM_BYTES
from policies.traffic import NO_DEADLINE


class Pick:
    """A group of streams in the order in which they came; how to choose among them."""

    def __init__(self) -> None:
        self.streams: list[StreamOrder] = []

    def put(self, order: StreamOrder) -> None:
        self.streams.append(order)

    def replace(self, order: StreamOrder) -> None:
        """The order of a stream that is here has changed."""
        self.streams = [order if other.stream_id == order.stream_id else other for other in self.streams]

    def discard(self, stream_id: int) -> None:
        self.streams = [other for other in self.streams if other.stream_id != stream_id]

    def first(self) -> int:
        raise NotImplementedError

    def served(self, stream_id: int, sent_bytes: int) -> None:
        """By rank, nothing changes."""


class ByArrival(Pick):
    def first(self) -> int:
        return min(self.streams, key=lambda order: (order.arrived_at, order.stream_id)).stream_id


class ByDeadline(Pick):
    def first(self) -> int:
        return min(self.streams, key=lambda order: (order.deadline, order.arrived_at, order.stream_id)).stream_id


class ByPriority(Pick):
    def first(self) -> int:
        return min(self.streams, key=lambda order: (order.priority, order.arrived_at, order.stream_id)).stream_id


class InTurn(Pick):
    def first(self) -> int:
        return self.streams[0].stream_id

    def served(self, stream_id: int, sent_bytes: int) -> None:
        self.streams.sort(key=lambda order: order.stream_id == stream_id)  # stable: to the end, the others as they were


class ByLevel(InTurn):
    def first(self) -> int:
        upper = [order for order in self.streams if order.level == "high"]
        if upper:
            return min(upper, key=lambda order: (order.deadline, order.arrived_at, order.stream_id)).stream_id
        return super().first()

    def replace(self, order: StreamOrder) -> None:
        level = next(other.level for other in self.streams if other.stream_id == order.stream_id)
        super().replace(order)
        if order.level != level:  # it joins the other level at its end
            self.discard(order.stream_id)
            self.put(order)


@dataclass
class Account:
    stream_id: int
    weight: float
    from_round: int
    balance_bytes: float = 0.0


@dataclass
class Walk:
    """Where the rounds are: the round, who has been visited in it, and whose turn it is."""

    accounts: list[Account] = field(default_factory=list)
    round: int = 0
    visited: set[int] = field(default_factory=set)
    turn: int | None = None

    def copy(self) -> Walk:
        return Walk([replace(account) for account in self.accounts], self.round, set(self.visited), self.turn)

    def account(self, stream_id: int) -> Account | None:
        return next((account for account in self.accounts if account.stream_id == stream_id), None)

    def go_on(self) -> int:
        """Visit one stream after the other until one may send."""
        if self.turn is not None and (current := self.account(self.turn)) is not None and current.balance_bytes > 0:
            return self.turn
        while True:
            for account in self.accounts:
                if account.stream_id not in self.visited and account.from_round <= self.round:
                    self.visited.add(account.stream_id)
                    account.balance_bytes += QUANTUM_BYTES * account.weight
                    if account.balance_bytes > 0:
                        self.turn = account.stream_id
                        return account.stream_id
            self.round += 1
            self.visited = set()


class InRounds(Pick):
    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk()

    def put(self, order: StreamOrder) -> None:
        self.walk.accounts.append(Account(order.stream_id, order.weight, self.walk.round + 1))
        super().put(order)

    def replace(self, order: StreamOrder) -> None:
        account = self.walk.account(order.stream_id)
        assert account is not None
        if account.weight != order.weight:
            self.discard(order.stream_id)
            self.put(order)
        else:
            super().replace(order)

    def first(self) -> int:
        return self.walk.copy().go_on()

    def served(self, stream_id: int, sent_bytes: int) -> None:
        if self.first() == stream_id:
            self.walk.go_on()
        account = self.walk.account(stream_id)
        assert account is not None
        account.balance_bytes -= sent_bytes

    def discard(self, stream_id: int) -> None:
        if self.walk.account(stream_id) is None:
            return
        if self.first() == stream_id:
            self.walk.go_on()
        self.walk.accounts = [account for account in self.walk.accounts if account.stream_id != stream_id]
        super().discard(stream_id)


PICKS: dict[str, type[Pick]] = {
    "rr": InTurn,
    "fcfs": ByArrival,
    "edf": ByDeadline,
    "absolute": ByPriority,
    "multilevel": ByLevel,
    "weighted": InRounds,
}


class Reference:
    """A discipline with its late streams behind, and a tenth of the link for overdue ones in turn."""

    def __init__(self, discipline: str) -> None:
        self.shares = discipline != "rr"
        self.timely, self.late = PICKS[discipline](), PICKS[discipline]()
        self.orders: dict[int, StreamOrder] = {}
        self.unsent: dict[int, int] = {}
        self.overdue: list[int] = []
        self.credit = 0

    def add(self, order: StreamOrder, unsent_bytes: int, now: float) -> None:
        self._settle(now)
        stream_id = order.stream_id
        self.unsent[stream_id] = unsent_bytes
        known = self.orders.get(stream_id)
        if known == order:
            return
        home = self.late if order.deadline < now else self.timely
        if any(other.stream_id == stream_id for other in home.streams):
            home.replace(order)
        else:
            self._take_out(stream_id)
            home.put(order)
        self.overdue = [other for other in self.overdue if other != stream_id]
        self.orders[stream_id] = order
        self._settle(now)

    def first(self, now: float) -> int | None:
        self._settle(now)
        if self.overdue and self.credit >= 9 * TURN_BYTES:
            return self.overdue[0]
        group = self.timely if self.timely.streams else self.late
        return group.first() if group.streams else None

    def served(self, stream_id: int, sent_bytes: int, now: float) -> None:
        self._settle(now)
        self.unsent[stream_id] = max(self.unsent[stream_id] - sent_bytes, 0)
        self._account(stream_id, sent_bytes)
        self.overdue.sort(key=lambda other: other == stream_id)
        for group in (self.timely, self.late):
            if any(order.stream_id == stream_id for order in group.streams):
                group.served(stream_id, sent_bytes)

    def remove(self, stream_id: int) -> None:
        self._account(stream_id, min(self.unsent.pop(stream_id) + FRAME_BYTES, TURN_BYTES))
        self._take_out(stream_id)
        self.overdue = [other for other in self.overdue if other != stream_id]
        del self.orders[stream_id]

    def _take_out(self, stream_id: int) -> None:
        self.timely.discard(stream_id)
        self.late.discard(stream_id)

    def _account(self, stream_id: int, sent_bytes: int) -> None:
        if self.overdue and self.credit >= 9 * TURN_BYTES and self.overdue[0] == stream_id:
            self.credit -= 9 * sent_bytes
        else:
            self.credit = min(self.credit + sent_bytes, 9 * TURN_BYTES)

    def _settle(self, now: float) -> None:
        """Move what has turned late or overdue, the earliest moment first."""
        moments = sorted((_due(order), order.arrived_at, order.stream_id) for order in self.timely.streams)
        for due_at, _, stream_id in moments:
            if due_at >= now:
                continue
            order = self.orders[stream_id]
            if order.deadline < NO_DEADLINE:
                self.timely.discard(stream_id)
                self.late.put(order)
            elif self.shares and stream_id not in self.overdue:
                self.overdue.append(stream_id)


def _due(order: StreamOrder) -> float:
    return order.arrived_at + NO_DEADLINE_WAIT_S if order.deadline == NO_DEADLINE else order.deadline
