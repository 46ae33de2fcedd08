"""gRPC message compression: content survives it on every path.

Compression is per hop, because grpc's Python API neither tells whether a message came compressed nor which encodings a
peer accepts: what a client compresses arrives at headway compressed, and goes on plain; answers likewise. No stock
client shows that, so the wire is looked at: the answer with `WireClient`, the request that comes out at the backend's
side with `WireServer`.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable

import grpc
import pytest

from tests.conformance.backend import SERVICE
from tests.conformance.client import Client, outcome, sending
from tests.conformance.conftest import Path, Target
from tests.conformance.payload import compressible, payload
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import WireCall, WireClient, WireServer, framed, unframed

ALGORITHMS = pytest.mark.parametrize(
    ("name", "compression"),
    [("gzip", grpc.Compression.Gzip), ("deflate", grpc.Compression.Deflate)],
    ids=["gzip", "deflate"],
)
INFLATE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
DEFLATE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
TEXT = compressible(100_000)


@ALGORITHMS
async def test_client_compressed_unary(client: Client, name: str, compression: grpc.Compression) -> None:
    response = await client.unary(pb.CallRequest(payload=TEXT, echo=True), compression=compression)

    assert response.payload == TEXT


@ALGORITHMS
async def test_client_compressed_streaming(client: Client, name: str, compression: grpc.Compression) -> None:
    contents = [TEXT, payload(1000), b"", compressible(30_000)]
    response = await client.client_stream(
        sending(pb.CallRequest(payload=content) for content in contents), compression=compression
    )

    assert response.received_messages == 4
    assert response.received_sha256 == hashlib.sha256(b"".join(contents)).digest()


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_server_compressed_unary(client: Client, name: str) -> None:
    response = await client.unary(pb.CallRequest(payload=TEXT, echo=True, compression=name))

    assert response.payload == TEXT


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_server_compressed_streaming(client: Client, name: str) -> None:
    """The second of the three messages is sent uncompressed in a call that compresses."""
    replies = [pb.Reply(size_bytes=50_000, seed=seed, uncompressed=seed == 2) for seed in (1, 2, 3)]
    result = await outcome(client.server_stream(pb.CallRequest(replies=replies, compression=name)))

    assert [message.payload for message in result.messages] == [payload(50_000, seed) for seed in (1, 2, 3)]


@ALGORITHMS
async def test_both_sides_compressed_bidi(client: Client, name: str, compression: grpc.Compression) -> None:
    requests = [pb.CallRequest(payload=TEXT, echo=True, compression=name) for _ in range(3)]
    result = await outcome(client.bidi(sending(requests), compression=compression))

    assert [message.payload for message in result.messages] == [TEXT, TEXT, TEXT]


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_a_compressed_answer_on_the_wire(target: Target, path: Path, name: str) -> None:
    request = pb.CallRequest(payload=TEXT, echo=True, compression=name).SerializeToString()
    async with WireClient(target.address) as wire:
        answer = await wire.call(
            f"/{SERVICE}/Unary", ("grpc-accept-encoding", "identity,gzip,deflate"), body=framed(request)
        )

    [(compressed, message)] = answer.messages
    if path.name == "direct":
        assert (answer.header("grpc-encoding"), compressed) == (name, 1)
        message = INFLATE[name](message)
    else:
        assert (answer.header("grpc-encoding") or "identity", compressed) == ("identity", 0)
    assert pb.CallResponse.FromString(message).payload == TEXT


async def test_an_uncompressed_answer_stays_uncompressed(target: Target) -> None:
    request = pb.CallRequest(payload=TEXT, echo=True).SerializeToString()
    async with WireClient(target.address) as wire:
        answer = await wire.call(f"/{SERVICE}/Unary", ("grpc-accept-encoding", "gzip"), body=framed(request))

    assert answer.header("grpc-encoding") in {None, "identity"}
    assert [compressed for compressed, _ in answer.messages] == [0]


@ALGORITHMS
async def test_a_compressed_request_on_the_wire(path: Path, name: str, compression: grpc.Compression) -> None:
    requests: list[tuple[list[str], list[tuple[int, bytes]]]] = []

    async def answer(call: WireCall) -> None:
        if call.values(":path") == [f"/{SERVICE}/Bidi"]:  # headway looks after its backend's health, too
            requests.append((call.values("grpc-encoding"), unframed(await call.body())))
        call.stream.send_headers(
            [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")], end_stream=True
        )

    contents = [TEXT, compressible(20_000)]
    async with WireServer(answer) as server, path.open(server.address) as address, Client(address) as client:
        call = client.bidi(sending(pb.CallRequest(payload=content) for content in contents), compression=compression)
        assert (await outcome(call)).code is grpc.StatusCode.OK

    [(encoding, messages)] = requests
    if path.name == "direct":
        assert (encoding, [compressed for compressed, _ in messages]) == ([name], [1, 1])
        plain = [INFLATE[name](message) for _, message in messages]
    else:
        assert (encoding or ["identity"], [compressed for compressed, _ in messages]) == (["identity"], [0, 0])
        plain = [message for _, message in messages]
    assert [pb.CallRequest.FromString(message).payload for message in plain] == contents


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_a_request_may_mix_compressed_and_plain_messages(target: Target, name: str) -> None:
    requests = [pb.CallRequest(payload=TEXT).SerializeToString(), pb.CallRequest(payload=b"plain").SerializeToString()]
    body = framed(DEFLATE[name](requests[0]), compressed=1) + framed(requests[1])
    async with WireClient(target.address) as wire:
        answer = await wire.call(f"/{SERVICE}/ClientStream", ("grpc-encoding", name), body=body)

    assert answer.grpc_status == 0
    [(_, message)] = answer.messages
    assert pb.CallResponse.FromString(message).received_sha256 == hashlib.sha256(TEXT + b"plain").digest()
