from __future__ import annotations

import pytest

from proxy.config.fields import default_of, docs_of, fields_of
from proxy.config.records import (
    CandidateSettings,
    ClassSettings,
    DaemonSettings,
    FileSettings,
    ProxySettings,
    Record,
    RouteSettings,
    TelemetrySettings,
    TlsSettings,
    TritonSettings,
)

RECORDS = [
    CandidateSettings,
    ClassSettings,
    DaemonSettings,
    ProxySettings,
    RouteSettings,
    TelemetrySettings,
    TlsSettings,
    TritonSettings,
]


def test_the_keys_of_a_class() -> None:
    assert [(field.key, field.attribute, field.required) for field in fields_of(ClassSettings)] == [
        ("deadline", "deadline_s", True),
        ("token_deadline", "token_deadline_s", False),
        ("priority", "priority", False),
        ("level", "level", False),
        ("weight", "weight", False),
        ("on_miss", "on_miss", False),
    ]


def test_a_key_of_its_own() -> None:
    keys = {field.attribute: field.key for field in fields_of(ProxySettings)}
    assert keys["stream_window_bytes"] == "stream_window"
    assert keys["max_message_bytes"] == "max_message_bytes"
    assert keys["batch_window_s"] == "batch_window"


def test_nested_records_are_found() -> None:
    assert [field.key for field in fields_of(FileSettings) if isinstance(field.kind, Record)] == [
        "proxy",
        "daemon",
        "telemetry",
    ]


def test_defaults() -> None:
    assert default_of(ProxySettings, "transport") == "quic"
    assert default_of(DaemonSettings, "routes") == {}


@pytest.mark.parametrize("record", RECORDS)
def test_every_key_is_documented(record: type) -> None:
    docs = docs_of(record)
    assert {field.attribute for field in fields_of(record)} == set(docs)
    assert all(doc.endswith(".") for doc in docs.values())
