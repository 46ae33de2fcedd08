import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from statistics import mean

import pytest

from ops.bench.end_to_end.window import INITIAL_PACKETS, MINIMUM_PACKETS, RULES, SEGMENT_BYTES, Window
from ops.link import LinkSettings

LINK = LinkSettings(rate_bits_s=5e6, delay_s=0.05, loss=0.005)
MOST = 5e6 / 8


def window(name: str, link: LinkSettings | Callable[[float], LinkSettings], seed: int = 1) -> Window:
    return Window(RULES[name], link if callable(link) else lambda _: link, Random(seed), share=1.0, relay_s=0.0)


@pytest.mark.parametrize("name", ["reno", "cubic"])
@pytest.mark.parametrize("loss", [0.005, 0.02])
def test_its_mean_is_what_mathis_says(name: str, loss: float) -> None:
    """Mathis et al. (1997): √(3/2) / √p packets a round trip; the round trip here has a packet's time, too."""
    sends = window(name, replace(LINK, loss=loss))
    got = mean(sends(at / 10) for at in range(20_000))
    round_trip_s = 0.1 + SEGMENT_BYTES / MOST
    assert got == pytest.approx(SEGMENT_BYTES * math.sqrt(1.5 / loss) / round_trip_s, rel=0.15)


def test_it_begins_with_ten_packets_and_doubles_them() -> None:
    sends = window("reno", replace(LINK, loss=0.0, rate_bits_s=5e7))
    least_s = 0.1 + SEGMENT_BYTES * 8 / 5e7
    for trip in range(3):
        assert sends((trip + 0.5) * least_s) == pytest.approx(INITIAL_PACKETS * 2**trip * SEGMENT_BYTES / least_s)


def test_without_losses_it_fills_the_link_until_the_queue_overflows() -> None:
    sends = window("reno", replace(LINK, loss=0.0))
    rates = [sends(at / 10) for at in range(3000)]
    assert max(rates) == MOST
    assert mean(rates[300:]) > 0.9 * MOST
    shallow = window("reno", replace(LINK, loss=0.0, queue_bytes=0.0))
    assert mean(shallow(at / 10) for at in range(300, 3000)) < mean(rates[300:])


def test_it_never_gets_below_two_packets() -> None:
    sends = window("reno", replace(LINK, loss=1.0))
    least_s = 0.1 + SEGMENT_BYTES / MOST
    assert sends(50.0) == pytest.approx(MINIMUM_PACKETS * SEGMENT_BYTES / least_s)


def test_it_meets_the_link_as_it_is_then() -> None:
    sends = window("reno", lambda at_s: replace(LINK, loss=0.0 if at_s < 20 else 0.5))
    assert mean(sends(at / 10) for at in range(100, 200)) > 3 * mean(sends(at / 10) for at in range(300, 400))


def test_a_seed_repeats_and_the_past_may_be_asked_for() -> None:
    first, second, other = window("reno", LINK), window("reno", LINK), window("reno", LINK, seed=2)
    later = first(30.0)
    assert [first(at / 2) for at in range(60)] == [second(at / 2) for at in range(60)]
    assert later == second(30.0)
    assert [first(at / 2) for at in range(60)] != [other(at / 2) for at in range(60)]
