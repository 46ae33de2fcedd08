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
    __slots__ = ("role", "version", "listen", "draining", "calls", "sending", "tunnels", "routes")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    TUNNELS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    role: str
    version: str
    listen: str
    draining: bool
    calls: int
    sending: Sending
    tunnels: _containers.RepeatedCompositeFieldContainer[TunnelStatus]
    routes: _containers.RepeatedCompositeFieldContainer[RouteStatus]
    def __init__(self, role: _Optional[str] = ..., version: _Optional[str] = ..., listen: _Optional[str] = ..., draining: _Optional[bool] = ..., calls: _Optional[int] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ..., tunnels: _Optional[_Iterable[_Union[TunnelStatus, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[RouteStatus, _Mapping]]] = ...) -> None: ...

class Sending(_message.Message):
    __slots__ = ("direction", "scheduler", "congestion_control", "transport")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_CONTROL_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    direction: str
    scheduler: str
    congestion_control: str
    transport: str
    def __init__(self, direction: _Optional[str] = ..., scheduler: _Optional[str] = ..., congestion_control: _Optional[str] = ..., transport: _Optional[str] = ...) -> None: ...

class TunnelStatus(_message.Message):
    __slots__ = ("peer", "state", "reason", "calls", "path", "load")
    PEER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    peer: str
    state: TunnelState
    reason: str
    calls: int
    path: PathStatus
    load: ReportedLoad
    def __init__(self, peer: _Optional[str] = ..., state: _Optional[_Union[TunnelState, str]] = ..., reason: _Optional[str] = ..., calls: _Optional[int] = ..., path: _Optional[_Union[PathStatus, _Mapping]] = ..., load: _Optional[_Union[ReportedLoad, _Mapping]] = ...) -> None: ...

class PathStatus(_message.Message):
    __slots__ = ("rtt_s", "min_rtt_s", "congestion_window_bytes", "bytes_in_flight", "datagram_bytes", "delivery_rate_bytes_s")
    RTT_S_FIELD_NUMBER: _ClassVar[int]
    MIN_RTT_S_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    DATAGRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_RATE_BYTES_S_FIELD_NUMBER: _ClassVar[int]
    rtt_s: float
    min_rtt_s: float
    congestion_window_bytes: int
    bytes_in_flight: int
    datagram_bytes: int
    delivery_rate_bytes_s: float
    def __init__(self, rtt_s: _Optional[float] = ..., min_rtt_s: _Optional[float] = ..., congestion_window_bytes: _Optional[int] = ..., bytes_in_flight: _Optional[int] = ..., datagram_bytes: _Optional[int] = ..., delivery_rate_bytes_s: _Optional[float] = ...) -> None: ...

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
    __slots__ = ("route", "policy")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    route: str
    policy: str
    def __init__(self, route: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...
