"""PromQL, as much of it as headway's dashboard uses.

Series by name and label matchers, `rate`, `increase`, `histogram_quantile`, `vector`, `time`, `sum`, `min`, `max` and
`count` with `by`, `+ - * /`, `==`, `or`, and `ignoring (…) group_left ()`. Other than Prometheus's, `rate` is between
the first and the last sample of its window, without an estimate of what lies beyond them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.pictures.scrapes import NAME, Labels, Scrapes

Vector = dict[Labels, float]
Value = float | Vector

STALE_S = 300.0
"""How long a sample counts, as in Prometheus."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<word>[a-zA-Z_:][\w:]*)|(?P<string>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<range>\[[^\]]+\])|(?P<sign>=~|!~|!=|==|[-+*/(){},=]))"
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MERGE: dict[str, Callable[[list[float]], float]] = {"sum": sum, "min": min, "max": max, "count": len}
_NO_LABELS: Labels = frozenset()


class PromqlError(ValueError):
    """An expression that is not of these forms."""


@dataclass(slots=True)
class Query:
    """An expression at one moment. `Query(text, scrapes, at=…).value()`."""

    text: str
    scrapes: Scrapes
    at: float

    def value(self) -> Vector:
        """The answer; a number is a vector of one without labels."""
        tokens = _tokens(self.text)
        reader = _Reader(tokens, self.scrapes, self.at)
        found = reader.alternatives()
        if reader.tokens:
            raise PromqlError(f"{self.text!r}: not understood from {reader.tokens[0]!r} on")
        return found if isinstance(found, dict) else {_NO_LABELS: found}


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise PromqlError(f"{text!r}: not understood from {text[position:]!r} on")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


