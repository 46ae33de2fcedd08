"""Train the demo's three language models and measure their quality.

    python examples/models/train.py --bfloat16          all three, as shipped
    python examples/models/train.py large --steps 3000  one of them, longer
    python examples/models/train.py small --out /tmp/m  somewhere else

Reads the help topics that Python carries (see corpus.py), trains on nine tenths of them and scores on the rest.
Writes, for each size, DIR/llm-SIZE/1/model.safetensors (16-bit weights) and DIR/llm-SIZE/metadata.json, whose
`quality` is the share of held-out bytes that the saved model predicts right as its first guess: the number to put
under `quality` in a headway route.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from byte_lm import VOCABULARY, ByteLM, Shape, distance_bias, load, save
from corpus import Corpus, build_corpus
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Training:
    """Everything that decides the outcome, apart from the text."""

    steps: int
    """Optimizer steps."""
    rows: int = 8
    """Pieces of text per step, each `Shape.context` bytes long."""
    matrix_rate: float = 0.02
    """Highest learning rate of the matrices in the blocks, trained by Muon."""
    other_rate: float = 3e-3
    """Highest learning rate of the embedding and the norms, trained by AdamW."""
    warmup_steps: int = 20
    """Steps over which the rates rise from 0; after them they fall along a cosine to a twentieth."""
    weight_decay: float = 0.01
    """Of the matrices."""
    dropout: float = 0.1
    """Share of each block's output that is left out at random."""
    seed: int = 1
    """For the first weights, the order of the text and dropout."""
    bfloat16: bool = False
    """Multiply in bfloat16: twice as fast where the processor has instructions for it, slower elsewhere."""


@dataclass(frozen=True)
class Score:
    """What the saved model does on the held-out text."""

    quality: float
    """Share of bytes whose most likely prediction was right."""
    bits_per_byte: float
    """Mean negative log2 of the probability that the right byte had."""
    held_out_bytes: int
    """Bytes that were predicted."""


RECIPES: dict[str, tuple[Shape, Training]] = {
    "small": (Shape(width=64, layers=2), Training(steps=1500)),
    "medium": (Shape(width=96, layers=3), Training(steps=1500)),
    "large": (Shape(width=192, layers=6), Training(steps=2000)),
}


def rate_factor(step: int, training: Training) -> float:
    """The share of the highest learning rate that step number `step`, from 0, uses."""
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    done = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * done))


