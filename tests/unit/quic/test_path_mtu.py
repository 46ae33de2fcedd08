from __future__ import annotations

from proxy.quic.path_mtu import PathMtuSearch


def test_the_search_goes_up_as_far_as_probes_arrive() -> None:
    search = PathMtuSearch(1200)
    assert (search.size_bytes, search.next_probe()) == (1200, 1452)
    assert search.acknowledged(1452)
    assert (search.size_bytes, search.next_probe()) == (1452, 8952)
    assert search.acknowledged(8952)
    assert (search.size_bytes, search.next_probe()) == (8952, 16000)
    assert search.acknowledged(16000)
    assert (search.size_bytes, search.next_probe()) == (16000, None)


def test_one_probe_is_on_its_way_at_a_time() -> None:
    search = PathMtuSearch(1200)
    assert search.may_probe
    assert [search.next_probe() for _ in range(3)] == [1452, None, None]
    assert not search.may_probe


def test_a_size_is_given_up_after_three_losses_and_nothing_larger_is_tried() -> None:
    search = PathMtuSearch(1200)
    search.next_probe()
    search.acknowledged(1452)
    probes = []
    for _ in range(5):
        probes.append(search.next_probe())
        search.lost(8952)
    assert probes == [8952, 8952, 8952, None, None]
    assert search.size_bytes == 1452


def test_losses_of_one_size_do_not_count_for_the_next() -> None:
    search = PathMtuSearch(1200)
    for size in (1452, 8952):
        for _ in range(2):
            assert search.next_probe() == size
            search.lost(size)
        assert search.next_probe() == size
        assert search.acknowledged(size)
    assert search.size_bytes == 8952


def test_word_of_another_size_than_the_one_probed_changes_nothing() -> None:
    search = PathMtuSearch(1200)
    search.next_probe()
    assert not search.acknowledged(8952)
    assert search.size_bytes == 1200


def test_three_timeouts_in_a_row_send_it_back_to_the_base_from_where_it_starts_again() -> None:
    search = PathMtuSearch(1200)
    search.next_probe()
    search.acknowledged(1452)
    assert [search.timed_out(times) for times in (1, 2)] == [False, False]
    assert search.timed_out(3)
    assert search.size_bytes == 1200
    assert not search.timed_out(4)
    assert search.next_probe() == 1452


def test_a_size_that_was_given_up_is_tried_again_after_falling_back() -> None:
    search = PathMtuSearch(1200)
    search.next_probe()
    search.acknowledged(1452)
    for _ in range(3):
        search.next_probe()
        search.lost(8952)
    assert not search.may_probe
    search.timed_out(3)
    search.next_probe()
    search.acknowledged(1452)
    assert search.next_probe() == 8952


def test_the_peers_limit_bounds_the_search() -> None:
    search = PathMtuSearch(1200)
    search.limit(9000)
    sizes = []
    while (size := search.next_probe()) is not None:
        search.acknowledged(size)
        sizes.append(size)
    assert sizes == [1452, 8952]


def test_timeouts_at_the_base_size_say_nothing_of_the_size() -> None:
    search = PathMtuSearch(1200)
    assert not search.timed_out(5)
    assert search.next_probe() == 1452


def test_without_discovery_the_base_stays() -> None:
    search = PathMtuSearch(8952, enabled=False)
    assert (search.size_bytes, search.next_probe()) == (8952, None)


def test_only_sizes_above_the_base_are_tried() -> None:
    assert PathMtuSearch(1500).next_probe() == 8952


def test_repr_shows_where_the_search_is() -> None:
    assert repr(PathMtuSearch(1200)) == "<PathMtuSearch 1200 left=[1452, 8952, 16000]>"
