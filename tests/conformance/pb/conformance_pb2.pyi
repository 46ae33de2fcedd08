from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Reply(_message.Message):
    __slots__ = ("size_bytes", "seed", "uncompressed")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    UNCOMPRESSED_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    seed: int
    uncompressed: bool
    def __init__(self, size_bytes: _Optional[int] = ..., seed: _Optional[int] = ..., uncompressed: _Optional[bool] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: bytes
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[bytes] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("payload", "replies", "echo", "headers_first", "hold", "sleep_s", "end", "compression")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    ECHO_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIRST_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    SLEEP_S_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    replies: _containers.RepeatedCompositeFieldContainer[Reply]
    echo: bool
    headers_first: bool
    hold: bool
    sleep_s: float
    end: End
    compression: str
    def __init__(self, payload: _Optional[bytes] = ..., replies: _Optional[_Iterable[_Union[Reply, _Mapping]]] = ..., echo: _Optional[bool] = ..., headers_first: _Optional[bool] = ..., hold: _Optional[bool] = ..., sleep_s: _Optional[float] = ..., end: _Optional[_Union[End, _Mapping]] = ..., compression: _Optional[str] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ("payload", "received_messages", "received_bytes", "received_sha256")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_SHA256_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    received_messages: int
    received_bytes: int
    received_sha256: bytes
    def __init__(self, payload: _Optional[bytes] = ..., received_messages: _Optional[int] = ..., received_bytes: _Optional[int] = ..., received_sha256: _Optional[bytes] = ...) -> None: ...
