from __future__ import annotations

import pytest
import torch
from byte_lm import ByteLM, distance_bias
from generation import Batch, Prompt, complete


def without_cache(model: ByteLM, text: bytes, length: int) -> bytes:
    """Greedy generation that reads everything again for each byte."""
    read = list(text)
    for _ in range(length):
        bias = distance_bias(model.shape, torch.zeros(1, dtype=torch.long), len(read), len(read))
        with torch.inference_mode():
            read.append(int(model(torch.tensor([read]), bias)[0, -1].argmax()))
    return bytes(read[len(text) :])


def finish(batch: Batch, made: dict[Prompt, bytearray]) -> None:
    while batch.rows:
        for prompt, byte, _ in batch.next_bytes():
            made[prompt].append(byte)
        batch.advance()


def test_generation_with_a_cache_equals_generation_without(tiny_model: ByteLM) -> None:
    (completion,) = complete(tiny_model, [Prompt(b"some text", 20)])
    assert completion == without_cache(tiny_model, b"some text", 20)


def test_a_batch_gives_each_prompt_what_it_gets_alone(tiny_model: ByteLM) -> None:
    prompts = [
        Prompt(b"a", 12),
        Prompt(b"a much longer prompt", 5),
        Prompt(b"", 9),
        Prompt(b"drawn", 12, temperature=0.8, seed=3),
        Prompt(b"a", 12),
    ]
    alone = [complete(tiny_model, [prompt])[0] for prompt in prompts]
    assert complete(tiny_model, prompts) == alone
    assert [len(completion) for completion in alone] == [12, 5, 9, 12, 12]


def test_prompts_that_join_and_leave_change_nothing_for_the_others(tiny_model: ByteLM) -> None:
    first = Prompt(b"the first prompt", 14)
    second = Prompt(b"x", 10)
    third = Prompt(b"longer than all that is there so far", 6)
    made: dict[Prompt, bytearray] = {prompt: bytearray() for prompt in (first, second, third)}
    batch = Batch(tiny_model)
    batch.join([first])
    for _ in range(3):
        for prompt, byte, _last in batch.next_bytes():
            made[prompt].append(byte)
        batch.advance()
    batch.join([second])
    for prompt, byte, _last in batch.next_bytes():
        made[prompt].append(byte)
    batch.advance(leaving={first})
    batch.join([third])
    finish(batch, made)
    assert bytes(made[first]) == complete(tiny_model, [first])[0][:4]
    assert bytes(made[second]) == complete(tiny_model, [second])[0]
    assert bytes(made[third]) == complete(tiny_model, [third])[0]


def test_a_batch_that_never_empties_stays_within_the_context(tiny_model: ByteLM) -> None:
    """Rows of 30 bytes, a new one every 10 bytes: 90 bytes pass through a context of 48."""
    prompts = [Prompt(b"p%d" % number, 30) for number in range(8)]
    made: dict[Prompt, bytearray] = {prompt: bytearray() for prompt in prompts}
    batch = Batch(tiny_model)
    for prompt in prompts:
        batch.join([prompt])
        for _ in range(10):
            for row, byte, _last in batch.next_bytes():
                made[row].append(byte)
            batch.advance()
    finish(batch, made)
    assert [bytes(made[prompt]) for prompt in prompts] == [complete(tiny_model, [prompt])[0] for prompt in prompts]


def test_the_last_byte_is_marked(tiny_model: ByteLM) -> None:
    batch = Batch(tiny_model)
    batch.join([Prompt(b"a", 1), Prompt(b"b", 2)])
    assert [chosen.last for chosen in batch.next_bytes()] == [True, False]
    batch.advance()
    assert [chosen.last for chosen in batch.next_bytes()] == [True]
    batch.advance()
    assert batch.rows == []


def test_the_end_of_a_long_prompt_is_read(tiny_model: ByteLM) -> None:
    # The context is 48 bytes: 40 are left to the prompt.
    text = bytes(range(65, 65 + 60))
    assert complete(tiny_model, [Prompt(text, 8)]) == complete(tiny_model, [Prompt(text[-40:], 8)])


def test_an_empty_prompt_is_a_new_line(tiny_model: ByteLM) -> None:
    assert complete(tiny_model, [Prompt(b"", 8)]) == complete(tiny_model, [Prompt(b"\n", 8)])


def test_the_seed_decides(tiny_model: ByteLM) -> None:
    first, again, other = complete(tiny_model, [Prompt(b"a", 16, 1.0, seed) for seed in (1, 1, 2)])
    assert first == again
    assert first != other


def test_low_temperature_approaches_the_most_likely(tiny_model: ByteLM) -> None:
    assert complete(tiny_model, [Prompt(b"abc", 12, 1e-4)]) == complete(tiny_model, [Prompt(b"abc", 12)])


def test_drawn_bytes_follow_their_probabilities(tiny_model: ByteLM) -> None:
    """The first byte after the prompt, drawn with 1000 seeds at a temperature that leaves the leader about half the
    time."""
    prompts = [Prompt(b"q", 1, 2.0, seed) for seed in range(1000)]
    batch = Batch(tiny_model)
    batch.join(prompts[:1])
    bias = distance_bias(tiny_model.shape, torch.zeros(1, dtype=torch.long), 1, 1)
    expected = torch.softmax(tiny_model(torch.tensor([[ord("q")]]), bias)[0, -1] / 2.0, -1)
    leader = int(expected.argmax())
    drawn = [completion[0] for completion in complete(tiny_model, prompts)]
    share = drawn.count(leader) / 1000
    # Four standard deviations of a share of 1000 draws are at most 0.063.
    assert abs(share - float(expected[leader])) < 0.063


@pytest.mark.parametrize(
    ("length", "temperature", "message"),
    [
        (0, 0.0, "length is 0 and must be between 1 and 192"),
        (193, 0.0, "length is 193 and must be between 1 and 192"),
        (8, -0.1, "temperature is -0.1 and must be between 0 and 10"),
        (8, float("nan"), "temperature is nan and must be between 0 and 10"),
    ],
)
def test_what_cannot_be_generated_is_refused(length: int, temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prompt(b"text", length, temperature)


def test_repr_tells_rows_and_columns(tiny_model: ByteLM) -> None:
    batch = Batch(tiny_model)
    assert repr(batch) == "<Batch 0 rows, 0 columns>"
    batch.join([Prompt(b"abc", 4), Prompt(b"abcde", 4)])
    assert repr(batch) == "<Batch 2 rows, 5 columns>"
