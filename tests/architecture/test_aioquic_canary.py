"""What headway uses of other packages' insides is there, in the versions that are installed.

A name that aioquic or grpc drops, or a method that it calls otherwise, would be noticed only under load, or never:
Python takes an override of nothing for a method. So each private name that the few files touch is looked up here on
real objects. When this fails after an update, read what has changed before teaching it the new names.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import tomllib
from collections.abc import Iterator
from typing import Any

import grpc.aio
import pytest
from aioquic._crypto import HeaderProtection
from aioquic.h3.connection import H3Connection
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.recovery import QuicPacketRecovery
from aioquic.quic.stream import QuicStream, QuicStreamSender
from aioquic.tls import Epoch
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs lack it
from packaging.requirements import Requirement

from tests.architecture.layout import ROOT, Module
from tests.architecture.rules import AIOQUIC_PRIVATE_HOMES

BASES: dict[str, type] = {
    "proxy/quic/path_connection.py": QuicConnection,
    "proxy/quic/receiving_connection.py": QuicConnection,
    "proxy/quic/credit_connection.py": QuicConnection,
    "proxy/quic/sending_connection.py": QuicConnection,
    "proxy/quic/connection.py": QuicConnection,
    "proxy/quic/congestion/recovery.py": QuicPacketRecovery,
    "proxy/quic/send_buffer.py": QuicStreamSender,
    "proxy/quic/http3.py": H3Connection,
}
"""What the class in each of the files inherits from."""

OVERRIDDEN: dict[type, dict[str, tuple[str, ...]]] = {
    QuicConnection: {
        "_initialize": ("self", "peer_cid"),
        "_replenish_connection_ids": ("self",),
        "_parse_transport_parameters": ("self", "data", "from_session_ticket"),
        "_unblock_streams": ("self", "is_unidirectional"),
        "_handle_max_data_frame": ("self", "context", "frame_type", "buf"),
        "_handle_max_stream_data_frame": ("self", "context", "frame_type", "buf"),
        "_on_max_stream_data_delivery": ("self", "delivery", "stream"),
        "_write_application": ("self", "builder", "network_path", "now"),
        "_write_connection_limits": ("self", "builder", "space"),
        "receive_datagram": ("self", "data", "addr", "now"),
        "datagrams_to_send": ("self", "now"),
        "get_timer": ("self",),
        "handle_timer": ("self", "now"),
        "next_event": ("self",),
        "stop_stream": ("self", "stream_id", "error_code"),
    },
    QuicPacketRecovery: {
        "get_loss_detection_time": ("self", "amplification_limited"),
        "on_packet_sent": ("self", "packet", "space"),
        "on_ack_received": ("self", "ack_rangeset", "ack_delay", "now", "space"),
        "_detect_loss": ("self", "now", "space"),
    },
    QuicStreamSender: {
        "write": ("self", "data", "end_stream"),
        "get_frame": ("self", "max_size", "max_offset"),
        "on_data_delivery": ("self", "delivery", "start", "stop", "fin"),
        "on_reset_delivery": ("self", "delivery"),
        "reset": ("self", "error_code"),
    },
    H3Connection: {
        "handle_event": ("self", "event"),
        "_get_local_settings": ("self",),
        "_handle_control_frame": ("self", "frame_type", "frame_data"),
    },
}
"""Methods that aioquic calls and headway replaces, with their parameters."""

SET: dict[type, set[str]] = {
    QuicConnection: {
        "_ack_delay",
        "_ack_eliciting_sent_since_receipt",
        "_close_at",
        "_handshake_done_pending",
        "_loss",
        "_loss_at",
        "_max_datagram_size",
        "_packet_number",
        "_pacing_at",
        "_probe_pending",
        "_remote_max_data_used",
        "_spin_bit",
        "_spin_highest_pn",
        "_streams_blocked_pending",
    },
    QuicPacketRecovery: {
        "_cc",
        "_pacer",
        "_pto_count",
        "_rtt_first_sample_time",
        "_rtt_initialized",
        "_rtt_latest",
        "_rtt_min",
        "_rtt_smoothed",
        "_rtt_variance",
    },
    QuicStreamSender: {"_acked_fin", "_buffer_fin", "_buffer_start", "_buffer_stop", "_pending_eof"},
    H3Connection: {"_received_settings", "_settings_received"},
}
"""Attributes of aioquic's that headway sets."""


