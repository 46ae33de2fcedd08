import io

from rich.console import Console

from proxy.tracefile.calls import call_in
from proxy.tracefile.spans import parse_line
from proxy.tracefile.tree import picture
from proxy.tracefile.waterfall import Axis, waterfall
from tests.unit.tracefile.otlp import CLIENT, DAEMON, PROXY, call_lines, line, span


def draw(*lines: str, width: int = 80) -> list[str]:
    """Lines as they come out of a terminal of that width without colours."""
    spans = [span for text in lines for span in parse_line(text.encode())]
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(waterfall(picture(call_in(spans), spans), width=width))
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_a_call_that_missed_its_deadline() -> None:
    assert draw(*call_lines(missed_at="model_queue", deadline_ms=100.0)) == [
        "trace 4bf92f3577b34da6a3ce929d0e0e4736  2026-11-22 19:48:38.000 UTC",
        "realtime ModelInfer: 200.0 ms, deadline 100.0 ms, missed by 100.0 ms: it ran out",
        "in model queue",
        "                        after ms  took ms    deadline 100.0 ┊",
        "proxy ModelInfer            0.00   200.00 ━━━━━━━━━━━━━━━━━━╋━━━━━━━━━━━━━━━━━",
        " · receive                  0.00     1.00 ╸                 ┊",
        " · uplink wait              1.00     4.00 ━                 ┊",
        " · uplink transfer          5.00    45.00  ━━━━━━━━         ┊",
        " · daemon queue            50.00     5.00          ━        ┊",
        " · policy                  55.00     5.00           ━       ┊",
        " · model queue ✗           60.00    60.00            ━━━━━━━╋━━╸",
        " · model compute          120.00    40.00                   ┊  ╺━━━━━━━",
        " · downlink wait          160.00    10.00                   ┊          ━╸",
        " · downlink transfer      170.00    25.00                   ┊           ╺━━━━",
        " · delivery               195.00     5.00                   ┊                ━",
        " proxy → ModelInfer         1.00   198.00 ━━━━━━━━━━━━━━━━━━╋━━━━━━━━━━━━━━━━━",
        "  daemon ModelInfer        50.00   120.00          ━━━━━━━━━╋━━━━━━━━━━━╸",
        "   daemon → ModelInfer     60.00   100.00            ━━━━━━━╋━━━━━━━━━━",
        "    triton InferRequest    61.00    98.00            ━━━━━━━╋━━━━━━━━━╸",
        "     triton llm-medium     61.00    98.00            ━━━━━━━╋━━━━━━━━━╸",
        "      triton compute      120.00    38.00                   ┊  ╺━━━━━━╸",
        "answered by llm-medium on a, asked for llm",
        "Triton says: 58.0 ms in its queue, 38.0 ms of compute",
    ]


def test_a_deadline_far_behind_the_end_is_named_only() -> None:
    lines = draw(*call_lines(deadline_ms=7000.0))
    assert lines[1] == "realtime ModelInfer: 200.0 ms, deadline 7000 ms, 6800 ms left"
    assert lines[2].endswith("deadline 7000 ▸")
    assert not any("┊" in text or "╋" in text for text in lines)


def test_a_mark_near_the_start_has_its_text_behind_it() -> None:
    lines = draw(*call_lines(deadline_ms=10.0, missed_at="uplink_transfer"))
    assert "┊ deadline 10.0" in lines[3]


def test_every_width_fits() -> None:
    for width in (20, 30, 40, 60, 80, 100, 200):
        lines = draw(*call_lines(missed_at="model_queue"), width=width)
        assert max(map(len, lines)) <= width
        assert any("· model queue ✗" in text for text in lines) or width < 60


def test_no_deadline_and_an_error() -> None:
    of = {"headway.class": "bulk", "rpc.status_code": "UNAVAILABLE"}
    lines = draw(line(PROXY, span("a", "", 0, 20, of=of, error="daemon gpu:4433 is unreachable")))
    assert lines[1] == "bulk ModelInfer: 20.0 ms, without a deadline, UNAVAILABLE: daemon gpu:4433 is"
    assert lines[4].startswith("proxy ModelInfer ✗")


def test_a_miss_without_a_stage() -> None:
    of = {"headway.deadline_ms": 5.0}
    assert draw(line(PROXY, span("a", "", 0, 20, of=of)))[1].endswith("missed by 15.0 ms, at no stage that")


def test_an_answer_of_many_messages() -> None:
    of = {
        "headway.deadline_ms": 50.0,
        "headway.deadline.missed_at": "token",
        "headway.deadline.slack_ms": -3.0,
        "headway.messages": 40,
        "headway.messages.late": 2,
        "headway.messages.late_indexes": "3, 9",
        "gen_ai.server.time_to_first_token": 0.0125,
    }
    lines = draw(line(PROXY, span("a", "", 0, 900, of=of)), width=120)
    assert lines[1] == (
        "none ModelInfer: 900.0 ms, deadline 50.0 ms, missed by 3.0 ms: a later message of the answer was late"
    )
    assert lines[-1] == "first message after 12.5 ms; 40 messages, 2 late (3, 9)"


def test_moved_spans_and_those_of_other_calls_are_told() -> None:
    lines = draw(*call_lines(skew_ms=-2000), line(PROXY, span("o", "x", 500, 510)))
    assert "daemon, triton: drawn 2000 ms later, by another host's clock" in lines
    assert "1 more spans of this trace belong to other calls" in lines


def test_what_is_above_the_call_does_not_squeeze_it() -> None:
    lines = draw(line("shop", span("s", "", -5000, 5000, kind=CLIENT)), line(PROXY, span("a", "s", 0, 20)))
    assert [text[-3:] for text in lines[3:]] == ["━━▸", "━━━"]
    assert "◂━" in lines[3]


def test_lines_without_end() -> None:
    children = [span(f"{number:x}", "a", number, number + 1, kind=CLIENT) for number in range(11, 200)]
    lines = draw(line(PROXY, span("a", "", 0, 200), *children), line(DAEMON))
    assert lines[-1] == "90 more lines are not drawn"
    assert len(lines) == 104


def test_an_axis() -> None:
    axis = Axis(0.0, 100.0, 10)
    assert [axis.cell(at_ms) for at_ms in (-1, 0, 9.9, 55, 100, 101)] == [None, 0, 0, 5, 9, None]
