from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.simulation.keys import Keys, WorkloadError

FILE = Path("w.yaml")


def keys(content: object, allowed: tuple[str, ...] | None = None) -> Keys:
    return Keys(content, FILE, "", allowed)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(WorkloadError, match=r"^w\.yaml: secnds: unknown key; did you mean seconds\?$"):
        keys({"secnds": 1}, ("seconds", "name"))
    with pytest.raises(WorkloadError, match=r"^w\.yaml: zzz: unknown key; allowed: name, seconds$"):
        keys({"zzz": 1}, ("seconds", "name"))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda k: k.number("none"), "none: missing"),
        (lambda k: k.number("word"), "word: 'x' is not a number"),
        (lambda k: k.number("zero", above=0), "zero: 0 is not a number above 0"),
        (lambda k: k.number("yes"), "yes: True is not a number"),
        (lambda k: k.number("zero", at_least=1), "zero: 0 is not a number of at least 1"),
        (lambda k: k.whole("half", 1, at_least=1), "half: 0.5 is not a whole number of at least 1"),
        (lambda k: k.numbers("zero"), "zero: 0 is not a list of numbers"),
        (lambda k: k.span("down", above=0), r"down: \[2.0, 1.0\] is not \[low, high\]"),
        (lambda k: k.word("zero"), "zero: 0 is not a name"),
        (
            lambda k: k.word("kind", None, ("trace", "flash")),
            "kind: 'trcae' is not a name of flash, trace; did you mean",
        ),
        (lambda k: k.table("zero"), "zero: 0 is not a mapping from sizes"),
        (lambda k: k.inside("zero", ("a",)), "zero: 0 is not a mapping with the keys a"),
        (lambda k: k.items("zero"), "zero: 0 is not a list"),
    ],
)
def test_what_does_not_fit_is_named(read: Callable[[Keys], object], message: str) -> None:
    content = {"word": "x", "zero": 0, "yes": True, "half": 0.5, "down": [2, 1], "kind": "trcae"}
    with pytest.raises(WorkloadError, match=rf"^w\.yaml: {message}"):
        read(keys(content))


def test_what_fits_comes_back() -> None:
    read = keys({"n": 2, "list": [1, 2.5], "t": {8: 0.2, 1: 0.1}, "in": {"x": "y"}, "rows": [1], "f": "a.csv"})
    assert (read.number("n"), read.number("m", 3.0), read.whole("n", 1, at_least=1)) == (2.0, 3.0, 2)
    assert (read.numbers("list"), read.span("list", above=0)) == ((1.0, 2.5), (1.0, 2.5))
    assert read.table("t") == ((1, 0.1), (8, 0.2))
    assert read.inside("in", ("x",)).word("x") == "y"
    assert (read.items("rows"), read.items("no")) == ([("rows[0]", 1)], [])
    assert read.path("f") == Path("a.csv")
    assert ("n" in read, next(iter(read)), read.get("q")) == (True, "n", None)


def test_names_tell_the_way_down() -> None:
    with pytest.raises(WorkloadError, match=r"^w\.yaml: a\.b: missing$"):
        keys({"a": {}}).inside("a", None).number("b")
