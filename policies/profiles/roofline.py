"""Profiles of large language models, computed from what a GPU can move and multiply: a roofline.

A decoding step reads all weights and the keys and values of every sequence: bytes / (bandwidth × its utilisation), and
takes a fixed time for each layer. Reading a prompt multiplies each weight with each token: 2 × parameters × tokens /
(arithmetic rate × its utilisation), and a fixed time (S. Williams et al., "Roofline", CACM 52(4), 2009; the counts are
those of Pope et al., "Efficiently Scaling Transformer Inference", arXiv:2211.05102, section 3). Utilisation and fixed
times are fitted to published measurements, `PUBLISHED_*` below, of one model on one GPU; that they hold for other sizes
and other GPUs is an assumption.

    python -m policies.profiles.roofline                     writes the shipped files again
    python -m policies.profiles.roofline --gpu h100-sxm --out DIR
    python -m policies.profiles.roofline --gpu mine --gigabytes-per-second 1555 --teraflops 312 --out DIR
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.profile import Profile, TokenProfile
from policies.profile_file import SHIPPED, Origin, ProfileEntry, write_entries

BYTES_PER_NUMBER = 2
"""bf16 and fp16."""

CONTEXT_TOKENS = 1024
"""Of a sequence in the running batch, prompt and what is written so far: half of the prompts' limit, 2048."""
BATCHES = (1, 2, 4, 8, 16, 32)
PROMPT_TOKENS, ANSWER_TOKENS = 512, 128
"""Of the whole answers whose time stands under `latency`."""

COMPUTED_AT = "2026-11-22"
"""When the published figures were looked up and the shipped files computed."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """What its maker states."""

    name: str
    bytes_per_s: float
    """Memory bandwidth."""
    flops_per_s: float
    """Dense bf16 multiply and add operations a second, without sparsity."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama-like model. Key and value heads are `kv_width` wide in all."""

    name: str
    parameters: float
    layers: int
    kv_width: int

    @property
    def weight_bytes(self) -> float:
        """Of all weights."""
        return self.parameters * BYTES_PER_NUMBER

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of all layers."""
        return 2.0 * self.layers * self.kv_width * BYTES_PER_NUMBER


GPUS = {
    # NVIDIA's A100 data sheet: 80GB SXM, 2,039 GB/s, 312 TFLOPS bf16.
    "a100-sxm-80gb": Gpu("NVIDIA A100 SXM 80GB", 2039e9, 312e12),
    # NVIDIA's H100 data sheet: SXM, 3.35 TB/s; 1,979 TFLOPS bf16 are with sparsity, half of them without.
    "h100-sxm": Gpu("NVIDIA H100 SXM 80GB", 3350e9, 989.5e12),
}

LLAMA_7B = Shape("llama-7b", 6.74e9, 32, 4096)
"""Touvron et al., arXiv:2302.13971, table 2; the count of the published weights."""

SHAPES = (
    Shape("llama-1b", 1.10e9, 22, 256),  # TinyLlama 1.1B: 22 layers, 4 key and value heads of 64 (arXiv:2401.02385)
    LLAMA_7B,
    Shape("llama-13b", 13.02e9, 40, 5120),  # arXiv:2302.13971, table 2
)

PUBLISHED_PREFILL = ((128, 0.016), (2048, 0.133))
"""(prompt tokens, seconds to the first token) of LLaMA 7B, fp16, batch 1, one A100: TensorRT-LLM 0.5, "Low Latency"."""

PUBLISHED_THROUGHPUT = (
    (64, 128, 128, 3486.0),
    (32, 128, 2048, 1459.0),
    (32, 2048, 128, 529.0),
    (16, 2048, 2048, 592.0),
)
"""(batch, prompt tokens, answer tokens, answer tokens a second of all) of the same, from "High Throughput"."""

PUBLISHED_ON = GPUS["a100-sxm-80gb"]

SOURCES = (
    "https://github.com/NVIDIA/TensorRT-LLM/blob/release/0.5.0/docs/source/performance.md (October 2023): LLaMA 7B",
    "https://www.nvidia.com/en-us/data-center/a100/: bandwidth and arithmetic rate",
    "https://arxiv.org/abs/2302.13971: shapes of 7B and 13B",
    "https://arxiv.org/abs/2401.02385: shape of 1.1B",
)


@dataclass(frozen=True, slots=True)
class Fit:
    """What of a GPU's rates is used, and what every step takes besides."""

    bandwidth_share: float
    flops_share: float
    layer_s: float
    """Fixed time of a step or a prompt for each layer: kernels are started layer by layer."""
    prefill_weights: float
    """How much of the time that reading all weights takes a prompt costs besides, whatever its length."""


def fit() -> Fit:
    """The utilisation and fixed times that agree best with the published figures."""
    (short, short_s), (long, long_s) = PUBLISHED_PREFILL
    per_token_s = (long_s - short_s) / (long - short)
    flops_share = 2 * LLAMA_7B.parameters / (PUBLISHED_ON.flops_per_s * per_token_s)
    ideal, measured = [], []
    for batch, prompt, answer, rate in PUBLISHED_THROUGHPUT:
        # A prompt in a batch is taken to cost what it costs alone, beyond the fixed time.
        decoding_s = batch * answer / rate - batch * prompt * per_token_s
        measured.append(decoding_s / (answer - 1))
        ideal.append(_step_bytes(LLAMA_7B, batch, prompt + answer / 2) / PUBLISHED_ON.bytes_per_s)
    slope, step_base_s = line(ideal, measured)
    weights_s = LLAMA_7B.weight_bytes / PUBLISHED_ON.bytes_per_s * slope
    prefill_base_s = short_s - short * per_token_s
    return Fit(1 / slope, flops_share, step_base_s / LLAMA_7B.layers, (prefill_base_s - step_base_s) / weights_s)


