from __future__ import annotations

import math

import pytest

from policies.traffic import Deadline, TrafficClass
from proxy.errors import CallError, Code
from proxy.tunnel.exchange import CallHead
from proxy.tunnel.gate import Gate, PeerClock, TokenCheck
from proxy.tunnel.headers import TunnelRequest

CLASSES = {
    "realtime": TrafficClass("realtime", deadline_s=1.0),
    "standard": TrafficClass("standard", deadline_s=2.0),
    "endless": TrafficClass("endless", deadline_s=math.inf),
}


def make_request(
    *,
    path: str = "/pkg.Service/Method",
    traffic_class: str = "realtime",
    deadline: Deadline | None = None,
    timeout_s: float | None = None,
    token: bytes = b"",
    client: str = "",
) -> TunnelRequest:
    return TunnelRequest(path, (("k", "v"),), traffic_class, deadline, timeout_s, token, client, "identity")


def make_gate(*tokens: bytes) -> Gate:
    return Gate(tokens=TokenCheck(lambda: tokens), classes=CLASSES, default_class="standard")


def clock_ahead(offset_s: float) -> PeerClock:
    clock = PeerClock()
    clock.measured(offset_s)
    return clock


def deadline_of(request: TunnelRequest, *, clock: PeerClock | None = None, now: float = 500.0) -> Deadline:
    return make_gate().head(request, clock=clock or PeerClock(), peer="p", now=now).deadline


class TestTokens:
    @pytest.mark.parametrize("shown", [b"", b"old", b"neW", b"new ", b"newer", b"\xff"])
    def test_a_wrong_token_is_unauthenticated(self, shown: bytes) -> None:
        with pytest.raises(CallError) as caught:
            make_gate(b"new").head(make_request(token=shown), clock=PeerClock(), peer="p", now=0.0)
        assert caught.value.code is Code.UNAUTHENTICATED
        assert caught.value.message == "the headway-token header is missing or wrong"

    def test_a_refusal_never_repeats_the_token(self) -> None:
        with pytest.raises(CallError) as caught:
            make_gate(b"s3cret").head(make_request(token=b"gu3ss"), clock=PeerClock(), peer="p", now=0.0)
        assert "gu3ss" not in str(caught.value)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("shown", [b"old", b"new"])
    def test_several_are_valid_at_once(self, shown: bytes) -> None:
        assert TokenCheck(lambda: (b"old", b"new")).admits(shown)

    def test_rotation_needs_no_restart(self) -> None:
        tokens = [b"old"]
        check = TokenCheck(lambda: tuple(tokens))
        assert check.admits(b"old")
        tokens[:] = [b"new"]
        assert [check.admits(b"old"), check.admits(b"new")] == [False, True]

    def test_without_tokens_everybody_may_in(self) -> None:
        assert TokenCheck(tuple).admits(b"")
        assert TokenCheck(tuple).admits(b"anything")


class TestPeerClock:
    def test_nothing_is_known_at_first(self) -> None:
        clock = PeerClock()
        assert clock.offset_s is None
        assert repr(clock) == "<PeerClock offset_s=None measured=False>"

    def test_arrivals_bound_the_offset_from_above(self) -> None:
        clock = PeerClock()
        seen = []
        for sent_at, received_at in ((10.0, 15.25), (11.0, 16.125), (12.0, 17.5)):
            clock.arrived(sent_at=sent_at, received_at=received_at)
            seen.append(clock.offset_s)
        assert seen == [5.25, 5.125, 5.125]
        assert repr(clock) == "<PeerClock offset_s=5.125 measured=False>"

    def test_what_was_measured_is_not_replaced_by_a_bound(self) -> None:
        clock = PeerClock()
        clock.arrived(sent_at=10.0, received_at=15.25)
        clock.measured(5.0)
        clock.arrived(sent_at=10.0, received_at=14.0)
        assert clock.offset_s == 5.0
        clock.measured(5.5)
        assert clock.offset_s == 5.5


