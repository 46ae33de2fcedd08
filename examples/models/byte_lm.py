"""A decoder-only transformer over bytes: the network of the demo's three language models.

One definition serves training (`train.py`) and generation (`generation.py`). Position comes from a penalty on
attention that grows with distance (ALiBi, Press et al. 2022), so only the distance between two bytes matters: a batch
of prompts of different lengths can be padded on the left and still give every row exactly what it would get alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 256
"""One token is one byte, so no tokenizer is needed and text length in bytes is work in tokens."""


@dataclass(frozen=True)
class Shape:
    """The size of one model."""

    width: int
    """Numbers per position between layers."""
    layers: int
    """Blocks of attention and feed-forward, one after the other."""
    head_width: int = 32
    """Numbers per attention head; `width` must be a multiple."""
    context: int = 256
    """Bytes of prompt and completion together that the model was trained on."""

    @property
    def heads(self) -> int:
        """Attention heads per layer."""
        return self.width // self.head_width


@dataclass
class LayerCache:
    """Keys and values that one layer has seen, each rows x heads x columns x head width."""

    keys: Tensor
    values: Tensor


def distance_bias(shape: Shape, padding: Tensor, columns: int, queries: int) -> Tensor:
    """What to add to attention scores: the distance penalty, and minus infinity where a query may not look.

    `padding` holds, for each row, how many columns on its left are filler. The last `queries` of the `columns` ask. A
    filler position looks at itself only: with nothing to look at, softmax would give NaN, and a NaN spreads to the
    columns that count.
    """
    heads = shape.heads
    slopes = torch.tensor([2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)])
    asking = torch.arange(columns - queries, columns).view(-1, 1)
    asked = torch.arange(columns).view(1, -1)
    bias = slopes.view(1, heads, 1, 1) * (asked - asking)
    hidden = (asked > asking) | ((asked < padding.view(-1, 1, 1)) & (asked != asking))
    return bias.masked_fill(hidden.unsqueeze(1), float("-inf"))


class Block(nn.Module):
    """Attention, then feed-forward, each on the normalised input and added to it."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = nn.RMSNorm(shape.width)
        self.queries_keys_values = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.attention_out = nn.Linear(shape.width, shape.width, bias=False)
        self.feed_norm = nn.RMSNorm(shape.width)
        self.feed_in = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.feed_out = nn.Linear(4 * shape.width, shape.width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, bias: Tensor, cache: LayerCache | None, column: int) -> Tensor:
        """One layer; with a cache, its new keys and values go in from `column` on and all columns up to them are
        read."""
        rows, length, width = hidden.shape
        projected = self.queries_keys_values(self.attention_norm(hidden))
        queries, keys, values = projected.view(rows, length, 3, self.shape.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            end = column + length
            cache.keys[:, :, column:end] = keys
            cache.values[:, :, column:end] = values
            keys, values = cache.keys[:, :, :end], cache.values[:, :, :end]
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        mixed = mixed.transpose(1, 2).reshape(rows, length, width)
        hidden = hidden + self.dropout(self.attention_out(mixed))
        # Squared ReLU (So et al. 2021) costs less on a CPU than GELU.
        fed = self.feed_out(functional.relu(self.feed_in(self.feed_norm(hidden))).square())
        added: Tensor = hidden + self.dropout(fed)
        return added


class ByteLM(nn.Module):
    """Logits of the next byte at every position."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(VOCABULARY, shape.width)
        blocks = [Block(shape, dropout) for _ in range(shape.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(shape.width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in blocks:
            # A block that adds nothing at first lets the residual path carry the gradient of an untrained network.
            nn.init.zeros_(block.attention_out.weight)
            nn.init.zeros_(block.feed_out.weight)

    def forward(
        self, tokens: Tensor, bias: Tensor, caches: list[LayerCache] | None = None, column: int = 0, last: int = 0
    ) -> Tensor:
        """`tokens` is rows x length; answers rows x length x 256, or only the `last` positions of each row where that
        is given."""
        hidden = self.dropout(functional.rms_norm(self.embedding(tokens), (self.shape.width,)))
        for index, block in enumerate(self.blocks):
            hidden = block(hidden, bias, None if caches is None else caches[index], column)
        if last:
            hidden = hidden[:, -last:]
        return functional.linear(self.norm(hidden), self.embedding.weight)

    def parameter_count(self) -> int:
        """Trained numbers; the embedding counts once though it also makes the logits."""
        return sum(parameter.numel() for parameter in self.parameters())


def save(model: ByteLM, path: Path) -> None:
    """Write the weights as 16-bit floats, with the shape in the file's own metadata."""
    weights = {name: value.detach().to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(weights, path, metadata={"shape": json.dumps(asdict(model.shape))})


def load(path: Path) -> ByteLM:
    """Read what `save` wrote, ready to generate: 32-bit floats, since CPUs multiply those faster than 16-bit ones."""
    with safe_open(path, framework="pt") as file:
        shape = Shape(**json.loads(file.metadata()["shape"]))
        weights = {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    model = ByteLM(shape)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(requires_grad=False)
