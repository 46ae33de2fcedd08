import pytest

from proxy.tracefile.calls import CallCollector, call_in
from proxy.tracefile.spans import Span, parse_line
from proxy.tracefile.tree import Picture, picture
from tests.unit.tracefile.otlp import CLIENT, DAEMON, PROXY, STAGES, TRITON, call_lines, line, span


def spans(*lines: str) -> list[Span]:
    return [span for text in lines for span in parse_line(text.encode())]


def drawn(*lines: str) -> Picture:
    found = spans(*lines)
    return picture(call_in(found), found)


def places(shown: Picture) -> list[tuple[int, str, float, float]]:
    """Depth, service, start and end of every span."""
    return [(row.depth, row.span.service, row.start_ms, row.end_ms) for row in shown.rows if row.span is not None]


WHOLE = [
    (0, PROXY, 0, 200),
    (1, PROXY, 1, 199),
    (2, DAEMON, 50, 170),
    (3, DAEMON, 60, 160),
    (4, TRITON, 61, 159),
    (5, TRITON, 61, 159),
    (6, TRITON, 120, 158),
]


def test_spans_below_their_parents_and_stages_below_the_call() -> None:
    shown = drawn(*reversed(call_lines()))
    assert places(shown) == WHOLE
    assert list(shown.shifts_ms) == []
    assert shown.others == 0
    stages = [(row.stage, row.start_ms, row.end_ms) for row in shown.rows if row.stage]
    assert [row.stage for row in shown.rows[1:11]] == list(STAGES)
    assert stages[0] == ("receive", 0.0, 1.0)
    assert stages[2] == ("uplink_transfer", 5.0, 50.0)
    assert stages[-1] == ("delivery", 195.0, 200.0)


@pytest.mark.parametrize("skew_ms", [-3_600_000, -51, 40, 3_600_000])
def test_another_clock_shows_and_the_stages_say_how_far_it_is_off(skew_ms: float) -> None:
    shown = drawn(*call_lines(skew_ms=skew_ms))
    assert places(shown) == WHOLE
    assert shown.shifts_ms == {DAEMON: -skew_ms, TRITON: -skew_ms}


def test_without_stages_the_way_back_is_taken_to_be_as_long_as_the_way_there() -> None:
    shown = drawn(
        line(PROXY, span("a", "", 0, 100), span("b", "a", 0, 100, kind=CLIENT)),
        line(DAEMON, span("c", "b", -500, -440)),
        line(TRITON, span("d", "c", -490, -450)),
    )
    assert places(shown)[2:] == [(2, DAEMON, 20, 80), (3, TRITON, 30, 70)]


def test_a_disagreement_that_does_not_show_is_left() -> None:
    shown = drawn(*call_lines(skew_ms=20))
    assert places(shown)[2] == (2, DAEMON, 70, 190)
    assert shown.shifts_ms == {}


@pytest.mark.parametrize(
    ("parent", "start_ms", "end_ms"),
    [
        (span("b", "a", 0, 50, kind=CLIENT, error="cancelled"), 20, 60),  # the news of a cancellation takes its time
        (span("b", "a", 0, 50, kind=CLIENT), 20, 54),  # it ends its span when its answer is on its way
        (span("b", "a", 0, 50, kind=CLIENT), 0.5, 80),  # longer than its parent: where to would not be known
    ],
)
def test_a_span_may_outlive_its_parent(parent: dict[str, object], start_ms: float, end_ms: float) -> None:
    shown = drawn(line(PROXY, span("a", "", 0, 60), parent), line(DAEMON, span("c", "b", start_ms, end_ms)))
    assert places(shown)[-1] == (2, DAEMON, start_ms, end_ms)


def test_what_led_to_the_call_is_above_it_and_other_calls_are_left_out() -> None:
    shown = drawn(
        line("shop", span("s", "", -900, 900, kind=1), span("t", "s", -5, 50, kind=CLIENT)),
        line(PROXY, span("a", "t", 0, 40), span("o", "s", 100, 110)),
        line(DAEMON, span("x", "gone", 5, 6)),
    )
    assert places(shown) == [(0, "shop", -900, 900), (1, "shop", -5, 50), (2, PROXY, 0, 40)]
    assert shown.others == 2


def test_the_clients_clock_may_differ_too() -> None:
    shown = drawn(line("shop", span("s", "", 10_000, 10_100, kind=CLIENT)), line(PROXY, span("a", "s", 0, 60)))
    assert places(shown) == [(0, "shop", -20, 80), (1, PROXY, 0, 60)]
    assert shown.shifts_ms == {PROXY: 10_020}


def test_spans_without_their_parents_are_placed_within_the_call() -> None:
    shown = drawn(
        line(PROXY, span("a", "", 0, 100)),
        line(DAEMON, span("c", "gone", 1000, 1040), span("d", "lost", 1010, 1020)),
        line("shop", span("s", "away", -50, -40)),
    )
    assert places(shown) == [(0, PROXY, 0, 100), (0, "shop", -50, -40), (0, DAEMON, 30, 70), (0, DAEMON, 40, 50)]


def test_time_that_no_stage_has() -> None:
    shown = drawn(line(PROXY, span("a", "", 0, 100, of={"headway.stage.receive_ms": 90.0})))
    assert [(row.stage, row.start_ms, row.end_ms) for row in shown.rows[1:]] == [("receive", 0, 90), ("rest", 90, 100)]


def test_circles_of_parents_end() -> None:
    found = spans(line(PROXY, span("a", "b", 0, 10), span("b", "a", 1, 9, kind=CLIENT), span("c", "c", 0, 1, kind=1)))
    collector = CallCollector()
    for one in found:
        collector.add(one)
    assert sorted(row.span.span_id for row in picture(collector.calls()[0], found).rows if row.span) == ["a", "b"]
