"""The records that the configuration is read into. A component receives its own and no other.

Each field's annotation says what the file may hold for it, its docstring says what it does; flags and help texts
are made from both (`document`). A field `…_s` is written without that ending: `batch_window: 5ms` is
`batch_window_s == 0.005`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from policies.traffic import Level, OnMiss, TrafficClass
from proxy.config.dns_names import DaemonEndpoint, DnsName
from proxy.config.sources import Origin, Problem
from proxy.config.values import Address, Duration, Endpoint, File, Kind, Name, Number, OneOf, Registered, Size, Url
from proxy.errors import ConfigError

Role = Literal["proxy", "daemon"]
"""What a machine runs; also the name of its section."""

SCHEDULERS = ("rr", "fcfs", "edf", "absolute", "multilevel", "adaptive", "weighted")
POLICIES = (
    "dqn",
    "late",
    "slackfit",
    "greedy",
    "least_loaded",
    "round_robin",
    "static",
    # to compare with
    "greedy_earliest",
    "earliest_finish",
    "latest_finish",
    "least_positive_headroom",
    "infaas",
    "model_switching",
    "proteus_lite",
    "power_of_two",
    "random",
)
CONGESTION_CONTROLS = ("reno", "cubic", "bbr")

_DATAGRAM = Size(at_least=1200, at_most=16383, auto=True)
"""RFC 9000 section 14: 1200 bytes must always pass. Above 16383 a length no longer fits QUIC's two-byte integers."""

_MESSAGE = Size()
"""To INT32_MAX, the largest limit that grpc itself takes."""

_WINDOW = Size(at_least=16 << 10, at_most=1 << 30)


@dataclass(frozen=True, slots=True)
class Record:
    """A nested record."""

    record: type


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping from names to records; the record's `name` is its key."""

    record: type
    noun: str
    at_least: int = 0


@dataclass(frozen=True, slots=True)
class Items:
    """A list, of plain values or of records."""

    item: Kind | Record
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Key:
    """The key in the file, where it is not the field's name."""

    name: str


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """A traffic class as the file has it; `TrafficClass` as everyone else does."""

    name: str
    deadline_s: Annotated[float, Duration(none=True)]
    """From the request's arrival at the proxy to the answer."""
    token_deadline_s: Annotated[float, Duration(none=True)] = math.inf
    """From one message of a streamed answer to the next; unset: all of them are due when the first one is."""
    priority: Annotated[int, Number(whole=True, at_most=255)] = 0
    """Level for strict priority, 0 first."""
    level: Annotated[Level, OneOf(("high", "low"))] = "low"
    """Level of the multi-level scheduler."""
    weight: Annotated[float, Number()] = 1.0
    """What a request is worth when it is on time."""
    on_miss: Annotated[OnMiss, OneOf(("deliver", "fail"))] = "deliver"
    """What happens to an answer that is late for the class's deadline."""

    def traffic_class(self) -> TrafficClass:
        """The class in the shared vocabulary."""
        return TrafficClass(
            name=self.name,
            deadline_s=self.deadline_s,
            token_deadline_s=self.token_deadline_s,
            priority=self.priority,
            level=self.level,
            weight=self.weight,
            on_miss=self.on_miss,
        )


@dataclass(frozen=True, slots=True)
class TrafficSettings:
    """The traffic classes and what becomes of requests that name none, or one that does not exist."""

    classes: Mapping[str, TrafficClass]
    default_class: str
    """For a request that names no class."""
    unknown_class: Literal["default", "reject"] = "default"
    """For a request whose class does not exist: the default class, or INVALID_ARGUMENT."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS towards clients."""

    cert: Annotated[Path, File()]
    """Certificate chain in PEM, the server's own first."""
    key: Annotated[Path, File()]
    """The certificate's private key in PEM."""
    client_ca: Annotated[Path | None, File()] = None
    """Clients must show a certificate that these CAs signed; unset: no client certificates."""


