"""Inputs for a model: made from their data types and shapes, and from what the user says of them.

Numbers are 0.5 or 1 and texts are words, unless a value is given: how long a network takes does not depend on them, and
where it does (how many tokens to write, how long to sleep) the user has to say what is usual.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from proxy.profiling.model import Model, ModelInput, ProfilingError, Tensor

ANY_LENGTH = -1
"""Triton's shape entry for a dimension of any length."""

TEXT = b"The quick brown fox jumps over the lazy dog. "
TEXT_BYTES = 64
"""Of a text, where no size is given."""

BYTES = "BYTES"
_FORMATS = {
    "BOOL": "?",
    "INT8": "b",
    "UINT8": "B",
    "INT16": "h",
    "UINT16": "H",
    "INT32": "i",
    "UINT32": "I",
    "INT64": "q",
    "UINT64": "Q",
    "FP16": "e",
    "BF16": "f",
    "FP32": "f",
    "FP64": "d",
}
"""`struct`'s letters; a BF16 is the upper half of an FP32."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of a model's inputs."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By input, without the batch dimension."""
    values: Mapping[str, str] = field(default_factory=dict)
    """By input: a number for every element, or a text."""
    sizes: tuple[int, ...] = ()
    """Of the payload: bytes of a text, else the length of the dimension that may have any."""


class Payload:
    """The inputs of one model's requests. Raises `ProfilingError` for a model whose inputs it can't make."""

    def __init__(self, model: Model, wishes: Wishes) -> None:
        self._model = model
        self._wishes = wishes
        known = {each.name: each for each in model.inputs}
        for name in (*wishes.shapes, *wishes.values):
            if name not in known:
                raise ProfilingError(f"{model.name} has no input {name}; it has {', '.join(map(str, model.inputs))}")
        named = {*wishes.shapes, *wishes.values}
        self._sent = [each for each in model.inputs if not each.optional or each.name in named]
        free = [each for each in self._sent if each.name not in named]
        texts = [each for each in free if each.datatype == BYTES]
        lengths = [each for each in free if ANY_LENGTH in each.dims and each.datatype != BYTES]
        self._payload = next(iter((*texts, *lengths)), None)
        """The input whose size is measured against."""
        if wishes.sizes and self._payload is None:
            raise ProfilingError(f"{model.name} has no input whose size can vary; leave --sizes out")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the payload, those to measure; empty where there is nothing to vary."""
        return self._wishes.sizes

    @property
    def unit(self) -> str:
        """What a size counts, such as `byte of TEXT`; empty where there is nothing to vary."""
        if self._payload is None:
            return ""
        return f"{'byte' if self._payload.datatype == BYTES else 'element'} of {self._payload.name}"

    @property
    def usual(self) -> int | None:
        """The size in measurements that do not vary it: the middle one of those given."""
        if self.sizes:
            return sorted(self.sizes)[len(self.sizes) // 2]
        return TEXT_BYTES if self._payload is not None and self._payload.datatype == BYTES else None

    def tensors(self, rows: int, size: int | None = None) -> list[Tensor]:
        """The inputs of a request with that many rows and a payload of that size (or `usual`)."""
        return [self._tensor(each, rows, self.usual if size is None else size) for each in self._sent]

    def _tensor(self, tensor: ModelInput, rows: int, size: int | None) -> Tensor:
        dims = self._dims(tensor, size if tensor is self._payload else None)
        shape = (rows, *dims) if self._model.max_rows else dims
        text_bytes = size if size is not None and tensor is self._payload else TEXT_BYTES
        element = self._element(tensor, text_bytes)
        return Tensor(tensor.name, tensor.datatype, shape, element * prod(shape))

    def _dims(self, tensor: ModelInput, size: int | None) -> tuple[int, ...]:
        """Its shape without the batch dimension, with a length for each."""
        if (given := self._wishes.shapes.get(tensor.name)) is not None:
            fits = len(given) == len(tensor.dims) and all(
                its in {ANY_LENGTH, mine} for mine, its in zip(given, tensor.dims, strict=True)
            )
            if not fits:
                raise ProfilingError(f"{self._model.name}: --shape {_named(tensor, given)} does not fit {tensor}")
            return given
        fill = 1 if tensor.datatype == BYTES else size
        if ANY_LENGTH in tensor.dims and fill is None:
            example = _named(tensor, [16 if length == ANY_LENGTH else length for length in tensor.dims])
            raise ProfilingError(f"{self._model.name}: {tensor} has no fixed shape; give one: --shape {example}")
        return tuple(fill if length == ANY_LENGTH and fill is not None else length for length in tensor.dims)

    def _element(self, tensor: ModelInput, text_bytes: int) -> bytes:
        value = self._wishes.values.get(tensor.name)
        if tensor.datatype == BYTES:
            text = value.encode() if value is not None else (TEXT * (text_bytes // len(TEXT) + 1))[:text_bytes]
            return struct.pack("<I", len(text)) + text
        letter = _FORMATS.get(tensor.datatype)
        if letter is None:
            raise ProfilingError(f"{self._model.name}: {tensor} has a data type that headway can't make")
        try:
            packed = struct.pack(f"<{letter}", _number(value, letter))
        except (ValueError, struct.error, OverflowError) as error:
            raise ProfilingError(f"--value {tensor.name}:{value} is no {tensor.datatype}") from error
        return packed[2:] if tensor.datatype == "BF16" else packed


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`NAME:16,3` of each. Raises `ValueError` with what is wrong."""
    shapes = {}
    for text in texts:
        name, _, lengths = text.rpartition(":")
        try:
            shape = tuple(int(length) for length in lengths.split(","))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise ValueError(f"'{text}' is not NAME:LENGTH,LENGTH,…, such as IMAGE:224,224,3")
        shapes[name] = shape
    return shapes


def parse_values(texts: Sequence[str]) -> dict[str, str]:
    """`NAME:VALUE` of each. Raises `ValueError` with what is wrong."""
    values = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not name or not colon:
            raise ValueError(f"'{text}' is not NAME:VALUE, such as MAX_TOKENS:32")
        values[name] = value
    return values


def parse_sizes(text: str) -> tuple[int, ...]:
    """`16,256,1024`, ascending. Raises `ValueError` with what is wrong."""
    try:
        sizes = sorted({int(item) for item in text.split(",")})
    except ValueError:
        sizes = [0]
    if sizes[0] < 1:
        raise ValueError(f"'{text}' is not a list of sizes, such as 16,256,1024")
    return tuple(sizes)


def doubling(largest: int) -> list[int]:
    """1, 2, 4, … and the largest."""
    return [*(1 << power for power in range((largest - 1).bit_length())), largest]


def _number(value: str | None, letter: str) -> bool | int | float:
    if letter == "?":
        if value not in {None, "true", "false"}:
            raise ValueError(value)
        return value != "false"
    if letter in "efd":
        return 0.5 if value is None else float(value)
    return 1 if value is None else int(value)


def _named(tensor: ModelInput, lengths: Sequence[int]) -> str:
    return f"{tensor.name}:{','.join(str(length) for length in lengths)}"