def line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept of the least squares line. Raises ValueError when all `xs` are the same."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if not spread:
        raise ValueError("a line needs two places")
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    return slope, mean_y - slope * mean_x


def step_s(shape: Shape, gpu: Gpu, fitted: Fit, sequences: int, context: float = CONTEXT_TOKENS) -> float:
    """Seconds of one decoding step of that many sequences with a context of so many tokens each."""
    memory_s = _step_bytes(shape, sequences, context) / (gpu.bytes_per_s * fitted.bandwidth_share)
    arithmetic_s = 2 * shape.parameters * sequences / (gpu.flops_per_s * fitted.flops_share)
    return fitted.layer_s * shape.layers + max(memory_s, arithmetic_s)


def _step_bytes(shape: Shape, sequences: int, context: float) -> float:
    return shape.weight_bytes + sequences * context * shape.kv_bytes_per_token


def prefill_s(shape: Shape, gpu: Gpu, fitted: Fit) -> tuple[float, float]:
    """Fixed seconds of reading a prompt, and seconds of each of its tokens."""
    weights_s = shape.weight_bytes / (gpu.bytes_per_s * fitted.bandwidth_share)
    base_s = fitted.layer_s * shape.layers + fitted.prefill_weights * weights_s
    return base_s, 2 * shape.parameters / (gpu.flops_per_s * fitted.flops_share)


def profile(shape: Shape, gpu: Gpu, fitted: Fit) -> Profile:
    """The profile: streams of up to the largest batch, and whole answers of `ANSWER_TOKENS` by batch."""
    base_s, token_s = prefill_s(shape, gpu, fitted)
    steps = tuple((batch, step_s(shape, gpu, fitted, batch)) for batch in BATCHES)
    whole = []
    for batch in BATCHES:
        step = step_s(shape, gpu, fitted, batch, PROMPT_TOKENS + ANSWER_TOKENS / 2)
        whole.append((batch, base_s + batch * PROMPT_TOKENS * token_s + (ANSWER_TOKENS - 1) * step))
    return Profile(tuple(whole), tokens=TokenProfile(token_s, base_s, steps, BATCHES[-1]))


def entry(shape: Shape, gpu: Gpu, command: str) -> ProfileEntry:
    """The profile with its origin."""
    fitted = fit()
    milliseconds = " and ".join(f"{seconds * 1000:g} ms" for _, seconds in PUBLISHED_PREFILL)
    published = (
        "Published, in the first source: the first token of LLaMA 7B on an A100 after 128 and 2048 prompt tokens, "
        f"{milliseconds}, and its throughput at four settings."
    )
    here = shape is LLAMA_7B and gpu is PUBLISHED_ON
    computed = (
        f"Of this file {'the prefill goes through the published points; the rest' if here else 'everything'} is "
        f"computed: weights, keys and values over {fitted.bandwidth_share:.0%} of the bandwidth and "
        f"{fitted.layer_s * 1e6:.0f} microseconds a layer for each step; prompts at {fitted.flops_share:.0%} of the "
        "arithmetic rate."
    )
    settings = (
        f"bf16, {shape.parameters / 1e9:g} billion parameters; steps with {CONTEXT_TOKENS} tokens of context a "
        f"sequence; latency of {ANSWER_TOKENS} answer tokens after {PROMPT_TOKENS} prompt tokens; no spread is known."
    )
    notes = ("Not measured by headway.", published, computed, settings)
    origin = Origin("computed", COMPUTED_AT, command, gpus=(gpu.name,), notes=notes, sources=SOURCES)
    return ProfileEntry(shape.name, profile(shape, gpu, fitted), origin)


def main(arguments: Sequence[str]) -> int:
    """Write a file for each shape; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m policies.profiles.roofline", description="LLM profiles, computed.")
    parser.add_argument("--gpu", default="a100-sxm-80gb", help=f"one of {', '.join(GPUS)}, or any with both rates")
    parser.add_argument("--gigabytes-per-second", type=float, help="memory bandwidth, as the maker states it")
    parser.add_argument("--teraflops", type=float, help="dense bf16 rate, as the maker states it")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="DIR", help="default: the shipped profiles")
    options = parser.parse_args(arguments)
    rates = (options.gigabytes_per_second, options.teraflops)
    if None not in rates:
        gpu = Gpu(options.gpu, rates[0] * 1e9, rates[1] * 1e12)
    elif options.gpu in GPUS and rates == (None, None):
        gpu = GPUS[options.gpu]
    else:
        parser.error(f"--gpu is one of {', '.join(GPUS)}; another needs --gigabytes-per-second and --teraflops")
    options.out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "policies.profiles.roofline", *arguments])
    for shape in SHAPES:
        path = options.out / f"{shape.name}-{options.gpu.partition('-')[0]}.yaml"
        write_entries(path, [entry(shape, gpu, command)])
        print(path)  # noqa: T201 - a tool that says what it wrote
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
