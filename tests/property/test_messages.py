"""Message framing: whatever is written comes back, however it is cut; whatever comes, nothing breaks."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Code, TunnelProtocolError
from proxy.tunnel.messages import DecodedMessage, MessageDecoder, encode_prefix

LIMIT = 300
SQUEEZE: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}
messages_st = st.lists(st.tuples(st.binary(max_size=LIMIT), st.booleans()), max_size=8)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize("encoding", list(SQUEEZE))
@given(messages=messages_st, cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_messages_survive_any_cutting(encoding: str, messages: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    stream = b""
    expected = []
    for message, squeezed in messages:
        packed = encoding != "identity" and squeezed
        body = SQUEEZE[encoding](message) if packed else message
        if len(body) > LIMIT:
            packed, body = False, message
        stream += bytes([packed]) + encode_prefix(len(body))[1:] + body
        expected.append(DecodedMessage(message, 5 + len(body)))
    decoder = MessageDecoder(max_message_bytes=LIMIT, encoding=encoding)
    assert [message for piece in cut(stream, cuts) for message in decoder.feed(piece)] == expected
    assert decoder.is_between_messages


@pytest.mark.parametrize("encoding", list(SQUEEZE))
@given(pieces=st.lists(st.binary(max_size=64), max_size=20))
def test_any_bytes_make_messages_or_a_protocol_error(encoding: str, pieces: list[bytes]) -> None:
    decoder = MessageDecoder(max_message_bytes=LIMIT, encoding=encoding)
    taken = 0
    try:
        for piece in pieces:
            for message in decoder.feed(piece):
                taken += message.wire_bytes
                assert len(message.data) <= LIMIT
    except TunnelProtocolError as error:
        refused = error.code
    else:
        refused = Code.OK
        assert taken <= sum(map(len, pieces))
    assert refused in (Code.OK, Code.INTERNAL, Code.RESOURCE_EXHAUSTED)


@given(length=st.integers(LIMIT + 1, 2**32 - 1), cuts=st.lists(st.integers(0, 5), max_size=3))
def test_a_length_beyond_the_limit_is_refused_with_the_fifth_byte(length: int, cuts: list[int]) -> None:
    decoder = MessageDecoder(max_message_bytes=LIMIT)
    *start, last = cut(encode_prefix(length), cuts)
    for piece in start:
        assert decoder.feed(piece) == []
    with pytest.raises(TunnelProtocolError) as caught:
        decoder.feed(last)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
