from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from policies.simulation.arrivals import Flash, Mmpp, RecordedTimes, Stable, Unpredictable
from policies.simulation.distribution import Constant, Distribution, Lognormal, Recorded, Uniform
from policies.simulation.keys import WorkloadError
from policies.simulation.workload import Event, MixShift, Network
from policies.simulation.workload_file import parse_workload, read_workload, shipped_workloads

FILE = Path("w.yaml")
CONTENT: dict[str, Any] = {
    "name": "w",
    "seconds": 10,
    "arrivals": {"kind": "stable", "rates": [5, 20], "hold": 30},
    "classes": {"a": {"share": 0.4, "deadline": 1.0, "weight": 2, "size": 8192}, "b": {"deadline": 2}},
    "network": {"delay": 0.05},
    "candidates": [
        {"model": "large", "quality": 0.7, "max_batch": 4, "latency": {1: 0.4, 8: 0.8}, "deviation": 0.1},
        {"model": "small", "quality": 0.4, "latency": {1: 0.04}},
    ],
    "events": [
        {"at": 60, "candidate": "large", "kind": "down", "for": 20},
        {"at": 70, "candidate": "small", "kind": "slow", "factor": 3, "for": 20},
        {"at": 80, "kind": "delay", "factor": 2, "for": 5},
    ],
    "mix": [{"at": 9, "shares": {"b": 1}}, {"at": 5, "shares": {"a": 1}}],
}
TOKENS = {"prefill": 0.01, "step": {1: 0.02, 8: 0.03}}


def changed(path: str, value: object) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    *way, last = path.split("/")
    inner: Any = content
    for step in way:
        inner = inner[int(step) if step.isdigit() else step]
    inner[last] = value
    return content


def test_everything_in_the_file_is_in_the_record() -> None:
    workload = parse_workload(CONTENT, FILE)
    assert (workload.name, workload.seconds, workload.arrivals) == ("w", 10.0, Stable((5.0, 20.0), 30.0))
    first, second = workload.classes
    assert (first.share, first.traffic.deadline_s, first.traffic.weight, first.size) == (0.4, 1.0, 2.0, Constant(8192))
    assert (second.share, second.traffic.weight, second.traffic.on_miss) == (1.0, 1.0, "deliver")
    assert workload.network.up == workload.network.down == Constant(0.05)
    large, small = workload.candidates
    assert (large.model, large.quality, large.profile.max_batch) == ("large", 0.7, 4)
    assert large.profile.at(4) == pytest.approx(0.4 + 0.4 * 3 / 7)
    assert large.profile.p95_over_p50 == pytest.approx(math.exp(1.645 * math.sqrt(math.log(1.01))))
    assert (small.profile.max_batch, small.profile.p95_over_p50) == (1, 1.0)
    assert workload.events == (
        Event(60, 20, "down", "large"),
        Event(70, 20, "slow", "small", 3),
        Event(80, 5, "delay", "", 2),
    )
    assert workload.mix == (MixShift(5, (("a", 1.0),)), MixShift(9, (("b", 1.0),)))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("secnds", 1, "secnds: unknown key; did you mean seconds"),
        ("classes/a/deadlin", 1, r"classes\.a\.deadlin: unknown key; did you mean deadline"),
        ("classes/a/deadline", "soon", r"classes\.a\.deadline: 'soon' is not a number above 0"),
        ("classes/a/on_miss", "drop", r"classes\.a\.on_miss: 'drop' is not a name of deliver, fail"),
        ("classes", {}, "classes: no class has a share"),
        ("arrivals", {"kind": "stabel"}, "arrivals.kind: 'stabel' is not a name of .*did you mean stable"),
        ("arrivals/hodl", 3, r"arrivals\.hodl: unknown key; did you mean hold"),
        ("arrivals", {"kind": "mmpp", "rates": [1, 2], "mean_hold": [3]}, "arrivals.mean_hold: 1 times for 2 rates"),
        ("candidates", [], "candidates: a list of at least one"),
        ("candidates/1/model", "large", "candidates: a list of at least one, each with another model"),
        ("candidates/0/quality", 1.5, r"candidates\[0\]\.quality: 1.5 is above 1"),
        ("candidates/0/max_batch", 16, r"candidates\[0\]: latency_s lists sizes to 8"),
        ("candidates/0/tokens", TOKENS, "candidates: large: tokens and the classes' answer_tokens go together"),
        ("classes/a/answer_tokens", 5, "classes: answer_tokens for all classes, or for none"),
        ("events/0/candidate", "larg", r"events\[0\]\.candidate: 'larg' is not a name of large, small; did you mean"),
        ("events/0/factor", 2, r"events\[0\]\.factor: unknown key"),
        ("events/1/factor", 0, r"events\[1\]\.factor: 0 is not a number above 0"),
        ("mix/0/shares", {"c": 1}, r"mix\[0\]\.shares\.c: unknown key"),
        ("mix/0/shares", {"a": 0}, r"mix\[0\]\.shares: no class has a share"),
        ("network", {"dely": 1}, r"network\.dely: unknown key; did you mean delay"),
        ("network", {"rate": 1e6, "order": "efd"}, r"network\.order: 'efd' is not a name of .*did you mean edf"),
        ("network", {"order": "edf"}, r"network\.order: needs a rate for requests to share"),
        ("network", {"kind": "uniform", "low": 2, "high": 1}, r"network\.low: 2 is above high"),
        ("network", {"kind": "trace", "file": "none.csv"}, r"network\.file: none\.csv: .*No such file"),
    ],
)
def test_what_does_not_fit_is_refused_by_file_and_key(path: str, value: object, message: str) -> None:
    with pytest.raises(WorkloadError, match=rf"^w\.yaml: {message}"):
        parse_workload(changed(path, value), FILE)


