import http.client
import json
from pathlib import Path

import pytest

from proxy.demo.trace_inbox import TraceInbox


def post(inbox: TraceInbox, bodies: list[bytes], path: str = "/v1/traces") -> list[int]:
    """On one connection, as Triton's exporter keeps it open."""
    connection = http.client.HTTPConnection(inbox.url.split("/")[2], timeout=5)
    statuses = []
    for body in bodies:
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    return statuses


def test_batches_are_appended_as_lines(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text('{"resourceSpans":[]}\n')
    with TraceInbox(file) as inbox:
        assert post(inbox, [b'{"resourceSpans": [\n{"a": 1}]}', b'{"resourceSpans": []}']) == [200, 200]
    lines = file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"resourceSpans": []},
        {"resourceSpans": [{"a": 1}]},
        {"resourceSpans": []},
    ]


@pytest.mark.parametrize(
    ("body", "path", "status"), [(b"{", "/v1/traces", 400), (b"", "/v1/traces", 400), (b"{}", "/", 404)]
)
def test_anything_else_is_refused_and_not_kept(tmp_path: Path, body: bytes, path: str, status: int) -> None:
    file = tmp_path / "traces.jsonl"
    with TraceInbox(file) as inbox:
        assert post(inbox, [body], path) == [status]
    assert file.read_text() == ""


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        TraceInbox(tmp_path / "missing" / "traces.jsonl")