@dataclass(frozen=True, slots=True)
class ControlTlsSettings:
    """TLS towards those who control this process. All of them show who they are: whoever may connect may drain it."""

    cert: Annotated[Path, File()]
    """Certificate chain in PEM, the process's own first."""
    key: Annotated[Path, File()]
    """The certificate's private key in PEM."""
    client_ca: Annotated[Path, File()]
    """Callers must show a certificate that these CAs signed."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The proxy: where clients connect and how it reaches the daemons."""

    daemons: Annotated[tuple[Address | DnsName, ...], Items(DaemonEndpoint())]
    """The daemons to tunnel to: host:port is one, dns:///host:port one for each address that the name has."""
    listen: Annotated[Address, Endpoint(any_port=True)] = Address("127.0.0.1", 8001)
    """Where clients connect."""
    tls: Annotated[TlsSettings | None, Record(TlsSettings)] = None
    """TLS towards clients; unset: none."""
    resolve_interval_s: Annotated[float, Duration()] = 10.0
    """How often a dns:/// name is resolved again, give or take a fifth; also when one of its daemons is lost."""
    health: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where the proxy's own grpc.health.v1 listens, without TLS; unset: nowhere. Checks at listen pass through."""
    ca: Annotated[Path | None, File()] = None
    """The CAs that may sign a daemon's certificate; unset: the public ones."""
    server_name: Annotated[str | None, Name()] = None
    """The name in the daemon's certificate, where it differs from the address."""
    client_cert: Annotated[Path | None, File()] = None
    """Certificate that the proxy shows to the daemon."""
    client_key: Annotated[Path | None, File()] = None
    """The private key of client_cert."""
    token_file: Annotated[Path | None, File()] = None
    """Holds the token that shows the daemon who we are; with several, one a line, the first."""
    transport: Annotated[Literal["quic", "tcp"], OneOf(("quic", "tcp"))] = "quic"
    """quic: gRPC over HTTP/3. tcp: gRPC over HTTP/2 and TLS, where UDP is blocked."""
    congestion_control: Annotated[str, Registered("congestion control", "congestion_controls", CONGESTION_CONTROLS)] = (
        "bbr"
    )
    """How fast the proxy sends to the daemon (transport quic)."""
    batch_window_s: Annotated[float, Duration(above_zero=False, at_most_s=1.0)] = 0.0
    """How long a flush waits so that more requests share packets; 0: what one loop turn brings leaves together."""
    max_message_bytes: Annotated[int, _MESSAGE] = 256 << 20
    """The longest message of a call, either way; a longer one ends the call with RESOURCE_EXHAUSTED."""
    max_datagram_bytes: Annotated[int | None, _DATAGRAM] = None
    """The longest UDP payload that the proxy sends; auto: probed."""
    stream_window_bytes: Annotated[int, _WINDOW, Key("stream_window")] = 1 << 20
    """How much of one call's answer may be on its way or waiting for a client that reads slowly."""
    drain_s: Annotated[float, Duration(above_zero=False)] = 30.0
    """How long calls in flight may take to finish after SIGTERM."""
    control_listen: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where `headway ctl` reaches this process; unset: nowhere. On loopback, or with control_tls."""
    control_tls: Annotated[ControlTlsSettings | None, Record(ControlTlsSettings)] = None
    """TLS at control_listen, with client certificates; unset: none."""
    metrics_listen: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where Prometheus scrapes the proxy; unset: telemetry.metrics_listen."""


