from __future__ import annotations

import multiprocessing
import signal
from operator import neg

import pytest

from policies.evaluation.parallel import in_parallel


def test_one_process_goes_in_order() -> None:
    assert list(in_parallel(neg, [3, 1, 2], processes=1)) == [(0, -3), (1, -1), (2, -2)]
    assert list(in_parallel(neg, [], processes=4)) == []


@pytest.mark.slow
def test_several_find_the_same_and_leave_nobody_behind() -> None:
    handler = signal.getsignal(signal.SIGINT)
    assert dict(in_parallel(neg, range(20), processes=2)) == {n: -n for n in range(20)}
    assert signal.getsignal(signal.SIGINT) is handler
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_failure_is_raised_and_ends_the_others() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel((1).__truediv__, [1, 0, 1], processes=2))
    assert multiprocessing.active_children() == []
