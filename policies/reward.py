"""What an answer is worth. The simulator, training and the daemon all ask here."""

from __future__ import annotations


def reward(weight: float, quality: float, *, on_time: bool) -> float:
    """The class's weight times the candidate's quality for an answer in time, and 0 for any other end."""
    return weight * quality if on_time else 0.0


def is_on_time(*, delivered_at: float, deadline_at: float, longest_gap_s: float, token_deadline_s: float) -> bool:
    """Whether an answer met its deadlines at the client.

    `delivered_at` is when its first message was there; `longest_gap_s` the longest time from one message to the next,
    0 for an answer of one. A stream is in time only if all of its messages are: one pause past the token deadline is
    one that the reader sees.
    """
    return delivered_at <= deadline_at and longest_gap_s <= token_deadline_s


def score(rewards: float, weights: float, best_quality: float) -> float:
    """The sum of rewards as a share of what the best candidate could earn with every request in time, 0 to 1."""
    return rewards / (weights * best_quality) if weights > 0 and best_quality > 0 else 0.0