@dataclass(frozen=True, slots=True)
class TritonSettings:
    """A gRPC server that the daemon calls: Triton, or any other where only pass-through is wanted."""

    name: str
    url: Annotated[Address, Endpoint()]
    """Its gRPC address."""
    metrics: Annotated[str | None, Url()] = None
    """Its Prometheus page, for the load that policies see; unset: no load from there."""


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """A model that may answer for a route."""

    triton: Annotated[str, Name()]
    """The triton that serves it."""
    model: Annotated[str, Name()]
    """Its name there."""
    quality: Annotated[float, Number(at_most=1.0)]
    """How good its answers are; only the order and the ratio of a route's candidates count."""
    profile: Annotated[Path | None, File()] = None
    """Its measured latency, from `headway profile`; unset: learned from the answers."""


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """A model name that clients ask for, and the models behind it."""

    name: str
    policy: Annotated[str, Registered("policy", "policies", POLICIES, with_argument=("static",), with_file=("dqn",))]
    """How the candidate is chosen."""
    candidates: Annotated[tuple[CandidateSettings, ...], Items(Record(CandidateSettings))]
    """The models to choose from."""
    max_waiting_bytes: Annotated[int, _MESSAGE] = 256 << 20
    """How much of requests may wait in the daemon, where the policy is late; past that they get RESOURCE_EXHAUSTED."""


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """The daemon: where proxies connect and which models answer."""

    cert: Annotated[Path, File()]
    """Certificate chain in PEM that the daemon shows to proxies."""
    key: Annotated[Path, File()]
    """The certificate's private key in PEM."""
    tritons: Annotated[Mapping[str, TritonSettings], Named(TritonSettings, "triton", at_least=1)]
    """The servers behind the daemon."""
    listen: Annotated[Address, Endpoint(any_port=True)] = Address("127.0.0.1", 4433)
    """Where proxies connect: UDP for QUIC and TCP for the fallback."""
    health: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where the daemon's own grpc.health.v1 listens, without TLS; unset: nowhere."""
    token_file: Annotated[Path | None, File()] = None
    """Holds the tokens of the proxies that are let in, one a line; unset: anyone, and on loopback only."""
    client_ca: Annotated[Path | None, File()] = None
    """Proxies must show a certificate that these CAs signed; unset: no client certificates."""
    default: Annotated[str | None, Name()] = None
    """The triton for calls that no route claims; with a single triton, that one."""
    routes: Annotated[Mapping[str, RouteSettings], Named(RouteSettings, "route")] = field(default_factory=dict)
    """The model names that the daemon answers for."""
    congestion_control: Annotated[str, Registered("congestion control", "congestion_controls", CONGESTION_CONTROLS)] = (
        "bbr"
    )
    """How fast the daemon sends to proxies (transport quic)."""
    max_message_bytes: Annotated[int, _MESSAGE] = 256 << 20
    """The longest message of a call, either way; a longer one ends the call with RESOURCE_EXHAUSTED."""
    max_datagram_bytes: Annotated[int | None, _DATAGRAM] = None
    """The longest UDP payload that the daemon sends; auto: probed."""
    stream_window_bytes: Annotated[int, _WINDOW, Key("stream_window")] = 1 << 20
    """How much of one call's request may be on its way or waiting for a model that reads slowly."""
    idle_timeout_s: Annotated[float, Duration()] = 60.0
    """How long a connection may be silent before it counts as lost."""
    drain_s: Annotated[float, Duration(above_zero=False)] = 30.0
    """How long calls in flight may take to finish after SIGTERM."""
    control_listen: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where `headway ctl` reaches this process; unset: nowhere. On loopback, or with control_tls."""
    control_tls: Annotated[ControlTlsSettings | None, Record(ControlTlsSettings)] = None
    """TLS at control_listen, with client certificates; unset: none."""
    metrics_listen: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where Prometheus scrapes the daemon; unset: telemetry.metrics_listen."""


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Traces and metrics. OpenTelemetry's own OTEL_… variables win over these."""

    otlp_endpoint: Annotated[str | None, Url()] = None
    """Where traces go, OTLP over gRPC, or over HTTP to port 4318 or a path; unset: to traces_file."""
    traces_file: Annotated[Path, File(must_exist=False)] = field(
        default_factory=lambda: Path("headway-traces.jsonl").absolute()
    )
    """Traces as OTLP JSON lines, while there is no otlp_endpoint."""
    metrics_listen: Annotated[Address | None, Endpoint(any_port=True)] = None
    """Where Prometheus scrapes; unset: nowhere. Proxy and daemon on one host: one of them needs its own."""