def optimizers(model: ByteLM, training: Training) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside blocks, AdamW for the rest, as Muon's author advises."""
    matrices = [parameter for parameter in model.blocks.parameters() if parameter.ndim == 2]
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=training.matrix_rate, weight_decay=training.weight_decay),
        torch.optim.AdamW(others, lr=training.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def train(shape: Shape, training: Training, text: bytes, progress: Progress, label: str) -> ByteLM:
    """Train one model from nothing."""
    torch.manual_seed(training.seed)
    picker = torch.Generator().manual_seed(training.seed)
    model = ByteLM(shape, training.dropout).train()
    stepping = optimizers(model, training)
    highest = [[group["lr"] for group in optimizer.param_groups] for optimizer in stepping]
    data = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    bias = distance_bias(shape, torch.zeros(1, dtype=torch.long), shape.context, shape.context)
    offsets = torch.arange(shape.context + 1)
    task = progress.add_task(label, total=training.steps, bits=8.0)
    smoothed = 8.0
    for step in range(training.steps):
        starts = torch.randint(len(data) - shape.context, (training.rows, 1), generator=picker)
        pieces = data[starts + offsets].long()
        with torch.autocast("cpu", torch.bfloat16, enabled=training.bfloat16):
            logits = model(pieces[:, :-1], bias)
        loss = functional.cross_entropy(logits.float().reshape(-1, VOCABULARY), pieces[:, 1:].reshape(-1))
        loss.backward()  # type: ignore[no-untyped-call]
        factor = rate_factor(step, training)
        for optimizer, rates in zip(stepping, highest, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        smoothed += 0.05 * (loss.item() / math.log(2) - smoothed)
        progress.update(task, advance=1, bits=smoothed)
    return model.eval()


@torch.inference_mode()
def score(model: ByteLM, text: bytes) -> Score:
    """Predict every byte of `text` but the first, each from the half to whole context of bytes before it."""
    context = model.shape.context
    stride = context // 2
    data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    right = 0
    nats = 0.0
    counted = 0
    for start in range(0, len(data) - 1, stride):
        piece = data[start : start + context + 1]
        length = len(piece) - 1
        bias = distance_bias(model.shape, torch.zeros(1, dtype=torch.long), length, length)
        # The first piece counts whole; of the others, what the piece before has not counted yet.
        skip = 0 if start == 0 else context - stride
        if skip >= length:
            break
        logits: Tensor = model(piece[:-1].unsqueeze(0), bias)[0, skip:]
        wanted = piece[1 + skip :]
        right += int((logits.argmax(-1) == wanted).sum())
        nats += float(functional.cross_entropy(logits, wanted, reduction="sum"))
        counted += len(wanted)
    return Score(quality=right / counted, bits_per_byte=nats / counted / math.log(2), held_out_bytes=counted)


def metadata(size: str, model: ByteLM, training: Training, corpus: Corpus, scored: Score) -> dict[str, object]:
    """What the model's metadata.json says."""
    return {
        "model": f"llm-{size}",
        "quality": round(scored.quality, 4),
        "quality_is": "next-byte accuracy on held-out text",
        "bits_per_byte": round(scored.bits_per_byte, 4),
        "held_out_bytes": scored.held_out_bytes,
        "parameters": model.parameter_count(),
        "shape": asdict(model.shape),
        "training": asdict(training),
        "text": {
            "source": "pydoc_data.topics",
            "python": corpus.python,
            "training_bytes": len(corpus.training),
            "sha256": corpus.sha256,
        },
        "torch": torch.__version__.partition("+")[0],
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Time grows with --steps; a fifth of the recipe's is enough for a first look. With --bfloat16 one idle "
        "core of a 2024 server trains small in 1 minute, medium in 4 and large in 12.",
    )
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help="small, medium or large; all three if none is named")
    parser.add_argument(
        "--out", type=Path, default=HERE / "repository", help="model repository to write to (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, help="optimizer steps, instead of the recipe's; time grows in proportion")
    parser.add_argument(
        "--seed", type=int, default=1, help="decides first weights, order of text and dropout (default: 1)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; another count changes the last digits (default: 1)"
    )
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="multiply in bfloat16: about twice as fast on processors with AVX512-BF16 or AMX",
    )
    chosen = parser.parse_args(arguments)
    unknown = [size for size in chosen.sizes if size not in RECIPES]
    if unknown:
        parser.error(f"no such size: {', '.join(unknown)} (choose from {', '.join(RECIPES)})")
    if chosen.steps is not None and chosen.steps < 1:
        parser.error("--steps must be at least 1")
    return chosen


def main(arguments: Sequence[str] | None = None, corpus: Corpus | None = None) -> None:
    """Train and score each size that was asked for, on this Python's text unless another is given."""
    chosen = parse(arguments)
    console = Console()
    torch.set_num_threads(chosen.threads)
    corpus = corpus or build_corpus()
    sizes = f"{len(corpus.training)} bytes to learn, {len(corpus.held_out)} held out"
    console.print(f"Text: the help topics of Python {corpus.python}, {sizes}")
    columns = (
        TextColumn("{task.description:>7}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bits]:.3f} bits/byte"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    for size in chosen.sizes or RECIPES:
        shape, recipe = RECIPES[size]
        settings = asdict(recipe) | {"seed": chosen.seed, "bfloat16": chosen.bfloat16}
        training = Training(**(settings | ({"steps": chosen.steps} if chosen.steps else {})))
        started_at = time.monotonic()
        with Progress(*columns, console=console) as progress:
            model = train(shape, training, corpus.training, progress, size)
        folder = chosen.out / f"llm-{size}"
        weights = folder / "1" / "model.safetensors"
        weights.parent.mkdir(parents=True, exist_ok=True)
        save(model, weights)
        saved = load(weights)
        scored = score(saved, corpus.held_out)
        description = metadata(size, saved, training, corpus, scored)
        (folder / "metadata.json").write_text(json.dumps(description, indent=2) + "\n")
        console.print(
            f"llm-{size}: {saved.parameter_count()} parameters, {weights.stat().st_size} bytes, "
            f"quality {scored.quality:.4f}, {scored.bits_per_byte:.3f} bits/byte, {time.monotonic() - started_at:.0f} s"
        )


if __name__ == "__main__":
    main()
