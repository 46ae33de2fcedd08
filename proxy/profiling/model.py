"""What a model is, as far as measuring it needs that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy.errors import HeadwayError


class ProfilingError(HeadwayError):
    """A model can't be measured; the text says which, why, and what would help."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input of a model."""

    name: str
    datatype: str
    """Triton's name of it: `FP32`, `BYTES`, …"""
    dims: tuple[int, ...]
    """Without the batch dimension; -1 is any length."""
    optional: bool = False

    def __str__(self) -> str:
        """Such as `TEXT BYTES[1]`."""
        return f"{self.name} {self.datatype}[{','.join(str(length) for length in self.dims)}]"


@dataclass(frozen=True, slots=True)
class Model:
    """A model on a server, from its metadata and configuration."""

    name: str
    inputs: tuple[ModelInput, ...]
    max_rows: int = 0
    """Rows that one request may have; 0: its requests have no batch dimension."""
    batched: bool = False
    """Whether requests of several clients are answered together (Triton's dynamic batching)."""
    preferred: tuple[int, ...] = ()
    """Batch sizes that start at once."""
    batch_delay_s: float = 0.0
    instances: int = 1
    decoupled: bool = False
    """Whether it streams its answers."""
    cached: bool = False
    """Whether the server answers a repeated request from memory."""
    server: str = ""
    """Program and version."""


class Tensor(NamedTuple):
    """One input of one request."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: bytes
    """As Triton takes it in `raw_input_contents`."""


class Queued(NamedTuple):
    """How long a model's requests have waited since it was loaded."""

    requests: int
    seconds: float


class Server(Protocol):
    """A Triton with the model. Every method raises `ProfilingError`; requests come from `request`."""

    def request(self, tensors: Sequence[Tensor]) -> bytes:
        """An inference request with these inputs."""

    async def infer(self, request: bytes) -> None:
        """Wait for the answer."""

    def stream(self, request: bytes) -> AsyncIterator[None]:
        """One item for each message of the answer, when it comes."""

    async def queued(self) -> Queued:
        """From the server's statistics."""
