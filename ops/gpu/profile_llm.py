"""Profiles of 1, 7 and 13 billion parameter language models on a GPU: random weights, bf16, measured with torch.

    python -m ops.gpu.profile_llm --out policies/profiles
    python -m ops.gpu.profile_llm --model tiny --device cpu --batches 1,2 --prompts 8,16 --context 16 --out /tmp/p

Writes a profile file for each model: reading prompts of several lengths, decoding steps of 1 to 32 sequences, and whole
answers by batch, which are a batch's prompts and its steps added up. On a GPU a step is a CUDA graph, as in servers.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from ops.gpu.llama import SHAPES, Llama
from policies.profile import Profile, TokenProfile
from policies.profile_file import Origin, Point, ProfileEntry, write_entries
from policies.profiles.roofline import line
from proxy.profiling.machine import cores, cpu_name
from proxy.profiling.samples import point

ANSWER_TOKENS = 128
"""Of the whole answers whose time stands under `latency`."""

WARM_UP = 3
"""Runs whose times are thrown away: the first ones choose kernels."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured of each model."""

    batches: tuple[int, ...]
    prompts: tuple[int, ...]
    context: int
    """Tokens of each sequence in the measured steps."""
    answer_prompt: int
    """Prompt tokens of the whole answers."""
    repeats: int


def measure(name: str, plan: Plan, device: torch.device, origin: Origin) -> ProfileEntry:
    """The profile of one model."""
    shape = SHAPES[name]
    longest = max(plan.context, *plan.prompts, plan.answer_prompt + ANSWER_TOKENS)
    model = Llama(shape, rows=plan.batches[-1], context=longest, device=device)
    firsts = [_point("first_token", length, _prompt(model, 1, length), plan, device) for length in plan.prompts]
    steps = [_point("next_token", rows, _step(model, rows, plan.context), plan, device) for rows in plan.batches]
    wholes = [_whole(model, rows, plan, device) for rows in plan.batches]
    token_s, base_s = line([each.at for each in firsts], [each.median_s for each in firsts])
    if base_s < 0 or token_s < 0:  # where prompts are so short that noise decides
        token_s, base_s = 0.0, min(each.median_s for each in firsts)
    profile = Profile(
        tuple((each.at, each.median_s) for each in wholes),
        tokens=TokenProfile(
            token_s, base_s, tuple((each.at, each.median_s) for each in steps), max_sequences=plan.batches[-1]
        ),
    )
    return ProfileEntry(name, profile, origin, (*firsts, *steps, *wholes))


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """How long each of the runs takes on the device, after `WARM_UP` others."""
    samples = []
    for run in range(WARM_UP + repeats):
        _wait(device)
        began_at = time.perf_counter()
        work()
        _wait(device)
        if run >= WARM_UP:
            samples.append(time.perf_counter() - began_at)
    return samples


def _point(kind: str, at: int, work: Callable[[], object], plan: Plan, device: torch.device) -> Point:
    return point(kind, at, seconds(work, plan.repeats, device))


def _whole(model: Llama, rows: int, plan: Plan, device: torch.device) -> Point:
    """A batch's prompts and its steps, each with half of the answer written."""
    prompts = seconds(_prompt(model, rows, plan.answer_prompt), plan.repeats, device)
    steps = seconds(_step(model, rows, plan.answer_prompt + ANSWER_TOKENS // 2), plan.repeats, device)
    samples = [prompt + (ANSWER_TOKENS - 1) * step for prompt, step in zip(prompts, steps, strict=True)]
    return point("batch", rows, samples)


def _prompt(model: Llama, rows: int, length: int) -> Callable[[], object]:
    tokens = torch.ones((rows, length), dtype=torch.long, device=model.device)
    return lambda: model(tokens, 0)


def _step(model: Llama, rows: int, context: int) -> Callable[[], object]:
    tokens = torch.ones((rows, 1), dtype=torch.long, device=model.device)
    if model.device.type != "cuda":
        return lambda: model(tokens, context - 1)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # kernels are chosen before they are recorded
        for _ in range(WARM_UP):
            model(tokens, context - 1)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(tokens, context - 1)
    return graph.replay


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _origin(device: torch.device, plan: Plan, arguments: Sequence[str]) -> Origin:
    cuda = device.type == "cuda"
    steps = "Steps are CUDA graphs" if cuda else "Steps are run by Python, kernel by kernel"
    whole = (
        f"latency: {plan.answer_prompt} prompt tokens and {ANSWER_TOKENS} answer tokens; a batch's prompts and "
        f"{ANSWER_TOKENS - 1} of its steps added up. No server is in the way."
    )
    notes = (f"Random weights, bf16. {steps}, with {plan.context} tokens of context a sequence.", whole)
    return Origin(
        "measured",
        datetime.now(UTC).isoformat(timespec="seconds"),
        shlex.join(["python", "-m", "ops.gpu.profile_llm", *arguments]),
        server=f"torch {torch.__version__}",
        cpu=cpu_name(),
        cores=cores(),
        gpus=(torch.cuda.get_device_name(),) if cuda else (),
        notes=notes,
    )


def _numbers(text: str) -> tuple[int, ...]:
    numbers = sorted({int(item) for item in text.split(",")})
    if numbers[0] < 1:
        raise ValueError(text)
    return tuple(numbers)


def main(arguments: Sequence[str]) -> int:
    """Measure and write a file for each model; the exit code."""
    large = [name for name in SHAPES if name != "tiny"]
    parser = argparse.ArgumentParser(prog="python -m ops.gpu.profile_llm", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", action="append", choices=SHAPES, help=f"default: {', '.join(large)}; repeatable")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where MODEL-GPU.yaml goes")
    parser.add_argument("--device", default="cuda", help="of torch; default: cuda")
    parser.add_argument("--batches", type=_numbers, default=(1, 2, 4, 8, 16, 32), metavar="1,2,…", help="from 1 on")
    parser.add_argument("--prompts", type=_numbers, default=(128, 512, 1024, 2048), metavar="N,N,…", help="tokens")
    parser.add_argument("--context", type=int, default=1024, help="tokens of a sequence in the steps; default: 1024")
    parser.add_argument("--answer-prompt", type=int, default=512, help="prompt tokens of whole answers; default: 512")
    parser.add_argument("--repeats", type=int, default=30, help="of each measurement; default: 30")
    options = parser.parse_args(arguments)
    if options.batches[0] != 1 or len(options.prompts) < 2:
        parser.error("--batches begins with 1, and --prompts has at least two lengths")
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu is for trying the program")
    plan = Plan(options.batches, options.prompts, options.context, options.answer_prompt, options.repeats)
    options.out.mkdir(parents=True, exist_ok=True)
    place = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    origin = _origin(device, plan, arguments)
    for name in options.model or large:
        print(f"{name}: {SHAPES[name].parameters / 1e9:.2f} billion parameters on {place} …", file=sys.stderr)
        path = options.out / f"{name}-{re.sub('[^a-z0-9]+', '-', place.lower()).strip('-')}.yaml"
        write_entries(path, [measure(name, plan, device, origin)])
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
