"""Methods that are known to be unary on both sides.

A proxy by bytes can treat every method as a stream of messages each way. For those here it need not: grpc then needs
one batch of operations a call instead of four, which saves a third of a hop's CPU time.
"""

from __future__ import annotations

_TRITON = "/inference.GRPCInferenceService/"
_TRITON_UNARY = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
)
UNARY_METHODS = frozenset({"/grpc.health.v1.Health/Check", *(_TRITON + name for name in _TRITON_UNARY)})


def is_unary(path: str) -> bool:
    """True where exactly one message goes each way."""
    return path in UNARY_METHODS