class TestHead:
    def test_everything_of_the_request(self) -> None:
        head = make_gate(b"t").head(
            make_request(token=b"t", client="10.0.0.7:51234"), clock=PeerClock(), peer="192.0.2.1:4000", now=500.0
        )
        assert head == CallHead(
            "/pkg.Service/Method",
            (("k", "v"),),
            traffic_class="realtime",
            deadline=Deadline(501.0, math.inf),
            peer="10.0.0.7:51234",
            accepted_at=500.0,
            unary=False,
            tunnel="192.0.2.1:4000",
        )

    @pytest.mark.parametrize(
        ("client", "proxy", "named"),
        [
            ("10.0.0.7:5", "192.0.2.1:4", "10.0.0.7:5"),
            ("10.0.0.7:5", "127.0.0.1:4", "10.0.0.7:5"),
            ("", "192.0.2.1:4", "192.0.2.1:4"),
            ("127.0.0.1:5", "192.0.2.1:4", "192.0.2.1:4"),
            ("[::1]:5", "192.0.2.1:4", "192.0.2.1:4"),
            ("unix:/tmp/s", "192.0.2.1:4", "192.0.2.1:4"),
            ("127.0.0.1:5", "127.0.0.1:4", "127.0.0.1:5"),
            ("127.0.0.1:5", "[::1]:4", "127.0.0.1:5"),
        ],
    )
    def test_who_called(self, client: str, proxy: str, named: str) -> None:
        """A client that is local to a proxy elsewhere is known by its proxy."""
        assert make_gate().head(make_request(client=client), clock=PeerClock(), peer=proxy, now=0.0).peer == named

    def test_known_unary_methods(self) -> None:
        request = make_request(path="/inference.GRPCInferenceService/ModelInfer")
        assert make_gate().head(request, clock=PeerClock(), peer="p", now=0.0).unary

    @pytest.mark.parametrize("name", ["", "unheard-of"])
    def test_an_unknown_class_is_the_default_one(self, name: str) -> None:
        head = make_gate().head(make_request(traffic_class=name), clock=PeerClock(), peer="p", now=500.0)
        assert (head.traffic_class, head.deadline.target_at) == ("standard", 502.0)
        assert make_gate().traffic_class(name) is CLASSES["standard"]


class TestDeadlines:
    def test_with_a_measured_clock_it_is_the_same_instant(self) -> None:
        request = make_request(deadline=Deadline(100.5, 101.0), timeout_s=0.9)
        assert deadline_of(request, clock=clock_ahead(400.0), now=500.2) == Deadline(500.5, 501.0)

    def test_a_clock_behind_ours(self) -> None:
        request = make_request(deadline=Deadline(1000.5, 1001.0), timeout_s=0.9)
        assert deadline_of(request, clock=clock_ahead(-500.0), now=500.2) == Deadline(500.5, 501.0)

    def test_time_spent_on_the_way_is_gone(self) -> None:
        """HEADERS waited 0.7 s in a send queue: counting `grpc-timeout` from arrival would give those back."""
        request = make_request(deadline=Deadline(101.0, 101.0), timeout_s=1.0)
        deadline = deadline_of(request, clock=clock_ahead(400.0), now=500.7)
        assert deadline == Deadline(501.0, 501.0)
        assert deadline.slack_s(now=500.7) == pytest.approx(0.3)

    def test_a_limit_never_grows_however_wrong_the_offset_is(self) -> None:
        request = make_request(deadline=Deadline(100.5, 101.0), timeout_s=1.0)
        assert deadline_of(request, clock=clock_ahead(9000.0), now=500.0) == Deadline(501.0, 501.0)

    def test_a_request_s_own_deadline_may_be_longer_than_its_class_s(self) -> None:
        request = make_request(deadline=Deadline(130.0))
        assert deadline_of(request, clock=clock_ahead(400.0)) == Deadline(530.0, math.inf)

    def test_a_deadline_that_has_passed_stays_so(self) -> None:
        request = make_request(deadline=Deadline(99.0, 99.0), timeout_s=0.0)
        assert deadline_of(request, clock=clock_ahead(400.0)).slack_s(now=500.0) == -1.0

    def test_before_the_clocks_are_compared_it_counts_from_arrival(self) -> None:
        request = make_request(deadline=Deadline(100.5, 101.0), timeout_s=0.75)
        assert deadline_of(request) == Deadline(500.75, 500.75)

    def test_a_peer_that_sends_none_has_its_timeout(self) -> None:
        assert deadline_of(make_request(timeout_s=0.25), clock=clock_ahead(400.0)) == Deadline(500.25, 500.25)

    def test_a_peer_that_sends_nothing_has_its_class_s(self) -> None:
        assert deadline_of(make_request(), clock=clock_ahead(400.0)) == Deadline(501.0, math.inf)
        assert deadline_of(make_request(traffic_class="endless")) == Deadline()
