from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProxyReport(_message.Message):
    __slots__ = ("sequence", "sent_us", "offset", "round_trip")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    sent_us: int
    offset: ClockOffset
    round_trip: RoundTrip
    def __init__(self, sequence: _Optional[int] = ..., sent_us: _Optional[int] = ..., offset: _Optional[_Union[ClockOffset, _Mapping]] = ..., round_trip: _Optional[_Union[RoundTrip, _Mapping]] = ...) -> None: ...

class ClockOffset(_message.Message):
    __slots__ = ("offset_us", "round_trip_us")
    OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    offset_us: int
    round_trip_us: int
    def __init__(self, offset_us: _Optional[int] = ..., round_trip_us: _Optional[int] = ...) -> None: ...

class RoundTrip(_message.Message):
    __slots__ = ("smoothed_us", "deviation_us")
    SMOOTHED_US_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_US_FIELD_NUMBER: _ClassVar[int]
    smoothed_us: int
    deviation_us: int
    def __init__(self, smoothed_us: _Optional[int] = ..., deviation_us: _Optional[int] = ...) -> None: ...

class DaemonReport(_message.Message):
    __slots__ = ("sequence", "proxy_sent_us", "received_us", "sent_us", "load")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROXY_SENT_US_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    proxy_sent_us: int
    received_us: int
    sent_us: int
    load: DaemonLoad
    def __init__(self, sequence: _Optional[int] = ..., proxy_sent_us: _Optional[int] = ..., received_us: _Optional[int] = ..., sent_us: _Optional[int] = ..., load: _Optional[_Union[DaemonLoad, _Mapping]] = ...) -> None: ...

class DaemonLoad(_message.Message):
    __slots__ = ("calls", "draining", "serving")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    calls: int
    draining: bool
    serving: bool
    def __init__(self, calls: _Optional[int] = ..., draining: _Optional[bool] = ..., serving: _Optional[bool] = ...) -> None: ...
