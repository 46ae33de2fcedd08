import pytest
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

from proxy.telemetry.propagation import TraceContext
from proxy.telemetry.sampling import Sampled, Sampling, to_sdk

LOW, HIGH = 1, (1 << 64) - 1
PARENT = TraceContext("0" * 31 + "1", "0" * 15 + "b", 0)


def decide(sampler: Sampler, trace_id: int, flags: int | None) -> bool:
    parent = None if flags is None else PARENT._replace(flags=flags)
    return Sampling(sampler).decide(trace_id, parent, method="pkg.Service/Method", traffic_class="bulk").recorded


@pytest.mark.parametrize(
    ("sampler", "decisions"),
    [
        # Without a parent and a low trace id, and a high one; with a parent that is sampled, and one that is not.
        (DEFAULT_ON, [True, True, True, False]),
        (ParentBasedTraceIdRatio(0.01), [True, False, True, False]),
        (ParentBasedTraceIdRatio(0.0), [False, False, True, False]),
        (DEFAULT_OFF, [False, False, True, False]),
        # These are asked themselves, and take the parent's trace id.
        (ALWAYS_ON, [True, True, True, True]),
        (ALWAYS_OFF, [False, False, False, False]),
        (TraceIdRatioBased(0.5), [True, False, True, True]),
        (ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON), [True, True, True, True]),
    ],
    ids=lambda value: value.get_description()[:40] if isinstance(value, Sampler) else "",
)
def test_the_standard_samplers_decide_as_the_sdk_does(sampler: Sampler, decisions: list[bool]) -> None:
    cases = ((LOW, None), (HIGH, None), (0, 1), (0, 0))
    assert [decide(sampler, *case) for case in cases] == decisions


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, DEFAULT_OFF])
def test_off_is_off(sampler: Sampler) -> None:
    assert Sampling(sampler).off
    assert not Sampling(ParentBasedTraceIdRatio(0.0)).off
    assert repr(Sampling(ALWAYS_OFF)) == "<Sampling AlwaysOffSampler>"


def test_trace_state_of_the_parent_stays() -> None:
    parent = PARENT._replace(flags=1, state="congo=t61")
    for sampler in (DEFAULT_ON, ParentBased(ALWAYS_ON, remote_parent_sampled=TraceIdRatioBased(1.0))):
        assert Sampling(sampler).decide(0, parent, method="m", traffic_class="").state == "congo=t61"


def test_a_sampler_of_the_users_may_add_to_the_span() -> None:
    class Own(Sampler):
        def should_sample(self, *arguments: object, **_: object) -> SamplingResult:
            asked.append(arguments[4])
            return SamplingResult(Decision.RECORD_AND_SAMPLE, {"sampled.by": "own", "headway.class": "bulk"})

        def get_description(self) -> str:
            return "Own"

    asked: list[object] = []
    found = Sampling(Own()).decide(1, None, method="pkg.Service/Method", traffic_class="bulk")
    assert found == Sampled(True, "", {"sampled.by": "own"})
    assert asked == [{"rpc.system.name": "grpc", "rpc.method": "pkg.Service/Method", "headway.class": "bulk"}]


def test_a_context_for_the_sdk() -> None:
    context = to_sdk(PARENT._replace(flags=1, state="congo=t61"), is_remote=True)
    assert (context.trace_id, context.span_id, context.is_remote) == (1, 11, True)
    assert context.trace_flags.sampled
    assert context.trace_state.to_header() == "congo=t61"
