from pathlib import Path

import pytest

from ops.bench.overhead import SHIPPED_SCENARIO
from ops.bench.peers import PEERS
from ops.bench.scenario import OverheadScenario, ScenarioError, read_scenario


def written(directory: Path, text: str) -> Path:
    file = directory / "scenario.yaml"
    file.write_text(text)
    return file


def test_the_shipped_scenario_has_what_the_experiment_asks_for() -> None:
    scenario = read_scenario(SHIPPED_SCENARIO)
    assert scenario.bodies == (128, 8192, 102400)
    assert scenario.concurrency == (1, 16, 64)
    assert set(scenario.peers) <= set(PEERS)


def test_the_shipped_quick_run_ends_within_two_minutes() -> None:
    quick = read_scenario(SHIPPED_SCENARIO).quickened()
    cells = len(quick.bodies) * len(quick.concurrency) * len(quick.idle_streams)
    assert cells * len(quick.peers) * quick.rounds * (quick.seconds + quick.warm_up) < 90


def test_keys_that_are_left_out_keep_their_defaults(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, "bodies: [16]\nrounds: 2\n"))
    assert scenario == OverheadScenario(bodies=(16,), rounds=2)


def test_quick_replaces_what_it_names(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, "rounds: 9\nseconds: 4\nquick: {rounds: 1}\n"))
    assert (scenario.quickened().rounds, scenario.quickened().seconds) == (1, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bodys: [1]", "bodys is unknown; did you mean bodies?"),
        ("colour: red", "colour is unknown; allowed: bodies, concurrency"),
        ("bodies: 128", "bodies: 128 is not a list of whole numbers, each at least 0"),
        ("concurrency: [0]", "concurrency: [0] is not a list of whole numbers, each at least 1"),
        ("concurrency: [true]", "concurrency: [True] is not a list of whole numbers, each at least 1"),
        ("peers: []", "peers: [] is not a list of names"),
        ("seconds: 0", "seconds: 0 is not a number of seconds above 0"),
        ("rounds: 0", "rounds: 0 is not a whole number, at least 1"),
        ("quick: {quick: {}}", "quick.quick is unknown"),
        ("quick: {round: 1}", "quick.round is unknown; did you mean rounds?"),
        ("- 1", "the file is no mapping"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


def test_the_command_line_is_checked_like_the_file() -> None:
    assert OverheadScenario().with_values({"rounds": 3}).rounds == 3
    with pytest.raises(ScenarioError, match=r"the command line\.rounds: -1 is not"):
        OverheadScenario().with_values({"rounds": -1})
