import io

from rich.console import Console

from proxy.tracefile.calls import Call, CallCollector
from proxy.tracefile.overview import overview, period
from proxy.tracefile.spans import parse_line
from tests.unit.tracefile.otlp import PROXY, call_lines, line, span


def calls(*lines: str) -> list[Call]:
    collector = CallCollector()
    for text in lines:
        for found in parse_line(text.encode()):
            collector.add(found)
    return collector.calls()


def draw(found: list[Call], width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(overview(found))
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_misses_by_class_and_stage_and_the_calls_to_look_at() -> None:
    late = call_lines(trace="a" * 32, missed_at="model_queue")
    later = call_lines(trace="b" * 32, missed_at="uplink_wait", traffic_class="standard", deadline_ms=100.0)
    good = call_lines(trace="c" * 32, traffic_class="bulk", deadline_ms=7000.0, begin_ms=90_000)
    found = calls(*late, *later, *good)
    lines = draw(found)
    assert lines[:5] == [
        "By class, in milliseconds",
        "class     deadline  calls  on time  missed  failed    p50    p99",
        "standard     100.0      1    0.0 %       1       0  200.0  200.0",
        "realtime     150.0      1    0.0 %       1       0  200.0  200.0",
        "bulk          7000      1  100.0 %       0       0  200.0  200.0",
    ]
    assert "model queue             1  50.0 %         –         1         60.0        60.0  60.0" in draw(found, 100)
    start = lines.index("Furthest past their deadlines")
    assert [text.split()[:5] for text in lines[start + 2 : start + 4]] == [
        ["bbbbbbbbbbbb", "standard", "200.0", "100.0", "-100.0"],
        ["aaaaaaaaaaaa", "realtime", "200.0", "150.0", "-50.0"],
    ]
    assert "Slowest" in lines
    assert max(map(len, lines)) <= 80
    assert period(found) == "2026-11-22 19:48:38 to 19:50:08 UTC"


def test_no_miss_no_stage_and_no_model() -> None:
    lines = draw(calls(line(PROXY, span("a", "", 0, 10, of={"headway.class": "bulk"}))))
    assert [text for text in lines if text and not text.startswith(" ")] == [
        "By class, in milliseconds",
        "class  deadline  calls  on time  missed  failed   p50   p99",
        "bulk          –      1  100.0 %       0       0  10.0  10.0",
        "Slowest",
        "trace         class  took  deadline  left  ran out in  status",
        "4bf92f3577b3  bulk   10.0         –     –  –           OK",
    ]


def test_failures_are_named() -> None:
    spans = [span(f"{number}", "", number, 10, of={"rpc.status_code": "UNAVAILABLE"}) for number in (1, 2)]
    lines = draw(calls(line(PROXY, *spans, span("3", "", 0, 9, of={"rpc.status_code": "INTERNAL"}, name="a.B/C"))))
    assert lines[3] == "Failed: 2 ModelInfer UNAVAILABLE, 1 C INTERNAL"
