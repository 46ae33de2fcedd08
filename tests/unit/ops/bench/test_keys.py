import pytest

from ops.bench.keys import Keys
from ops.bench.scenario import ScenarioError


def test_values_come_out_as_what_they_are() -> None:
    keys = Keys({"a": 1, "b": [1, 2.5], "c": "x", "d": {"e": 3}, "f": ["x", "y", "x"]}, "")
    assert keys.number("a", 0.0) == 1.0
    assert keys.numbers("b", (), above=0) == (1.0, 2.5)
    assert keys.numbers("a", (), above=0) == (1.0,)
    assert keys.word("c", "z", ("x", "z")) == "x"
    assert keys.inside("d", ("e",)).whole("e", 0, at_least=3) == 3
    assert keys.words("f", (), ("x", "y")) == ("x", "y")
    assert keys.mapping("d") == {"e": 3}
    assert keys.texts("d") == {"e": "3"}


def test_what_is_left_out_has_its_default() -> None:
    keys = Keys({}, "")
    assert (keys.number("a", 2.0), keys.word("b", "z"), keys.wholes("c", (4,), at_least=0)) == (2.0, "z", (4,))
    assert keys.mapping("d") == {}


def test_unknown_keys_are_named_with_the_nearest_or_all() -> None:
    with pytest.raises(ScenarioError, match=r"link\.rat is unknown; did you mean rate\?"):
        Keys({"rat": 1}, "link", ("rate", "delay"))
    with pytest.raises(ScenarioError, match="colour is unknown; allowed: delay, rate"):
        Keys({"colour": 1}, "", ("rate", "delay"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "a: True is not a number above 0"),
        (0, "a: 0 is not a number above 0"),
        (float("nan"), "a: nan is not a number above 0"),
        ("1", "a: '1' is not a number above 0"),
    ],
)
def test_what_is_no_number_in_range_is_refused(value: object, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        Keys({"a": value}, "").number("a", 1.0, above=0)


def test_other_wrong_values_say_what_is_allowed() -> None:
    keys = Keys({"a": -1, "b": "q", "c": "x", "d": [], "e": [1.5]}, "cells")
    with pytest.raises(ScenarioError, match=r"cells\.a: -1 is not a number of at least 0"):
        keys.number("a", 1.0, at_least=0)
    with pytest.raises(ScenarioError, match=r"cells\.b: 'q' is not a name of x, y"):
        keys.word("b", "x", ("x", "y"))
    with pytest.raises(ScenarioError, match=r"cells\.c: 'x' is not a list; allowed in it: x, y"):
        keys.words("c", (), ("x", "y"))
    with pytest.raises(ScenarioError, match=r"cells\.d is empty"):
        keys.numbers("d", (1.0,), above=0)
    with pytest.raises(ScenarioError, match=r"cells\.e: 1.5 is not a whole number of at least 1"):
        keys.wholes("e", (1,), at_least=1)
    with pytest.raises(ScenarioError, match=r"cells\.c: 'x' is not a mapping"):
        keys.inside("c", ())
    assert str(keys.error("a", "is odd")) == "cells.a: is odd"
