"""Earliest deadline first while everything fits, and past that the heaviest set that still does.

Order: as long as the link can deliver all that is ready in time, by deadline, less the time that the answer takes.
Where it can't, the streams that are worth least for what they still have to send are parked, until what is left fits;
those go by deadline, the parked ones behind them, then work without a deadline by deficit round robin, then what would
be late even with the link to itself, then what is late (`policies.scheduling.planned_queue`). A parked stream comes
back when it fits again. Only unsent bytes count, so that a stream that is almost through is not given up for one that
has just come. Ties: the earlier arrival, then the lower stream number. Starvation: late and parked work waits while
there is work that can be on time. Work without a deadline waits for all that can be, and from `NO_DEADLINE_WAIT_S` on
gets a share of the link (`policies.scheduling.timely_first`). Cost: O(log n) for every operation, amortised over the
plans.

While everything fits no order has more on time than this one (Liu and Layland, 1973); past that any order that does not
know the future can be arbitrarily far from the best (Baruah et al., 1992), and this is a heuristic.

The rate: what the link was seen to take while it was busy, and at least three quarters of the path's estimate
(`policies.scheduling.busy_rate`). To park a stream that would have been on time costs more than to park one late,
because what is kept is sent by deadline either way; so as long as too little was seen, the rate is taken to be a
quarter above the estimate, or what was seen if that is more.

Modes: `edf` while nobody is parked, `pruning` while somebody is and for `QUIET_RTTS` round trips after, `fair` while
all that is ready has no deadline.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.busy_rate import BusyRate
from policies.scheduling.planned_queue import PlannedQueue
from policies.scheduling.timely_first import FRAME_BYTES, OVERDUE_SHARE, TURN_BYTES, TimelyFirst

Mode = Literal["edf", "pruning", "fair"]
ModeChanged = Callable[[Mode, float], None]
"""Hears of the new mode, and when it began."""

DOUBT = 0.25
"""How far off the path's estimate may be, as a share of it. With estimates a fifth too low, and nothing seen of the
link, 0.1 still lost to `edf` on some arrivals, 0.25 on none (24 mixes of classes at loads from 0.7 to 4)."""
QUIET_RTTS = 5
"""Round trips without anybody parked before `pruning` is over."""


class Adaptive(TimelyFirst):
    """The `adaptive` discipline. Without an estimate of the path it is `edf`."""

    name = "adaptive"

    def __init__(self, *, on_mode: ModeChanged | None = None) -> None:
        self._plan = PlannedQueue()
        queues = iter((self._plan, PlannedQueue()))  # of late streams nobody makes a plan: they go by deadline
        super().__init__(lambda: next(queues))
        self._on_mode = on_mode
        self._path = PathEstimate()
        self._busy = BusyRate()
        self._mode: Mode = "edf"
        self._mode_changes = 0
        self._parked_at = -math.inf

    def __repr__(self) -> str:
        plan = self._plan
        return f"<Adaptive {self._mode} ready={len(self)} kept={plan.kept} parked={plan.parked}>"

    @property
    def mode(self) -> Mode:
        """How it orders streams now."""
        return self._mode

    @property
    def mode_changes(self) -> int:
        """How often that has changed."""
        return self._mode_changes

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self._busy.begin(now)
        super().add(order, unsent_bytes=unsent_bytes, now=now)
        self._plan.resize(order.stream_id, unsent_bytes)
        self._review(now)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        self._busy.sent(sent_bytes)
        super().served(stream_id, sent_bytes=sent_bytes, now=now)

    def remove(self, stream_id: int) -> None:
        unsent_bytes = self._unsent.get(stream_id)
        if unsent_bytes is None:
            return
        self._busy.sent(min(unsent_bytes + FRAME_BYTES, TURN_BYTES))  # as a rule it has just sent the last of it
        super().remove(stream_id)
        if not len(self):
            self._busy.end()

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        self._path = path
        self._review(now)

    def log_data(self, *, now: float) -> dict[str, str | int | float]:
        numbers = super().log_data(now=now)
        plan = self._plan
        return {
            **numbers,
            "mode": self._mode,
            "mode_changes": self._mode_changes,
            "kept": plan.kept,
            "parked": plan.parked,
            "hopeless": plan.hopeless,
        }

    def _review(self, now: float) -> None:
        path = self._path
        self._move_on(now)
        self._plan.review(self._rate(now), path.delivery_s, patience_s=path.rtt_s / 2, now=now)
        self._note_mode(now)

    def _rate(self, now: float) -> float:
        """Bytes a second that can be counted on for work with a deadline."""
        estimate = self._path.rate_bytes_s
        if not 0 < estimate < math.inf:
            return math.inf
        seen, settled = self._busy.measure(now, rtt_s=self._path.rtt_s)
        rate = max(seen, (1 - DOUBT if settled else 1 + DOUBT) * estimate)
        return rate * (1 - OVERDUE_SHARE) if len(self._overdue) else rate

    def _note_mode(self, now: float) -> None:
        plan = self._plan
        mode = self._mode
        if plan.parked:
            self._parked_at = now
            mode = "pruning"
        elif mode != "pruning" or now - self._parked_at >= QUIET_RTTS * self._path.rtt_s:
            if plan.kept:
                mode = "edf"
            elif plan.open_ended:
                mode = "fair"
            elif mode == "pruning":
                mode = "edf"
        if mode != self._mode:
            self._mode = mode
            self._mode_changes += 1
            if self._on_mode is not None:
                self._on_mode(mode, now)