def connection() -> QuicConnection:
    quic = QuicConnection(configuration=QuicConfiguration(is_client=True, server_name="daemon"))
    quic.connect(("192.0.2.1", 4433), now=0.0)
    return quic


def instance_of(base: type) -> Any:
    if base is QuicConnection:
        return connection()
    if base is QuicPacketRecovery:
        return connection()._loss
    return H3Connection(connection()) if base is H3Connection else QuicStreamSender(stream_id=0, writable=True)


def owners() -> dict[str, Any]:
    """What expressions in the files stand for."""
    quic = connection()
    return {
        "self.tls": quic.tls,
        "loss": quic._loss,
        "self._loss": quic._loss,
        "self._loss._cc": quic._loss._cc,
        "self._loss._pacer": quic._loss._pacer,
        "self._cryptos[tls.Epoch.ONE_RTT]": quic._cryptos[Epoch.ONE_RTT],
        "keys.hp": HeaderProtection(b"aes-128-ecb", bytes(16)),
        "receiver": QuicStream(stream_id=0).receiver,
        "inner": quic._loss._cc,
    }


def module(path: str) -> Module:
    return Module(path, (ROOT / path).read_text(encoding="utf-8"))


def own_names() -> set[str]:
    """Private names that the files' own classes define, and aioquic does not know."""
    found = set()
    for path in AIOQUIC_PRIVATE_HOMES:
        found |= set_by(path)
        found |= {node.name for node in ast.walk(module(path).tree) if isinstance(node, ast.FunctionDef)}
    return found - {name for base in set(BASES.values()) for name in dir(instance_of(base))}


