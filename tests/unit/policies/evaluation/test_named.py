from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from policies.evaluation.bounds import EXACT_REQUESTS
from policies.evaluation.named import SMALL, workloads
from policies.simulation.keys import WorkloadError
from policies.simulation.trace import draw
from policies.simulation.workload_file import shipped_workloads


def test_names_files_and_sets(tmp_path: Path) -> None:
    shutil.copy(SMALL / "small-two.yaml", tmp_path / "mine.yaml")
    found = workloads(["stable", "stable", str(tmp_path / "mine.yaml")])
    assert [workload.name for workload in found] == ["stable", "small-two"]
    assert len(workloads(["all"])) == len(shipped_workloads())
    assert all(workload.name.startswith("small-") for workload in workloads(["small"]))


def test_small_ones_are_small_on_the_seeds_of_a_comparison() -> None:
    for workload in workloads(["small"]):
        counts = [len(draw(workload, seed)) for seed in range(1000, 1020)]
        assert min(counts) >= 5
        assert max(counts) <= EXACT_REQUESTS, (workload.name, counts)
        assert all(candidate.profile.deviation <= 0.02 for candidate in workload.candidates)


def test_what_is_no_workload_is_refused_naming_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="stabel: neither a file nor a shipped workload; those are all, small, cl"):
        workloads(["stabel"])
    shutil.copy(SMALL / "small-two.yaml", tmp_path / "mine.yaml")
    with pytest.raises(WorkloadError, match=r"mine\.yaml: name: 'small-two' is another workload's already"):
        workloads(["small-two", str(tmp_path / "mine.yaml")])
