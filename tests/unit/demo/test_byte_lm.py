from __future__ import annotations

from pathlib import Path

import torch
from byte_lm import ByteLM, LayerCache, Shape, distance_bias, load, save

NO_PADDING = torch.zeros(1, dtype=torch.long)


def empty_caches(shape: Shape, rows: int) -> list[LayerCache]:
    size = (rows, shape.heads, shape.context, shape.head_width)
    return [LayerCache(torch.zeros(size), torch.zeros(size)) for _ in range(shape.layers)]


def test_distance_bias_penalises_distance_and_hides_the_future() -> None:
    bias = distance_bias(Shape(width=32, layers=1, head_width=16), NO_PADDING, columns=3, queries=3)
    minus_infinity = float("-inf")
    assert bias.shape == (1, 2, 3, 3)
    assert bias[0, 0].tolist() == [
        [0.0, minus_infinity, minus_infinity],
        [-0.0625, 0.0, minus_infinity],
        [-0.125, -0.0625, 0.0],
    ]
    assert bias[0, 1, 2].tolist() == [-0.0078125, -0.00390625, 0.0]


def test_distance_bias_hides_padding_from_all_but_itself() -> None:
    bias = distance_bias(Shape(width=16, layers=1, head_width=16), torch.tensor([2, 0]), columns=4, queries=4)
    seen = (bias[:, 0] > float("-inf")).int()
    assert seen[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert seen[1].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_reading_with_a_cache_equals_reading_at_once(tiny_model: ByteLM) -> None:
    shape = tiny_model.shape
    tokens = torch.tensor([list(b"one byte after another")])
    length = tokens.shape[1]
    at_once = tiny_model(tokens, distance_bias(shape, NO_PADDING, length, length))
    caches = empty_caches(shape, rows=1)
    steps = [
        tiny_model(tokens[:, column : column + 1], distance_bias(shape, NO_PADDING, column + 1, 1), caches, column)
        for column in range(length)
    ]
    torch.testing.assert_close(torch.cat(steps, dim=1), at_once, rtol=1e-4, atol=1e-4)


def test_padding_on_the_left_changes_nothing(tiny_model: ByteLM) -> None:
    shape = tiny_model.shape
    alone = tiny_model(torch.tensor([list(b"abc")]), distance_bias(shape, NO_PADDING, 3, 3))
    padded = tiny_model(torch.tensor([[9, 9, *b"abc"]]), distance_bias(shape, torch.tensor([2]), 5, 5))
    torch.testing.assert_close(padded[:, 2:], alone, rtol=1e-4, atol=1e-4)


def test_the_last_positions_alone_can_be_asked_for(tiny_model: ByteLM) -> None:
    tokens = torch.tensor([list(b"abcde")])
    bias = distance_bias(tiny_model.shape, NO_PADDING, 5, 5)
    torch.testing.assert_close(tiny_model(tokens, bias, last=2), tiny_model(tokens, bias)[:, -2:])


def test_a_saved_model_comes_back_with_its_shape(tiny_model: ByteLM, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny_model, path)
    loaded = load(path)
    assert loaded.shape == Shape(width=32, layers=2, head_width=16, context=48)
    assert not loaded.training
    assert loaded.embedding.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.embedding.weight, tiny_model.embedding.weight, rtol=1e-3, atol=1e-3)


def test_parameter_count() -> None:
    # embedding 256 x 32; a layer has 12 x 32 x 32 in matrices and two norms of 32; one norm at the end
    assert ByteLM(Shape(width=32, layers=2, head_width=16)).parameter_count() == 8192 + 2 * (12288 + 64) + 32
