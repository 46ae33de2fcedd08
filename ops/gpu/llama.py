"""Llama-like models with random weights: the arithmetic and the memory traffic of real ones, and no download.

How long a step takes does not depend on what the weights are. Touvron et al., arXiv:2302.13971: RMS norm, rotary
positions, SwiGLU; with fewer key and value heads than heads (Ainslie et al., arXiv:2305.13245) where the shape says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as nn
from torch import Tensor

ROTARY_BASE = 10_000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a model."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int = 32_000

    @property
    def head_width(self) -> int:
        """Of queries, keys and values."""
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        """Weights in all."""
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_width
        layer = attention + 3 * self.width * self.feed_forward + 2 * self.width
        return self.layers * layer + 2 * self.vocabulary * self.width + self.width


SHAPES = {
    "llama-1b": Shape(22, 2048, 32, 4, 5632),  # TinyLlama 1.1B, arXiv:2401.02385
    "llama-7b": Shape(32, 4096, 32, 32, 11008),  # arXiv:2302.13971, table 2
    "llama-13b": Shape(40, 5120, 40, 40, 13824),
    "tiny": Shape(2, 32, 4, 2, 64, 100),  # to try the program where there is no GPU
}


class Llama:
    """A model with its cache of keys and values, which has room for `rows` sequences of `context` tokens."""

    def __init__(self, shape: Shape, *, rows: int, context: int, device: torch.device, seed: int = 1) -> None:
        self.shape = shape
        self.device = device
        generator = torch.Generator(device).manual_seed(seed)

        def weights(*size: int) -> Tensor:
            made = torch.empty(size, dtype=torch.bfloat16, device=device)
            return made.normal_(0.0, 0.02, generator=generator)

        width, kv_width = shape.width, shape.kv_heads * shape.head_width
        self._embedding = weights(shape.vocabulary, width)
        self._head = weights(shape.vocabulary, width)
        self._scale = torch.ones(width, dtype=torch.bfloat16, device=device)
        self._layers = [
            (
                weights(width + 2 * kv_width, width),  # queries, keys, values
                weights(width, width),
                weights(2 * shape.feed_forward, width),  # gate and up
                weights(width, shape.feed_forward),
            )
            for _ in range(shape.layers)
        ]
        size = (shape.layers, 2, rows, shape.kv_heads, context, shape.head_width)
        self._cache = torch.zeros(size, dtype=torch.bfloat16, device=device)
        angles = torch.outer(
            torch.arange(context, device=device, dtype=torch.float32),
            ROTARY_BASE ** -(torch.arange(0, shape.head_width, 2, device=device) / shape.head_width),
        )
        self._cos, self._sin = angles.cos().bfloat16(), angles.sin().bfloat16()

    def __repr__(self) -> str:
        return f"<Llama {self.shape.parameters / 1e9:.2f} billion parameters on {self.device}>"

    @torch.inference_mode()
    def __call__(self, tokens: Tensor, position: int) -> Tensor:
        """The next token of each row, after `tokens` (rows × new tokens) from `position` on: a prompt, or a step."""
        x = self._embedding[tokens]
        end = position + tokens.shape[1]
        for index, (qkv, out, up, down) in enumerate(self._layers):
            x = x + self._attention(self._norm(x), index, qkv, position, end) @ out.T
            gate, value = (self._norm(x) @ up.T).chunk(2, dim=-1)
            x = x + (nn.silu(gate) * value) @ down.T
        return (self._norm(x[:, -1]) @ self._head.T).argmax(-1, keepdim=True)

    def _norm(self, x: Tensor) -> Tensor:
        return nn.rms_norm(x, (self.shape.width,), self._scale)

    def _attention(self, x: Tensor, layer: int, qkv: Tensor, position: int, end: int) -> Tensor:
        shape, rows = self.shape, x.shape[0]
        kv_width = shape.kv_heads * shape.head_width
        parts = torch.tensor_split(x @ qkv.T, (shape.width, shape.width + kv_width), dim=-1)
        query, key, value = (part.reshape(*x.shape[:2], -1, shape.head_width).transpose(1, 2) for part in parts)
        keys, values = (self._cache[layer, which, :rows, :, :end] for which in (0, 1))
        keys[:, :, position:] = self._rotated(key, position, end)
        values[:, :, position:] = value
        # A step sees all of the cache; of a prompt, each token sees those before it.
        mixed = nn.scaled_dot_product_attention(
            self._rotated(query, position, end),
            keys,
            values,
            is_causal=end - position > 1,
            enable_gqa=shape.kv_heads != shape.heads,
        )
        return mixed.transpose(1, 2).flatten(2)

    def _rotated(self, x: Tensor, position: int, end: int) -> Tensor:
        cos, sin = self._cos[position:end], self._sin[position:end]
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
