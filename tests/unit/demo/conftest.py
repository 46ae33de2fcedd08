"""The scripts in examples/models import one another by bare name, as they do inside Triton; so do their tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples" / "models"))

import torch
from byte_lm import ByteLM, Shape

TINY = Shape(width=32, layers=2, head_width=16, context=48)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These models are too small for torch's threads to help, and the machine may be busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny_model() -> ByteLM:
    """Untrained, with weights large enough that different contexts give different bytes."""
    torch.manual_seed(5)
    model = ByteLM(TINY)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval().requires_grad_(requires_grad=False)
