import os
from pathlib import Path

import pytest

from proxy.tracefile.reader import TraceFile, TraceFileError, TraceFiles
from tests.unit.tracefile.otlp import DAEMON, PROXY, TRACE, line, span

OTHER = "f" * 32


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    metrics = '{"resourceMetrics": []}\n'
    bad = 'nonsense\n{"data": 1}\n\n' + "x\n" * 3
    path.write_text(line(PROXY, span("a", "", 0, 1)) + metrics + bad + line(PROXY, span("b", "", 0, 1)) + '{"resour')
    with TraceFiles([path]) as files:
        assert [found.span_id for found in files.spans()] == ["a", "b"]
        assert repr(files.files[0]) == f"<TraceFile {path} 2 spans in 10 lines>"
        unreadable, other, unfinished = files.notes()
    assert unreadable.startswith(f"5 unreadable lines left out: {path}:3: not JSON: Expecting value")
    assert f'{path}:4: no OTLP JSON: an object with "resourceSpans" is expected; {path}:6: ' in unreadable
    assert unreadable.endswith("; and 2 more")
    assert other == f"{path}: 1 line of metrics or logs left out"
    assert unfinished == f"{path}: the last line is incomplete and left out"


def test_a_complete_last_line_needs_no_line_break(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(line(PROXY, span("a", "", 0, 1)).rstrip())
    with TraceFiles([path]) as files:
        assert len(list(files.spans())) == 1
        assert files.notes() == []


def test_spans_of_some_traces_in_several_files(tmp_path: Path) -> None:
    first, second = tmp_path / "proxy.jsonl", tmp_path / "daemon.jsonl"
    first.write_text(line(PROXY, span("a", "", 0, 1), span("b", "", 0, 1, trace=OTHER)) + f"broken {TRACE}\n")
    second.write_text(line(DAEMON, span("c", "a", 0, 1, trace=TRACE.upper())) + line(PROXY, span("a", "", 0, 1)))
    with TraceFiles([first, second, first]) as files:
        found = files.spans_of([TRACE, "0" * 32])
        assert [span.span_id for span in found[TRACE]] == ["a", "c"]
        assert found["0" * 32] == []
        assert files.size_bytes == first.stat().st_size + second.stat().st_size


def test_a_file_that_grows_and_is_renamed_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    whole = line(PROXY, span("b", "", 0, 1))
    path.write_text(line(PROXY, span("a", "", 0, 1)) + whole[:20])
    with TraceFiles([path]) as files:
        assert len(list(files.spans())) == 1
        with path.open("a") as more:
            more.write(whole[20:])
        path.rename(tmp_path / "traces.jsonl.1")
        path.write_text("")
        read: list[int] = []
        assert len(list(files.spans(advance=read.append))) == 2
        assert sum(read) == files.size_bytes
        assert files.notes() == [f"{path}.1 has earlier spans: name it too to read both"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone", "gone cannot be read: No such file or directory"), ("folder", "folder cannot be read: Is a directory")],
)
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "good").write_text("")
    with pytest.raises(TraceFileError, match=reason):
        TraceFiles([tmp_path / "good", tmp_path / name])


def test_a_pipe_cannot_be_read_twice() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(TraceFileError, match="is no regular file"):
            TraceFile(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)
