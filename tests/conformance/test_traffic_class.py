"""The metadata contract for traffic classes and class deadlines, as a client sees it.

The stack is configured as the defaults are: classes `realtime`, `standard` and `bulk`, of which `standard` is the
default, and an unknown class is served as the default.
"""

import grpc
import pytest

from tests.conformance.client import Client, Metadata, named, new_call_id, outcome, sending
from tests.conformance.conftest import Target
from tests.conformance.journal import seen
from tests.conformance.pb import conformance_pb2 as pb

pytestmark = [pytest.mark.headway_only]

ECHO = pb.CallRequest(payload=b"content", echo=True)
HELD = pb.CallRequest(hold=True)


def added(metadata: Metadata) -> dict[str, str]:
    return {key: str(value) for key, value in metadata if key.startswith("x-headway-")}


@pytest.mark.parametrize("name", ["realtime", "standard", "bulk"])
async def test_a_known_class_is_named_in_the_trailers(client: Client, name: str) -> None:
    result = await outcome(client.unary(ECHO, metadata=(("x-traffic-class", name),)))

    assert result.code is grpc.StatusCode.OK
    assert added(result.trailing)["x-headway-class"] == name


@pytest.mark.parametrize("name", ["realtme", "", "REALTIME", "x" * 1000, "a,b", "%$;"])
async def test_an_unknown_class_is_served_as_the_default(client: Client, name: str) -> None:
    result = await outcome(client.unary(ECHO, metadata=(("x-traffic-class", name),)))

    assert result.code is grpc.StatusCode.OK
    assert [message.payload for message in result.messages] == [b"content"]
    assert added(result.trailing)["x-headway-class"] == "standard"


async def test_no_class_is_the_default_class(client: Client) -> None:
    result = await outcome(client.unary(ECHO))

    assert added(result.trailing)["x-headway-class"] == "standard"


async def test_two_classes_are_still_one_answer(client: Client) -> None:
    metadata = (("x-traffic-class", "bulk"), ("x-traffic-class", "realtime"))
    result = await outcome(client.unary(ECHO, metadata=metadata))

    assert result.code is grpc.StatusCode.OK
    assert added(result.trailing)["x-headway-class"] in {"bulk", "realtime", "standard"}


async def test_slack_is_a_number_below_the_class_deadline(client: Client) -> None:
    """`standard` has 2 s; on loopback nearly all of it is left."""
    result = await outcome(client.unary(ECHO))

    assert 0 < float(added(result.trailing)["x-headway-slack-ms"]) <= 2000


async def test_a_deadline_in_the_metadata_replaces_the_class_s(client: Client) -> None:
    result = await outcome(client.unary(ECHO, metadata=(("x-deadline-ms", "600000"),)))

    assert result.code is grpc.StatusCode.OK
    assert 590_000 < float(added(result.trailing)["x-headway-slack-ms"]) <= 600_000


async def test_the_grpc_deadline_caps_the_metadata_s(client: Client) -> None:
    result = await outcome(client.unary(ECHO, metadata=(("x-deadline-ms", "600000"),), timeout=20))

    assert 0 < float(added(result.trailing)["x-headway-slack-ms"]) <= 20_100


async def test_a_fractional_deadline_is_a_number(client: Client) -> None:
    result = await outcome(client.unary(ECHO, metadata=(("x-deadline-ms", "1500.5"),)))

    assert result.code is grpc.StatusCode.OK
    assert 0 < float(added(result.trailing)["x-headway-slack-ms"]) <= 1500.5


@pytest.mark.parametrize("value", ["abc", "", "1s", "1e", "nan", "inf", "0x10", "1,000"])
async def test_a_malformed_deadline_is_refused_by_name(client: Client, target: Target, value: str) -> None:
    call_id = new_call_id()
    result = await outcome(client.unary(ECHO, metadata=named(call_id, ("x-deadline-ms", value))))

    assert result.code is grpc.StatusCode.INVALID_ARGUMENT
    assert result.details == f"x-deadline-ms: '{value}' is not a positive number of milliseconds"
    assert not target.backend.calls[call_id].started.is_set()


@pytest.mark.parametrize("value", ["0", "-1", "-0.5"])
async def test_a_deadline_already_past_is_exceeded_without_the_backend(
    client: Client, target: Target, value: str
) -> None:
    call_id = new_call_id()
    result = await outcome(client.unary(ECHO, metadata=named(call_id, ("x-deadline-ms", value))))

    assert result.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not target.backend.calls[call_id].started.is_set()


async def test_a_missed_class_deadline_is_delivered_late_with_negative_slack(client: Client, target: Target) -> None:
    """`on_miss: deliver` is the default: late is marked, and the answer comes."""
    call_id = new_call_id()
    call = client.unary(pb.CallRequest(sleep_s=0.1), metadata=named(call_id, ("x-deadline-ms", "20")))
    result = await outcome(call)

    assert result.code is grpc.StatusCode.OK
    assert float(added(result.trailing)["x-headway-slack-ms"]) < 0


async def test_a_refusal_says_its_class_too(client: Client) -> None:
    request = pb.CallRequest(end=pb.End(code=5, message="no"))
    result = await outcome(client.unary(request, metadata=(("x-traffic-class", "bulk"),)))

    assert (result.code, result.details) == (grpc.StatusCode.NOT_FOUND, "no")
    assert added(result.trailing)["x-headway-class"] == "bulk"


@pytest.mark.parametrize("arity", ["server_stream", "bidi"])
async def test_streams_carry_a_class_as_well(client: Client, target: Target, arity: str) -> None:
    call_id = new_call_id()
    method = getattr(client, arity)
    metadata = named(call_id, ("x-traffic-class", "realtime"))
    result = await outcome(method(ECHO if arity == "server_stream" else sending([ECHO]), metadata=metadata))

    assert added(result.trailing)["x-headway-class"] == "realtime"
    await seen(target.backend.calls[call_id].finished)
