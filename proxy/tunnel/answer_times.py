"""How long callees take to answer, learned by class.

A request is on time when its answer is, so what is left of its deadline for the way up is less by what the answer
takes. The scheduler on the way up is told a time that most answers exceed: one too long would give up requests that
could still be answered.
"""

from __future__ import annotations

_STEP_DOWN = 1 / 4
_STEP_UP = 1 / 16
"""Asymmetric least squares (Newey and Powell, 1987): with steps of 4 to 1 the estimate settles where the samples above
it are four times as far away, in sum, as those below, the 0.2-expectile. For times spread evenly that is a third of the
way from the shortest to the longest. The first sample counts as a whole."""


class AnswerTimes:
    """A low estimate, for each class, of the time from a request's last byte to its answer's first message."""

    def __init__(self) -> None:
        self._least_s: dict[str, float] = {}

    def __repr__(self) -> str:
        return "<AnswerTimes " + " ".join(f"{name}={time_s:.6g}" for name, time_s in self._least_s.items()) + ">"

    def estimate_s(self, traffic_class: str) -> float:
        """What the class's answers take beyond the round trip; 0 before the first."""
        return self._least_s.get(traffic_class, 0.0)

    def answered(self, traffic_class: str, *, took_s: float, rtt_s: float) -> None:
        """An answer began to arrive `took_s` after its request's last byte had left, over a round trip of `rtt_s`."""
        sample_s = max(took_s - rtt_s, 0.0)
        known_s = self._least_s.get(traffic_class)
        if known_s is None:
            self._least_s[traffic_class] = sample_s
        else:
            step = _STEP_DOWN if sample_s < known_s else _STEP_UP
            self._least_s[traffic_class] = known_s + step * (sample_s - known_s)
