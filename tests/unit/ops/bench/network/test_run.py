from ops.bench.network.requests import Outcome
from ops.bench.network.run import CellRun, outcomes_of


def test_a_run_in_the_journal_is_rounded_and_can_be_read_again() -> None:
    run = CellRun(
        (Outcome(3, "a", 1 / 3, 0.5, None, 1.0, "OK"),),
        {"up": {"lost": 1}},
        {"proxy": 0.12345},
        {"proxy": 1.23456},
        0.0001234567,
    )
    entry = run.as_json()
    assert entry == {
        "link": {"up": {"lost": 1}},
        "cpu_s": {"proxy": 0.123},
        "waited_s": {"proxy": 1.235},
        "lateness_s": 0.000123,
        "wire": {},
        "outcomes": [[3, "a", 0.333333, 0.5, None, 1.0, "OK"]],
    }
    assert outcomes_of(entry) == (Outcome(3, "a", 0.333333, 0.5, None, 1.0, "OK"),)
