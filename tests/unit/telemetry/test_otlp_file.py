import json
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from proxy.telemetry.otlp_file import OtlpFile
from proxy.telemetry.span_record import Origin
from tests.unit.telemetry.recorded import finished

ORIGIN = Origin(Resource({"service.name": "headway-proxy"}), InstrumentationScope("headway", "1.2"), 0)


def writer(file: Path, *, limit_bytes: int = 1 << 30) -> OtlpFile:
    return OtlpFile(file, ORIGIN, limit_bytes=limit_bytes)


def write(sink: OtlpFile, *names: str) -> bool:
    """One line with a span of each name."""
    return sink.export([sink.encode([finished(name) for name in names])])


def names_in(file: Path) -> list[list[str]]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [[one["name"] for one in line["resourceSpans"][0]["scopeSpans"][0]["spans"]] for line in lines]


def test_a_line_each_block(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    sink = writer(file)
    assert sink.export([sink.encode([finished("a"), finished("b")]), sink.encode([finished("c")])])
    assert write(sink, "d")
    sink.close()
    assert names_in(file) == [["a", "b"], ["c"], ["d"]]


def test_several_writers_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"

    def write_all() -> None:
        sink = writer(file)
        for _ in range(50):
            write(sink, *["x" * 2000] * 8)
        sink.close()

    writers = [threading.Thread(target=write_all) for _ in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(10)
    assert [len(names) for names in names_in(file)] == [8] * 200


def test_a_full_file_moves_aside_once(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    one, other = writer(file, limit_bytes=2000), writer(file, limit_bytes=2000)
    for name in ("a", "b", "c"):  # a line is somewhat over 400 bytes long
        write(one, name)
    assert not (tmp_path / "traces.jsonl.1").exists()
    write(other, "d")
    write(one, "e")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["traces.jsonl", "traces.jsonl.1"]
    assert len((tmp_path / "traces.jsonl.1").read_text().splitlines()) == 3
    assert ['"name":"d"' in line or '"name":"e"' in line for line in file.read_text().splitlines()] == [True, True]
    one.close()
    other.close()


def test_a_file_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    sink = writer(file)
    write(sink, "a")
    file.rename(tmp_path / "kept")
    write(sink, "b")
    sink.close()
    assert '"name":"b"' in file.read_text()
    assert len((tmp_path / "kept").read_text().splitlines()) == 1


def test_no_place_to_write_is_told_once_and_again_after_it_worked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "later"
    sink = writer(directory / "traces.jsonl")
    for _ in range(3):
        assert not write(sink, "a")
    assert caplog.messages == [
        f"Spans are lost until {directory}/traces.jsonl can be written again: No such file or directory"
    ]
    assert repr(sink) == f"<OtlpFile {directory}/traces.jsonl failing>"
    directory.mkdir()
    assert write(sink, "a")
    assert repr(sink) == f"<OtlpFile {directory}/traces.jsonl>"
    sink.close()


def test_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    sink = writer(Path("/dev/full"))
    assert not write(sink, "a")
    assert not write(sink, "a")
    assert caplog.messages == ["Spans are lost until /dev/full can be written again: No space left on device"]
    sink.close()


def test_a_line_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write short as a full disk does."""
    resource = pytest.importorskip("resource")
    file = tmp_path / "traces.jsonl"
    sink = writer(file)
    write(sink, "a")
    size = file.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        assert not write(sink, "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert write(sink, "c")
    sink.close()
    first, cut, last = file.read_text().splitlines()
    assert '"name":"a"' in first
    assert len(cut) == 100
    assert json.loads(last)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == "c"