class _Reader:
    """Reads an expression and works it out on the way."""

    def __init__(self, tokens: list[str], scrapes: Scrapes, at: float) -> None:
        self.tokens = tokens
        self._scrapes = scrapes
        self._at = at
        self._functions: dict[str, Callable[[], Value]] = {
            "time": lambda: at,
            "vector": lambda: {_NO_LABELS: _number(self.alternatives())},
            "rate": lambda: self._rate(per_second=True),
            "increase": lambda: self._rate(per_second=False),
            "histogram_quantile": self._quantile,
        }

    def alternatives(self) -> Value:
        left = self._compared()
        while self._takes("or"):
            right = _vector(self._compared())
            left = {**{labels: v for labels, v in right.items() if labels not in _vector(left)}, **_vector(left)}
        return left

    def _compared(self) -> Value:
        left = self._sum()
        if self._takes("=="):
            right = self._sum()
            wanted = right if isinstance(right, float) else math.nan
            return {labels: value for labels, value in _vector(left).items() if value == wanted}
        return left

    def _sum(self) -> Value:
        left = self._product()
        while self.tokens and self.tokens[0] in "+-":
            sign = self.tokens.pop(0)
            left = _combined(left, self._product(), sign, ignoring=())
        return left

    def _product(self) -> Value:
        left = self._operand()
        while self.tokens and self.tokens[0] in "*/":
            sign = self.tokens.pop(0)
            ignoring: Sequence[str] = ()
            if self._takes("ignoring"):
                ignoring = self._names()
                if self._takes("group_left"):
                    self._names()
            left = _combined(left, self._operand(), sign, ignoring=ignoring)
        return left

    def _operand(self) -> Value:
        word = self._next()
        if word == "(":
            found = self.alternatives()
            self._expect(")")
        elif word[0].isdigit():
            found = float(word)
        elif word in _MERGE:
            found = self._merged(_MERGE[word])
        elif word in self._functions:
            self._expect("(")
            found = self._functions[word]()
            self._expect(")")
        else:
            samples, _ = self._series(word)
            newest = {labels: values[-1] for labels, values in samples.items() if values}
            found = {labels: value for labels, (at, value) in newest.items() if at > self._at - STALE_S}
        return found

    def _quantile(self) -> Vector:
        share = _number(self.alternatives())
        self._expect(",")
        return _quantile(share, _vector(self.alternatives()))

    def _merged(self, merge: Callable[[list[float]], float]) -> Vector:
        by = self._names() if self._takes("by") else []
        groups: dict[Labels, list[float]] = {}
        self._expect("(")
        merged = _vector(self.alternatives())
        self._expect(")")
        for labels, value in merged.items():
            groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(value)
        return {labels: float(merge(values)) for labels, values in groups.items()}

    def _rate(self, *, per_second: bool) -> Vector:
        series, window_s = self._series(self._next())
        rates: Vector = {}
        for labels, samples in series.items():
            inside = [sample for sample in samples if sample[0] > self._at - window_s]
            if len(inside) > 1 and inside[-1][0] > inside[0][0]:
                grown = sum(b - a if b >= a else b for (_, a), (_, b) in itertools.pairwise(inside))
                seconds = inside[-1][0] - inside[0][0]
                rates[_nameless(labels)] = grown / seconds * (1.0 if per_second else window_s)
        return rates

    def _series(self, name: str) -> tuple[dict[Labels, list[tuple[float, float]]], float]:
        """The samples up to now of the series that match, and the window behind them."""
        matchers = []
        if self._takes("{"):
            while not self._takes("}"):
                label, sign, text = self._next(), self._next(), self._next()[1:-1]
                matchers.append((label, sign, text))
                self._takes(",")
        window_s = 0.0
        if self.tokens and self.tokens[0].startswith("["):
            number, unit = re.fullmatch(r"\[([\d.]+)(\w+)\]", self._next()).groups()  # type: ignore[union-attr]
            window_s = float(number) * _SECONDS[unit]
        found = {
            labels: [sample for sample in samples if sample[0] <= self._at]
            for labels, samples in self._scrapes.named(name)
            if all(_matches(dict(labels).get(label, ""), sign, text) for label, sign, text in matchers)
        }
        return found, window_s

    def _names(self) -> list[str]:
        self._expect("(")
        names = []
        while not self._takes(")"):
            names.append(self._next())
            self._takes(",")
        return names

    def _next(self) -> str:
        if not self.tokens:
            raise PromqlError("the expression ends too early")
        return self.tokens.pop(0)

    def _takes(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._takes(token):
            raise PromqlError(f"{token!r} expected before {self.tokens[:1]}")


def _matches(value: str, sign: str, text: str) -> bool:
    if sign in {"=", "!="}:
        return (value == text) is (sign == "=")
    return (re.fullmatch(text, value) is not None) is (sign == "=~")


def _combined(left: Value, right: Value, sign: str, *, ignoring: Sequence[str]) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        return _calculated(left, right, sign)
    if isinstance(right, float):
        return {_nameless(labels): _calculated(value, right, sign) for labels, value in _vector(left).items()}
    if isinstance(left, float):
        return {_nameless(labels): _calculated(left, value, sign) for labels, value in right.items()}
    others = {_nameless(labels): value for labels, value in right.items()}
    found: Vector = {}
    for labels, value in left.items():
        key = frozenset(pair for pair in _nameless(labels) if pair[0] not in ignoring)
        if key in others:
            found[_nameless(labels)] = _calculated(value, others[key], sign)
    return found


def _calculated(left: float, right: float, sign: str) -> float:
    if sign == "/":
        return left / right if right else math.nan if not left else math.copysign(math.inf, left)
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def _quantile(share: float, buckets: Vector) -> Vector:
    """On the straight line through the bucket that the quantile is in, as Prometheus does."""
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        groups.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), []).append((bound, count))
    return {labels: _in_buckets(share, sorted(group)) for labels, group in groups.items()}


def _in_buckets(share: float, buckets: Sequence[tuple[float, float]]) -> float:
    rank = share * buckets[-1][1]
    if not buckets[-1][1]:
        return math.nan
    lower, below = (0.0 if buckets[0][0] > 0 else buckets[0][0]), 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return math.nan


def _vector(value: Value) -> Vector:
    return value if isinstance(value, dict) else {_NO_LABELS: value}


def _number(value: Value) -> float:
    if isinstance(value, dict):
        raise PromqlError("a number is expected")
    return value


def _nameless(labels: Labels) -> Labels:
    return frozenset(pair for pair in labels if pair[0] != NAME)