@pytest.mark.parametrize(
    ("network", "up", "down"),
    [
        ({"kind": "lognormal", "median": 0.05, "sigma": 0.5}, Lognormal(0.05, 0.5), Lognormal(0.05, 0.5)),
        ({"delay": {"kind": "uniform", "low": 0, "high": 1}}, Uniform(0, 1), Uniform(0, 1)),
        ({"up": 0.1, "down": 0.2}, Constant(0.1), Constant(0.2)),
    ],
)
def test_networks(network: dict[str, Any], up: Distribution, down: Distribution) -> None:
    workload = parse_workload(changed("network", {**network, "rate": 5e6}), FILE)
    assert workload.network == Network(up, down, 5e6)
    shared = parse_workload(changed("network", {**network, "rate": 5e6, "order": "adaptive"}), FILE)
    assert shared.network == Network(up, down, 5e6, "adaptive")


@pytest.mark.parametrize(
    ("arrivals", "record"),
    [
        ({"kind": "unpredictable", "rate": [4, 120], "hold": [0.5, 8]}, Unpredictable((4, 120), (0.5, 8))),
        ({"kind": "mmpp", "rates": [5, 80], "mean_hold": [10, 2]}, Mmpp((5, 80), (10, 2))),
        ({"kind": "flash", "base": 10, "peak": 150, "at": 60, "hold": 15}, Flash(10, 150, 60, 15)),
    ],
)
def test_arrivals(arrivals: dict[str, Any], record: object) -> None:
    assert parse_workload(changed("arrivals", arrivals), FILE).arrivals == record


def test_recorded_times_and_delays_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("# seconds\n2.5\n1.5\n")
    (tmp_path / "delays.csv").write_text("0.1,0.2\n0.3,0.4\n")
    content = changed("arrivals", {"kind": "trace", "file": "times.csv"})
    content["network"] = {"kind": "trace", "file": "delays.csv"}
    workload = parse_workload(content, tmp_path / "w.yaml")
    assert workload.arrivals == RecordedTimes((1.5, 2.5))
    assert (workload.network.up, workload.network.down) == (Recorded((0.1, 0.3)), Recorded((0.2, 0.4)))
    (tmp_path / "delays.csv").write_text("0.1,0.2\n0.3\n")
    with pytest.raises(WorkloadError, match="not the same number of columns"):
        parse_workload(content, tmp_path / "w.yaml")


def test_a_profile_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "format: 1\nmodel: x\nlatency: {1: 0.3, 2: 0.4}\ntokens: {step: {1: 0.1, 4: 0.2}}\n"
    )
    content = changed("candidates", [{"model": "large", "quality": 0.5, "profile": "p.yaml"}])
    content["events"] = []
    for kind in content["classes"].values():
        kind["answer_tokens"] = 5
    [candidate] = parse_workload(content, tmp_path / "w.yaml").candidates
    assert candidate.profile.at(2) == 0.4
    assert candidate.profile.tokens is not None
    assert candidate.profile.tokens.max_sequences == 4
    # In a workload of whole answers, the same file is a model that gives them.
    for kind in content["classes"].values():
        del kind["answer_tokens"]
    [candidate] = parse_workload(content, tmp_path / "w.yaml").candidates
    assert (candidate.profile.at(2), candidate.profile.tokens) == (0.4, None)


def test_a_shipped_profile_goes_by_its_bare_name() -> None:
    content = changed("candidates", [{"model": "large", "quality": 0.5, "profile": "llama-7b-a100"}])
    content["events"] = []
    [candidate] = parse_workload(content, FILE).candidates
    assert candidate.profile.max_batch == 32


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({"profile": "llama-7b-h100"}, r"^llama-7b-h100: there is no such file; .*llama-7b-a100"),
        ({"profile": "llama-7b-a100", "instances": 2}, r"^w\.yaml: candidates\[0\]\.instances: comes from the profile"),
    ],
)
def test_a_profile_that_can_not_be_taken(candidate: dict[str, Any], message: str) -> None:
    content = changed("candidates", [{"model": "large", "quality": 0.5, **candidate}])
    with pytest.raises(WorkloadError, match=message):
        parse_workload(content, FILE)


def test_files_are_read_by_path_or_by_the_name_of_a_shipped_one(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"gone\.yaml"):
        read_workload(tmp_path / "gone.yaml")
    assert read_workload("stable").name == "stable"


@pytest.mark.parametrize("file", shipped_workloads(), ids=lambda file: file.stem)
def test_the_shipped_workloads_can_be_read(file: Path) -> None:
    assert read_workload(file).name == file.stem
