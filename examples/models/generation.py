"""Text from a trained `ByteLM`, one byte per step, for several prompts at once.

`Batch` is the whole mechanism: prompts join and leave between bytes (continuous batching), and each step is one pass
of the network over all of them. Columns are aligned on the right, so that every row writes its next byte into the
same column.

    batch = Batch(model)
    batch.join([Prompt(b"The for statement", length=32)])
    while batch.rows:
        for prompt, byte, last in batch.next_bytes(): ...
        batch.advance()
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from byte_lm import VOCABULARY, ByteLM, LayerCache, distance_bias
from torch import Tensor

LONGEST_COMPLETION = 192
"""Bytes; leaves a quarter of the context of 256 to the prompt."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """What to continue, how far, and how to choose. Compared by identity: two equal prompts are two rows."""

    text: bytes
    """Only its end is read where it and the completion exceed the context; empty text counts as a new line."""
    length: int
    """Bytes to generate, 1 to `LONGEST_COMPLETION`."""
    temperature: float = 0.0
    """0 always takes the most likely byte; higher values choose more freely."""
    seed: int = 0
    """With the same seed, text and temperature, a prompt gets the same completion in any batch."""

    def __post_init__(self) -> None:
        """Refuse what cannot be generated."""
        if not 1 <= self.length <= LONGEST_COMPLETION:
            message = f"length is {self.length} and must be between 1 and {LONGEST_COMPLETION}"
            raise ValueError(message)
        if not 0.0 <= self.temperature <= 10.0:
            message = f"temperature is {self.temperature} and must be between 0 and 10"
            raise ValueError(message)


class Chosen(NamedTuple):
    """The next byte of one row."""

    prompt: Prompt
    byte: int
    last: bool
    """The row ends with this byte."""


class Batch:
    """The prompts being continued, with what the network remembers of them."""

    def __init__(self, model: ByteLM) -> None:
        self.rows: list[Prompt] = []
        self._model = model
        self._chance: list[torch.Generator] = []
        self._made: list[int] = []
        self._columns = 0
        self._caches: list[LayerCache] = []
        self._padding = torch.zeros(0, dtype=torch.long)
        self._logits = torch.zeros(0, VOCABULARY)
        self._chosen = torch.zeros(0, dtype=torch.long)

    def __repr__(self) -> str:
        """Rows and columns."""
        return f"<Batch {len(self.rows)} rows, {self._columns} columns>"

    @torch.inference_mode()
    def join(self, prompts: Sequence[Prompt]) -> None:
        """Read the prompts, in one pass, and add them to the batch. Call it before `next_bytes`, not after."""
        if not prompts:
            return
        shape = self._model.shape
        texts = [(prompt.text or b"\n")[-(shape.context - prompt.length) :] for prompt in prompts]
        columns = max(len(text) for text in texts)
        tokens = torch.tensor([[0] * (columns - len(text)) + list(text) for text in texts])
        padding = torch.tensor([columns - len(text) for text in texts])
        caches = [
            LayerCache(*torch.zeros(2, len(prompts), shape.heads, shape.context, shape.head_width).unbind())
            for _ in range(shape.layers)
        ]
        bias = distance_bias(shape, padding, columns, columns)
        logits = self._model(tokens, bias, caches, 0, last=1)[:, -1]
        if self.rows:
            wider = max(columns, self._columns)
            caches = [
                LayerCache(
                    torch.cat([_moved(old.keys, self._columns, wider), _moved(new.keys, columns, wider)]),
                    torch.cat([_moved(old.values, self._columns, wider), _moved(new.values, columns, wider)]),
                )
                for old, new in zip(self._caches, caches, strict=True)
            ]
            padding = torch.cat([self._padding + (wider - self._columns), padding + (wider - columns)])
            logits = torch.cat([self._logits, logits])
            columns = wider
        self._caches, self._padding, self._logits, self._columns = caches, padding, logits, columns
        self.rows = [*self.rows, *prompts]
        self._chance += [torch.Generator().manual_seed(prompt.seed) for prompt in prompts]
        self._made += [0] * len(prompts)

    @torch.inference_mode()
    def next_bytes(self) -> list[Chosen]:
        """Choose the next byte of every row."""
        chosen = self._logits.argmax(-1)
        free = [index for index, prompt in enumerate(self.rows) if prompt.temperature > 0.0]
        if free:
            temperatures = torch.tensor([self.rows[index].temperature for index in free]).unsqueeze(1)
            chances = torch.softmax(self._logits[free] / temperatures, -1).cumsum(-1)
            drawn = torch.stack([torch.rand(1, generator=self._chance[index]) for index in free])
            # Scaled by the last sum, which rounding can leave a little under or over 1.
            chosen[free] = torch.searchsorted(chances, drawn * chances[:, -1:]).clamp_max(VOCABULARY - 1).squeeze(1)
        self._chosen = chosen
        self._made = [made + 1 for made in self._made]
        return [
            Chosen(prompt, byte, last=made == prompt.length)
            for prompt, byte, made in zip(self.rows, chosen.tolist(), self._made, strict=True)
        ]

    @torch.inference_mode()
    def advance(self, leaving: Container[Prompt] = ()) -> None:
        """Let finished rows and those in `leaving` go, then run the others' chosen bytes through the network."""
        staying = [
            index
            for index, prompt in enumerate(self.rows)
            if self._made[index] < prompt.length and prompt not in leaving
        ]
        if len(staying) < len(self.rows):
            self._keep(staying)
        if not self.rows:
            return
        self._columns += 1
        bias = distance_bias(self._model.shape, self._padding, self._columns, 1)
        self._logits = self._model(self._chosen.unsqueeze(1), bias, self._caches, self._columns - 1, last=1)[:, -1]

    def _keep(self, staying: list[int]) -> None:
        self.rows = [self.rows[index] for index in staying]
        self._chance = [self._chance[index] for index in staying]
        self._made = [self._made[index] for index in staying]
        if not staying:
            self._columns, self._caches = 0, []
            return
        self._chosen = self._chosen[staying]
        # Columns that only rows now gone had used are dropped, so that no row ever outgrows the context.
        unused = int(self._padding[staying].min())
        self._padding = self._padding[staying] - unused
        self._caches = [
            LayerCache(
                _moved(cache.keys[staying], self._columns, self._columns - unused),
                _moved(cache.values[staying], self._columns, self._columns - unused),
            )
            for cache in self._caches
        ]
        self._columns -= unused


def _moved(held: Tensor, columns: int, wanted: int) -> Tensor:
    """Align the first `columns` columns so that they end at `wanted`: shifted right behind zeros, or left."""
    if columns == wanted:
        return held
    aligned = torch.zeros_like(held)
    kept = min(columns, wanted)
    aligned[:, :, wanted - kept : wanted] = held[:, :, columns - kept : columns]
    return aligned


def complete(model: ByteLM, prompts: Sequence[Prompt]) -> list[bytes]:
    """The completions of all prompts, generated together."""
    made: dict[Prompt, bytearray] = {prompt: bytearray() for prompt in prompts}
    batch = Batch(model)
    batch.join(prompts)
    while batch.rows:
        for chosen in batch.next_bytes():
            made[chosen.prompt].append(chosen.byte)
        batch.advance()
    return [bytes(made[prompt]) for prompt in prompts]
