from __future__ import annotations

from policies.profile import Profile
from policies.selection.base import Candidate, Request
from policies.selection.greedy import Greedy
from policies.selection.late_model import LateSettings
from policies.selection.late_policy import Late, settings_of

CANDIDATES = [
    Candidate(name, "a", quality, predicted_finish_at=finish_at, profile=Profile(((1, finish_at),)))
    for name, quality, finish_at in (("large", 0.8, 2.0), ("small", 0.4, 0.5))
]


def test_what_may_not_wait_is_decided_as_greedy_does() -> None:
    late = Late()
    for deadline_at in (3.0, 1.0, 0.1):
        request = Request("llm", deadline_at=deadline_at)
        assert late.choose(request, CANDIDATES, now=0.0) == Greedy().choose(request, CANDIDATES, now=0.0)
    assert (late.name, late.log_data()) == ("late", {"none_in_time": 1})


def test_who_runs_a_policy_can_tell_whether_it_decides_late() -> None:
    assert settings_of(Late()) == LateSettings()
    assert settings_of(Late(LateSettings(lead_sigmas=1.0))) == LateSettings(lead_sigmas=1.0)
    assert settings_of(Greedy()) is None
