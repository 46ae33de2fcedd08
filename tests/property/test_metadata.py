"""Metadata and status messages: what gRPC allows comes back, what it does not allow never gets onto the wire."""

from __future__ import annotations

import contextlib
import re
import string

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import TunnelProtocolError
from proxy.tunnel.exchange import CallStatus, Metadata
from proxy.tunnel.headers import decode_deadline, decode_request, decode_response, decode_status, encode_status
from proxy.tunnel.metadata import decode_message, decode_metadata, encode_message, encode_metadata, is_end_to_end

KEY_CHARACTERS = string.digits + string.ascii_lowercase + "_.-"
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

keys_st = st.text(KEY_CHARACTERS, min_size=1, max_size=20).filter(lambda key: is_end_to_end(key) and key[-4:] != "-bin")
entries_st = st.tuples(keys_st, st.text(PRINTABLE, max_size=30).map(str.strip)) | st.tuples(
    keys_st.map(lambda key: key + "-bin"), st.binary(max_size=40)
)
header_names_st = st.sampled_from(
    b":method :path :status content-type grpc-timeout grpc-encoding grpc-status grpc-message k-bin headway-class"
    b" headway-deadline headway-token".split()
) | st.binary(max_size=12)
header_values_st = st.sampled_from([b"POST", b"200", b"application/grpc", b"gzip", b"5S", b"0"]) | st.binary(
    max_size=30
)
headers_st = st.lists(st.tuples(header_names_st, header_values_st), max_size=12)


@given(metadata=st.lists(entries_st, max_size=10).map(tuple))
def test_metadata_come_back_as_they_were(metadata: Metadata) -> None:
    assert decode_metadata(encode_metadata(metadata)) == metadata


@given(metadata=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=30) | st.binary(max_size=30))).map(tuple))
def test_nothing_else_gets_onto_the_wire(metadata: Metadata) -> None:
    for key, value in encode_metadata(metadata):
        assert re.fullmatch(rb"[0-9a-z_.-]+", key)
        assert re.fullmatch(rb"([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?", value)


@given(headers=headers_st)
def test_nothing_else_gets_off_the_wire(headers: list[tuple[bytes, bytes]]) -> None:
    for key, value in decode_metadata(headers):
        assert re.fullmatch(r"[0-9a-z_.-]+", key)
        assert is_end_to_end(key)
        if key.endswith("-bin"):
            assert isinstance(value, bytes)
        else:
            assert isinstance(value, str)
            assert re.fullmatch(r"[\x20-\x7e]*", value)


@given(headers=headers_st)
def test_any_header_section_is_read_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    for read in (decode_request, decode_response):
        with contextlib.suppress(TunnelProtocolError):
            read(headers)
    assert 0 <= decode_status(headers).code <= 16


@given(value=st.binary(max_size=60))
def test_any_deadline_is_read_or_none(value: bytes) -> None:
    deadline = decode_deadline(value)
    assert deadline is None or deadline.target_at <= deadline.limit_at


@given(message=st.text(max_size=60))
def test_status_messages_come_back_as_they_were(message: str) -> None:
    raw = encode_message(message)
    assert re.fullmatch(rb"[\x20-\x7e]*", raw)
    assert raw == raw.strip()
    assert decode_message(raw) == message


@given(raw=st.binary(max_size=60))
def test_any_status_message_is_text(raw: bytes) -> None:
    assert decode_message(raw).encode().decode() == decode_message(raw)


@given(
    code=st.integers(0, 16),
    message=st.text(max_size=20),
    metadata=st.lists(entries_st, max_size=4).map(tuple),
    trailers_only=st.booleans(),
)
def test_statuses_come_back_as_they_were(code: int, message: str, metadata: Metadata, *, trailers_only: bool) -> None:
    status = CallStatus(code, message, metadata)
    headers = encode_status(status, trailers_only=trailers_only)
    assert decode_status(headers) == status
    if trailers_only:
        assert decode_response(headers).status == status