@dataclass(frozen=True, slots=True)
class FileSettings:
    """The top level of the file."""

    proxy: Annotated[ProxySettings | None, Record(ProxySettings)] = None
    daemon: Annotated[DaemonSettings | None, Record(DaemonSettings)] = None
    telemetry: Annotated[TelemetrySettings, Record(TelemetrySettings)] = field(default_factory=TelemetrySettings)
    classes: Annotated[Mapping[str, ClassSettings], Named(ClassSettings, "class", at_least=1)] = field(
        default_factory=dict
    )
    """The traffic classes."""
    default_class: Annotated[str | None, Name()] = None
    """For a request that names no class; unset: standard, or the only class."""
    unknown_class: Annotated[Literal["default", "reject"], OneOf(("default", "reject"))] = "default"
    """For a request whose class does not exist: the default class, or INVALID_ARGUMENT."""
    scheduler: Annotated[str, Registered("scheduler", "schedulers", SCHEDULERS)] = "edf"
    """The order in which both ends send streams."""


DEFAULT_CLASSES = """
realtime: {deadline: 1s, token_deadline: 1.8s, priority: 0, level: high, weight: 2}
standard: {deadline: 2s, token_deadline: 1.8s, priority: 1, level: low, weight: 1}
bulk: {deadline: 7s, token_deadline: 2.3s, priority: 2, level: low, weight: 1}
"""
"""The classes where the file defines none, in the file's form, so that variables and flags can change a part of one."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that one file, the environment and the command line say, checked."""

    traffic: TrafficSettings
    scheduler: str
    telemetry: TelemetrySettings
    proxy: ProxySettings | None = None
    """None where neither the file nor the command asks for a proxy."""
    daemon: DaemonSettings | None = None
    """None where neither the file nor the command asks for a daemon."""
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False, compare=False)
    """Where each value that is not a default was written, by its key's path."""

    def problem(self, key: str, what: str, allowed: str = "") -> str:
        """A line in the usual form about a value that turned out wrong in use, such as a port that is taken."""
        parent = key
        while parent not in self.origins and parent:
            parent = parent.rpartition(".")[0]
        return str(Problem(self.origins.get(parent, Origin("default")), key, what, allowed))

    def notes(self) -> list[str]:
        """A line in the usual form about each value that is right and does not do what the user may expect."""
        lines: list[str] = []
        routes = {} if self.daemon is None else self.daemon.routes
        profiled = {(c.triton, c.model) for route in routes.values() for c in route.candidates if c.profile is not None}
        for name, route in routes.items():
            policy = route.policy.partition(":")[0]
            needs_profiles = policy in {"dqn", "late"}
            if needs_profiles and any((c.triton, c.model) not in profiled for c in route.candidates):
                what = f"{policy} decides as greedy does while a candidate has no profile"
                lines.append(self.problem(f"daemon.routes.{name}.policy", what))
        return lines

    def only(self, roles: Collection[Role]) -> Config:
        """The same without the sections of other roles."""
        return replace(
            self,
            proxy=self.proxy if "proxy" in roles else None,
            daemon=self.daemon if "daemon" in roles else None,
        )

    def require_proxy(self) -> ProxySettings:
        """The proxy's settings; `ConfigError` where there are none."""
        if self.proxy is None:
            raise ConfigError([self.problem("proxy", "missing")])
        return self.proxy

    def require_daemon(self) -> DaemonSettings:
        """The daemon's settings; `ConfigError` where there are none."""
        if self.daemon is None:
            raise ConfigError([self.problem("daemon", "missing")])
        return self.daemon
