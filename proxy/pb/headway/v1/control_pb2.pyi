from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TunnelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TUNNEL_STATE_UNSPECIFIED: _ClassVar[TunnelState]
    CONNECTING: _ClassVar[TunnelState]
    READY: _ClassVar[TunnelState]
    LOST: _ClassVar[TunnelState]
TUNNEL_STATE_UNSPECIFIED: TunnelState
CONNECTING: TunnelState
READY: TunnelState
LOST: TunnelState

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ("interval_s",)
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    interval_s: float
    def __init__(self, interval_s: _Optional[float] = ...) -> None: ...

class SetSchedulerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class SetSchedulerResponse(_message.Message):
    __slots__ = ("previous", "scheduler")
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    previous: str
    scheduler: str
    def __init__(self, previous: _Optional[str] = ..., scheduler: _Optional[str] = ...) -> None: ...

class SetPolicyRequest(_message.Message):
    __slots__ = ("route", "policy")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    route: str
    policy: str
    def __init__(self, route: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...

class SetPolicyResponse(_message.Message):
    __slots__ = ("previous", "policy")
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    previous: str
    policy: str
    def __init__(self, previous: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    def __init__(self, calls: _Optional[int] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("role", "version", "listen", "draining", "calls", "sending", "tunnels", "routes", "serving", "clock_s", "classes", "tritons")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    TUNNELS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    CLOCK_S_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    TRITONS_FIELD_NUMBER: _ClassVar[int]
    role: str
    version: str
    listen: str
    draining: bool
    calls: int
    sending: Sending
    tunnels: _containers.RepeatedCompositeFieldContainer[TunnelStatus]
    routes: _containers.RepeatedCompositeFieldContainer[RouteStatus]
    serving: bool
    clock_s: float
    classes: _containers.RepeatedCompositeFieldContainer[ClassStatus]
    tritons: _containers.RepeatedCompositeFieldContainer[TritonStatus]
    def __init__(self, role: _Optional[str] = ..., version: _Optional[str] = ..., listen: _Optional[str] = ..., draining: _Optional[bool] = ..., calls: _Optional[int] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ..., tunnels: _Optional[_Iterable[_Union[TunnelStatus, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[RouteStatus, _Mapping]]] = ..., serving: _Optional[bool] = ..., clock_s: _Optional[float] = ..., classes: _Optional[_Iterable[_Union[ClassStatus, _Mapping]]] = ..., tritons: _Optional[_Iterable[_Union[TritonStatus, _Mapping]]] = ...) -> None: ...

class ClassStatus(_message.Message):
    __slots__ = ("name", "deadline_s", "on_time", "late", "failed", "refused", "cancelled", "missed", "latency")
    class MissedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    ON_TIME_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    name: str
    deadline_s: float
    on_time: int
    late: int
    failed: int
    refused: int
    cancelled: int
    missed: _containers.ScalarMap[str, int]
    latency: RecentLatency
    def __init__(self, name: _Optional[str] = ..., deadline_s: _Optional[float] = ..., on_time: _Optional[int] = ..., late: _Optional[int] = ..., failed: _Optional[int] = ..., refused: _Optional[int] = ..., cancelled: _Optional[int] = ..., missed: _Optional[_Mapping[str, int]] = ..., latency: _Optional[_Union[RecentLatency, _Mapping]] = ...) -> None: ...

class RecentLatency(_message.Message):
    __slots__ = ("window_s", "calls", "p50_s", "p99_s")
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    P50_S_FIELD_NUMBER: _ClassVar[int]
    P99_S_FIELD_NUMBER: _ClassVar[int]
    window_s: float
    calls: int
    p50_s: float
    p99_s: float
    def __init__(self, window_s: _Optional[float] = ..., calls: _Optional[int] = ..., p50_s: _Optional[float] = ..., p99_s: _Optional[float] = ...) -> None: ...

class TritonStatus(_message.Message):
    __slots__ = ("name", "serving")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    name: str
    serving: bool
    def __init__(self, name: _Optional[str] = ..., serving: _Optional[bool] = ...) -> None: ...

class Sending(_message.Message):
    __slots__ = ("direction", "scheduler", "congestion_control", "transport", "queue")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_CONTROL_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    direction: str
    scheduler: str
    congestion_control: str
    transport: str
    queue: QueueStatus
    def __init__(self, direction: _Optional[str] = ..., scheduler: _Optional[str] = ..., congestion_control: _Optional[str] = ..., transport: _Optional[str] = ..., queue: _Optional[_Union[QueueStatus, _Mapping]] = ...) -> None: ...

class QueueStatus(_message.Message):
    __slots__ = ("streams", "streams_ready", "pending_bytes", "modes")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_READY_FIELD_NUMBER: _ClassVar[int]
    PENDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    streams: int
    streams_ready: int
    pending_bytes: int
    modes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, streams: _Optional[int] = ..., streams_ready: _Optional[int] = ..., pending_bytes: _Optional[int] = ..., modes: _Optional[_Iterable[str]] = ...) -> None: ...

class TunnelStatus(_message.Message):
    __slots__ = ("peer", "state", "reason", "calls", "path", "load", "queue")
    PEER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    state: TunnelState
    reason: str
    calls: int
    path: PathStatus
    load: ReportedLoad
    queue: QueueStatus
    def __init__(self, peer: _Optional[str] = ..., state: _Optional[_Union[TunnelState, str]] = ..., reason: _Optional[str] = ..., calls: _Optional[int] = ..., path: _Optional[_Union[PathStatus, _Mapping]] = ..., load: _Optional[_Union[ReportedLoad, _Mapping]] = ..., queue: _Optional[_Union[QueueStatus, _Mapping]] = ...) -> None: ...

class PathStatus(_message.Message):
    __slots__ = ("rtt_s", "min_rtt_s", "congestion_window_bytes", "bytes_in_flight", "datagram_bytes", "delivery_rate_bytes_s", "sent_packets", "lost_packets", "late_packets", "congestion_state")
    RTT_S_FIELD_NUMBER: _ClassVar[int]
    MIN_RTT_S_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    DATAGRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_RATE_BYTES_S_FIELD_NUMBER: _ClassVar[int]
    SENT_PACKETS_FIELD_NUMBER: _ClassVar[int]
    LOST_PACKETS_FIELD_NUMBER: _ClassVar[int]
    LATE_PACKETS_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_STATE_FIELD_NUMBER: _ClassVar[int]
    rtt_s: float
    min_rtt_s: float
    congestion_window_bytes: int
    bytes_in_flight: int
    datagram_bytes: int
    delivery_rate_bytes_s: float
    sent_packets: int
    lost_packets: int
    late_packets: int
    congestion_state: str
    def __init__(self, rtt_s: _Optional[float] = ..., min_rtt_s: _Optional[float] = ..., congestion_window_bytes: _Optional[int] = ..., bytes_in_flight: _Optional[int] = ..., datagram_bytes: _Optional[int] = ..., delivery_rate_bytes_s: _Optional[float] = ..., sent_packets: _Optional[int] = ..., lost_packets: _Optional[int] = ..., late_packets: _Optional[int] = ..., congestion_state: _Optional[str] = ...) -> None: ...

class ReportedLoad(_message.Message):
    __slots__ = ("calls", "draining", "serving")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    calls: int
    draining: bool
    serving: bool
    def __init__(self, calls: _Optional[int] = ..., draining: _Optional[bool] = ..., serving: _Optional[bool] = ...) -> None: ...

class RouteStatus(_message.Message):
    __slots__ = ("route", "policy", "guard", "candidates", "classes", "waiting", "waiting_bytes")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    route: str
    policy: str
    guard: GuardStatus
    candidates: _containers.RepeatedCompositeFieldContainer[CandidateStatus]
    classes: _containers.RepeatedCompositeFieldContainer[RouteClassStatus]
    waiting: int
    waiting_bytes: int
    def __init__(self, route: _Optional[str] = ..., policy: _Optional[str] = ..., guard: _Optional[_Union[GuardStatus, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[CandidateStatus, _Mapping]]] = ..., classes: _Optional[_Iterable[_Union[RouteClassStatus, _Mapping]]] = ..., waiting: _Optional[int] = ..., waiting_bytes: _Optional[int] = ...) -> None: ...

class GuardStatus(_message.Message):
    __slots__ = ("decisions", "fallbacks", "unusable")
    class FallbacksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    UNUSABLE_FIELD_NUMBER: _ClassVar[int]
    decisions: int
    fallbacks: _containers.ScalarMap[str, int]
    unusable: str
    def __init__(self, decisions: _Optional[int] = ..., fallbacks: _Optional[_Mapping[str, int]] = ..., unusable: _Optional[str] = ...) -> None: ...

class CandidateStatus(_message.Message):
    __slots__ = ("model", "triton", "quality", "ready", "requests", "running", "waiting", "finished", "failed", "error_rate", "slow_down", "latency_s", "gpu_load")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRITON_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    SLOW_DOWN_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    GPU_LOAD_FIELD_NUMBER: _ClassVar[int]
    model: str
    triton: str
    quality: float
    ready: bool
    requests: int
    running: int
    waiting: int
    finished: int
    failed: int
    error_rate: float
    slow_down: float
    latency_s: float
    gpu_load: float
    def __init__(self, model: _Optional[str] = ..., triton: _Optional[str] = ..., quality: _Optional[float] = ..., ready: _Optional[bool] = ..., requests: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., finished: _Optional[int] = ..., failed: _Optional[int] = ..., error_rate: _Optional[float] = ..., slow_down: _Optional[float] = ..., latency_s: _Optional[float] = ..., gpu_load: _Optional[float] = ...) -> None: ...

class RouteClassStatus(_message.Message):
    __slots__ = ("name", "requests", "worth")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    WORTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    requests: int
    worth: float
    def __init__(self, name: _Optional[str] = ..., requests: _Optional[int] = ..., worth: _Optional[float] = ...) -> None: ...
