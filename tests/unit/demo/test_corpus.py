from __future__ import annotations

from corpus import build_corpus


def test_every_tenth_topic_is_held_out_and_shares_no_paragraph_with_training() -> None:
    names = [f"t{number:02d}" for number in range(12)]
    sources = {name: f"about {name}\n\nin every topic" for name in reversed(names)}
    sources["t05"] += "\n\nabout   t10"  # the same words as a held-out paragraph, spaced otherwise
    corpus = build_corpus(sources)
    assert corpus.held_out == b"about t00\n\nin every topic\n\n\nabout t10\n\n\n"
    assert corpus.training == "".join(f"about {name}\n\n\n" for name in names if name not in ("t00", "t10")).encode()


def test_this_pythons_text_is_split_the_same_way_twice() -> None:
    first, second = build_corpus(), build_corpus()
    assert first == second
    assert len(first.sha256) == 64
    assert 20_000 < len(first.held_out) < 80_000
    assert len(first.training) > 5 * len(first.held_out)
    held_out = {" ".join(paragraph.split()) for paragraph in first.held_out.decode().split("\n\n")} - {""}
    training = {" ".join(paragraph.split()) for paragraph in first.training.decode().split("\n\n")}
    assert not held_out & training
