from __future__ import annotations

import pytest
import torch

from ops.gpu.llama import SHAPES, Llama
from policies.profiles.roofline import SHAPES as COMPUTED
from policies.profiles.roofline import Shape

CPU = torch.device("cpu")
TINY = SHAPES["tiny"]


@pytest.mark.parametrize("computed", COMPUTED, ids=lambda shape: shape.name)
def test_shapes_have_the_parameters_that_profiles_are_computed_with(computed: Shape) -> None:
    shape = SHAPES[computed.name]
    assert shape.parameters == pytest.approx(computed.parameters, rel=0.01)


def test_steps_through_the_cache_write_what_reading_everything_gives() -> None:
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
    whole = Llama(TINY, rows=2, context=8, device=CPU)(tokens, 0)
    stepped = Llama(TINY, rows=2, context=8, device=CPU)
    stepped(tokens[:, :4], 0)
    stepped(tokens[:, 4:5], 4)
    assert stepped(tokens[:, 5:], 5).tolist() == whole.tolist()


def test_rows_do_not_see_one_another() -> None:
    tokens = torch.tensor([[3, 1, 4], [2, 6, 5]])
    both = Llama(TINY, rows=2, context=4, device=CPU)(tokens, 0)
    alone = Llama(TINY, rows=2, context=4, device=CPU)(tokens[:1], 0)
    assert both[0].tolist() == alone[0].tolist()


def test_it_says_how_large_it_is() -> None:
    assert repr(Llama(TINY, rows=1, context=2, device=CPU)) == "<Llama 0.00 billion parameters on cpu>"