def set_by(path: str) -> set[str]:
    """The private attributes that a file's class sets on itself."""
    return {
        node.attr
        for node in ast.walk(module(path).tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
        and node.attr.startswith("_")
    }


def touched(path: str) -> Iterator[tuple[int, str, str]]:
    """Line, owner and name of each private attribute."""
    for node in ast.walk(module(path).tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            yield node.lineno, ast.unparse(node.value), node.attr


def test_the_version_is_one_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [wanted] = [line for line in project["dependencies"] if line.startswith("aioquic")]
    installed = importlib.metadata.version("aioquic")
    assert Requirement(wanted).specifier.contains(installed), f"aioquic {installed} is installed, {wanted} wanted"


@pytest.mark.parametrize("path", AIOQUIC_PRIVATE_HOMES)
def test_every_private_name_that_a_file_touches_is_there(path: str) -> None:
    base = BASES[path]
    instance = instance_of(base)
    known, own = owners(), own_names()
    missing = []
    for line, owner, name in touched(path):
        if owner in {"self", "super()"} and name in own:
            continue
        there = instance if owner in {"self", "super()"} else known.get(owner)
        if there is None:
            missing.append(f"{path}:{line}: {owner} is unknown here; teach `owners` what it stands for")
        elif not hasattr(there, name):
            missing.append(f"{path}:{line}: {type(there).__name__} has no {name}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("base", SET, ids=lambda base: base.__name__)
def test_what_is_set_is_what_aioquic_reads(base: type) -> None:
    ours = {name for path, inherited in BASES.items() if inherited is base for name in set_by(path)}
    known = set(dir(instance_of(base)))
    assert ours & known == SET[base]


@pytest.mark.parametrize("base", OVERRIDDEN, ids=lambda base: base.__name__)
def test_what_is_overridden_is_there_and_is_called_alike(base: type) -> None:
    found = {
        name: tuple(inspect.signature(getattr(base, name)).parameters) if hasattr(base, name) else ()
        for name in OVERRIDDEN[base]
    }
    assert found == OVERRIDDEN[base]


@pytest.mark.parametrize("path", AIOQUIC_PRIVATE_HOMES)
def test_every_override_is_in_the_table(path: str) -> None:
    base = BASES[path]
    methods = {
        node.name
        for definition in ast.walk(module(path).tree)
        if isinstance(definition, ast.ClassDef)
        for node in definition.body
        if isinstance(node, ast.FunctionDef) and not node.decorator_list and not node.name.startswith("__")
    }
    overriding = {name for name in methods if hasattr(base, name)}
    assert overriding <= set(OVERRIDDEN[base]), "teach the table its new overrides"


def test_frames_are_handed_to_the_overrides() -> None:
    """aioquic looks its frame handlers up once, on the instance."""
    quic: Any = connection()
    handlers = quic._QuicConnection__frame_handlers
    assert handlers[0x10][0].__name__ == "_handle_max_data_frame"
    assert handlers[0x11][0].__name__ == "_handle_max_stream_data_frame"


def test_streams_come_through_the_queue() -> None:
    """The seam of the scheduler: aioquic appends each new stream there, and does nothing else with it but send."""
    uses = [line.strip() for line in inspect.getsource(QuicConnection).splitlines() if "_streams_queue" in line]
    assert uses == [
        "self._streams_queue: list[QuicStream] = []",
        "self._streams_queue.append(stream)",
        "self._streams_queue.append(stream)",
        "for stream in self._streams_queue:",
        "self._streams_queue = [",
        "for stream in self._streams_queue",
        "self._streams_queue.extend(sent)",
    ]


def test_control_frames_reach_the_http3_override_but_goaway_does_not() -> None:
    """The reason why GOAWAY is looked for in `proxy.quic.http3`: once aioquic hands it over, that can go."""
    source = inspect.getsource(H3Connection._receive_stream_data_uni)
    assert "if frame_type in (FrameType.SETTINGS, FrameType.MAX_PUSH_ID):" in source


async def test_what_is_used_of_a_grpc_call_is_there() -> None:
    """`proxy/http2/outgoing.py` writes past grpc.aio's own write."""
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        call: Any = channel.stream_stream("/pkg.Service/Method")()  # type: ignore[call-arg]
        try:
            assert inspect.iscoroutinefunction(call._metadata_sent.wait)
            parameters = inspect.signature(call._cython_call.send_serialized_message).parameters
            assert len(parameters) == 1
            assert issubclass(cygrpc.InternalError, Exception)
        finally:
            call.cancel()


async def test_what_is_used_of_grpc_s_unary_calls_is_there() -> None:
    """`proxy/http2/outgoing.py` makes them without grpc.aio's objects, of what the method has."""
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        open_method: Any = channel.unary_unary  # the stubs lack its argument
        method = open_method("/pkg.Service/Method", _registered_method=True)
        call = method._channel.call(method._method, None, None, None, method._registered_call_handle)
        assert not call.done()
        assert tuple(inspect.signature(call.unary_unary).parameters) == (
            "request",
            "outbound_initial_metadata",
            "context",
        )
        for name in ("cancel", "initial_metadata", "status"):
            assert callable(getattr(call, name))
        call.cancel("not needed")


def test_recovery_is_made_once_and_reached_through_the_connection() -> None:
    """`path_connection` replaces it before anything is sent."""
    lines = [line.strip() for line in inspect.getsource(QuicConnection).splitlines()]
    assert [line for line in lines if "QuicPacketRecovery" in line] == ["self._loss = QuicPacketRecovery("]
    assert not [line for line in lines if line.endswith("= self._loss")]
