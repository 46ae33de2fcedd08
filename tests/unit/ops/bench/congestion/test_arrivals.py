import json
from pathlib import Path

import pytest

from ops.bench.congestion.arrivals import read_arrivals
from ops.bench.congestion.backend import arrivals_file
from ops.bench.visit import CellError


def test_bytes_in_steps_of_time(tmp_path: Path) -> None:
    noted = [[99.9, 7], [101.0, 100], [101.05, 10], [101.95, 1], [102.0, 1000]]
    (tmp_path / arrivals_file(1)).write_text(json.dumps(noted))
    found = read_arrivals(tmp_path, 1, begins_at=100.5, ends_at=102.0, origin_at=100.0)
    assert (found["begins_s"], found["ends_s"], found["bytes"]) == (0.5, 2.0, 111)
    assert (found["arrived"][10], found["arrived"][19], sum(found["arrived"])) == (110, 1, 111)


def test_a_flow_of_which_nothing_came_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(CellError, match="nothing of flow 3 arrived"):
        read_arrivals(tmp_path, 3, begins_at=0.0, ends_at=1.0, origin_at=0.0)
