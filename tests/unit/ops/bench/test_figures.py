import pytest

from ops.bench.figures import Measurement, Spread, added_hops, added_p50_s, compare, percentile, rate_ratio, spread


def measured(p50_ms: float | None, calls_per_s: float = 100.0) -> Measurement:
    p50_s = None if p50_ms is None else p50_ms / 1e3
    return Measurement(
        calls=0 if p50_s is None else 200,
        errors=0,
        first_error="",
        calls_per_s=calls_per_s,
        mean_s=p50_s,
        p50_s=p50_s,
        p99_s=p50_s,
        cpu_s_per_call=0.001,
    )


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == expected


def test_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.5) is None


def test_spread_has_the_interval_of_the_mean() -> None:
    # Standard deviation 1, three values, t(0.975, 2) = 4.303: 4.303 / √3 = 2.4843…
    found = spread([1.0, None, 3.0, 2.0])
    assert found is not None
    assert (found.median, found.low, found.high, found.mean) == (2.0, 1.0, 3.0, 2.0)
    assert found.ci95 == pytest.approx(2.48434, abs=1e-5)


def test_one_round_has_no_interval() -> None:
    assert spread([5.0]) == Spread(median=5.0, low=5.0, high=5.0, mean=5.0, ci95=None)


def test_spread_of_nothing_is_nothing() -> None:
    assert spread([None, None]) is None


def test_added_latency_is_counted_in_bare_hops() -> None:
    direct, hop, path = measured(0.4), measured(0.9), measured(1.65)
    assert added_p50_s(path, direct) == pytest.approx(0.00125)
    assert added_hops(path, direct, hop) == pytest.approx(2.5)


def test_no_hops_where_the_hop_added_nothing() -> None:
    assert added_hops(measured(2.0), measured(1.0), measured(1.0)) is None


def test_no_figures_of_calls_that_were_not_answered() -> None:
    assert added_p50_s(measured(None), measured(1.0)) is None
    assert rate_ratio(measured(1.0, 50.0), measured(None, 0.0)) is None


def test_comparisons_are_made_within_each_round() -> None:
    # The second round's machine is half as fast; the path is still 2 hops and half the rate.
    rounds = [
        {"direct": measured(1.0, 1000.0), "hop": measured(2.0, 500.0), "path": measured(3.0, 250.0)},
        {"direct": measured(2.0, 500.0), "hop": measured(4.0, 250.0), "path": measured(6.0, 125.0)},
    ]
    found = compare(rounds, "path")
    assert found["added_hops"] == Spread(2.0, 2.0, 2.0, 2.0, ci95=0.0)
    assert found["rate_to_hop"] == Spread(0.5, 0.5, 0.5, 0.5, ci95=0.0)
    assert (found["p50_s"].low, found["p50_s"].high) == (0.003, 0.006)


def test_a_round_without_the_other_path_is_left_out() -> None:
    rounds = [{"hop": measured(2.0, 500.0), "path": measured(3.0, 250.0)}, {"path": measured(3.0, 100.0)}]
    found = compare(rounds, "path")
    assert found["rate_to_hop"].median == 0.5
    assert found["calls_per_s"].low == 100.0
    assert "added_p50_s" not in found


def test_a_path_is_not_compared_with_itself() -> None:
    rounds = [{"direct": measured(1.0), "hop": measured(2.0)}]
    assert "added_p50_s" not in compare(rounds, "direct")
    assert "rate_to_hop" not in compare(rounds, "hop")
    assert "rate_to_direct" in compare(rounds, "hop")


def test_a_path_that_is_in_no_round_has_no_figures() -> None:
    assert compare([{"direct": measured(1.0)}], "path") == {}
