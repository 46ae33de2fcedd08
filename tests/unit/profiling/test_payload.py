from __future__ import annotations

import struct

import pytest

from proxy.profiling.model import Model, ModelInput, ProfilingError
from proxy.profiling.payload import Payload, Wishes, doubling, parse_shapes, parse_sizes, parse_values

TEXT = ModelInput("TEXT", "BYTES", (1,))
IMAGE = ModelInput("IMAGE", "FP32", (-1, 2))
LENGTH = ModelInput("LENGTH", "INT32", (1,), optional=True)


def model(*inputs: ModelInput, max_rows: int = 8) -> Model:
    return Model("m", inputs, max_rows=max_rows)


def test_texts_have_the_size_asked_for() -> None:
    payload = Payload(model(TEXT), Wishes(sizes=(300, 5, 20)))
    assert (payload.sizes, payload.usual, payload.unit) == ((300, 5, 20), 20, "byte of TEXT")
    [tensor] = payload.tensors(2, 5)
    assert (tensor.name, tensor.datatype, tensor.shape) == ("TEXT", "BYTES", (2, 1))
    assert tensor.content == struct.pack("<I", 5) * 1 + b"The q" + struct.pack("<I", 5) + b"The q"
    assert len(payload.tensors(1, 300)[0].content) == 304


def test_an_open_dimension_has_the_size_asked_for() -> None:
    payload = Payload(model(IMAGE), Wishes(sizes=(3,)))
    [tensor] = payload.tensors(2)
    assert (tensor.shape, payload.unit) == ((2, 3, 2), "element of IMAGE")
    assert tensor.content == struct.pack("<f", 0.5) * 12


def test_without_a_batch_dimension_shapes_have_none() -> None:
    [tensor] = Payload(model(TEXT, max_rows=0), Wishes()).tensors(1)
    assert tensor.shape == (1,)


def test_optional_inputs_are_sent_when_they_are_named() -> None:
    assert [tensor.name for tensor in Payload(model(TEXT, LENGTH), Wishes()).tensors(1)] == ["TEXT"]
    _, length = Payload(model(TEXT, LENGTH), Wishes(values={"LENGTH": "32"})).tensors(3)
    assert (length.shape, length.content) == ((3, 1), struct.pack("<3i", 32, 32, 32))


@pytest.mark.parametrize(
    ("datatype", "value", "content"),
    [
        ("BOOL", None, b"\x01"),
        ("BOOL", "false", b"\x00"),
        ("INT8", "-1", b"\xff"),
        ("UINT16", "258", b"\x02\x01"),
        ("INT64", None, b"\x01" + bytes(7)),
        ("FP16", "1", b"\x00\x3c"),
        ("BF16", "1", b"\x80\x3f"),
        ("FP32", "1", b"\x00\x00\x80\x3f"),
        ("FP64", None, struct.pack("<d", 0.5)),
        ("BYTES", "hello", b"\x05\x00\x00\x00hello"),
    ],
)
def test_values_by_data_type(datatype: str, value: str | None, content: bytes) -> None:
    wishes = Wishes(values={} if value is None else {"X": value})
    assert Payload(model(ModelInput("X", datatype, (1,))), wishes).tensors(1)[0].content == content


@pytest.mark.parametrize(
    ("inputs", "wishes", "message"),
    [
        ((IMAGE,), Wishes(), r"m: IMAGE FP32\[-1,2\] has no fixed shape; give one: --shape IMAGE:16,2"),
        ((IMAGE,), Wishes(shapes={"IMAGE": (3, 3)}), r"--shape IMAGE:3,3 does not fit IMAGE FP32\[-1,2\]"),
        ((IMAGE,), Wishes(shapes={"IMAGE": (3,)}), r"--shape IMAGE:3 does not fit IMAGE FP32\[-1,2\]"),
        ((TEXT,), Wishes(shapes={"TXT": (1,)}), r"m has no input TXT; it has TEXT BYTES\[1\]"),
        ((TEXT,), Wishes(values={"TXT": "a"}), r"m has no input TXT; it has TEXT BYTES\[1\]"),
        ((TEXT, LENGTH), Wishes(values={"LENGTH": "many"}), "--value LENGTH:many is no INT32"),
        ((TEXT, LENGTH), Wishes(values={"LENGTH": "9999999999"}), "--value LENGTH:9999999999 is no INT32"),
        ((ModelInput("X", "COMPLEX", (1,)),), Wishes(), r"X COMPLEX\[1\] has a data type that headway can't make"),
        ((TEXT,), Wishes(values={"TEXT": "a"}, sizes=(3,)), "m has no input whose size can vary; leave --sizes out"),
    ],
)
def test_what_can_not_be_made_is_refused(inputs: tuple[ModelInput, ...], wishes: Wishes, message: str) -> None:
    with pytest.raises(ProfilingError, match=message):
        Payload(model(*inputs), wishes).tensors(1)


def test_a_shape_that_is_given_is_used() -> None:
    [tensor] = Payload(model(IMAGE), Wishes(shapes={"IMAGE": (4, 2)})).tensors(1)
    assert tensor.shape == (1, 4, 2)


def test_flags() -> None:
    assert parse_shapes(["IMAGE:224,224,3", "a:b:1"]) == {"IMAGE": (224, 224, 3), "a:b": (1,)}
    assert parse_values(["MAX_TOKENS:32", "TEXT:a:b"]) == {"MAX_TOKENS": "32", "TEXT": "a:b"}
    assert parse_sizes("64,16,64") == (16, 64)


@pytest.mark.parametrize("text", ["IMAGE", "IMAGE:", "IMAGE:2,0", "IMAGE:x", ":2"])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not NAME:LENGTH"):
        parse_shapes([text])


@pytest.mark.parametrize("text", ["MAX_TOKENS", ":3"])
def test_a_value_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not NAME:VALUE"):
        parse_values([text])


@pytest.mark.parametrize("text", ["", "1,a", "0,3"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not a list of sizes"):
        parse_sizes(text)


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_doubling(largest: int, sizes: list[int]) -> None:
    assert doubling(largest) == sizes
