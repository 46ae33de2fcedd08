"""When each message of an answer is due.

The first message is due when the call is. Where the traffic class has a deadline for tokens, each later one is due that
long after the one before it was handed over, but never later than the gRPC deadline, which ends the call; where it has
none, all are due when the call is. A stream may carry one request after another: what answers a later one is due when
that is.
"""

from __future__ import annotations

from policies.traffic import NO_DEADLINE, Deadline, TrafficClass


class AnswerDeadlines:
    """The deadlines of one answer's messages, in turn."""

    __slots__ = ("_call", "_latest_at", "_messages", "_next_at", "_token_deadline_s")

    def __init__(self, call: Deadline, traffic_class: TrafficClass) -> None:
        self._call = call
        self._token_deadline_s = traffic_class.token_deadline_s
        self._next_at = self._latest_at = call.target_at
        self._messages = 0

    def __repr__(self) -> str:
        return f"<AnswerDeadlines messages={self._messages} next_at={self._next_at:g}>"

    def requested(self, due_at: float, *, now: float) -> None:
        """Another request has come, whose answer is to begin by `due_at`."""
        self._latest_at = due_at
        if due_at < self._next_at or self._next_at < now:
            self._next_at = due_at

    def message(self, *, now: float) -> float:
        """When the message is due that is handed over now."""
        has_tokens = self._token_deadline_s < NO_DEADLINE
        if self._next_at < now and not has_tokens:
            self._next_at = self._latest_at
        due_at = self._next_at
        if has_tokens:
            self._next_at = min(now + self._token_deadline_s, self._call.limit_at)
        self._messages += 1
        return due_at

    def status(self) -> float:
        """When the status is due: as another message would be.

        After one message the answer may be a unary one, which its status completes: then when the call is.
        """
        return self._next_at if self._messages > 1 else self._call.target_at
