"""Pairs of datagram sockets stand in for the two devices, and a clock that the test sets for time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.link.settings import Change, LinkSettings
from ops.link.shuttle import READS_IN_A_TURN, Shuttle
from proxy.testing.clock import ManualClock


class Bench:
    """A shuttle and the programs at its devices' other ends."""

    def __init__(self, settings: LinkSettings, near: socket.socket, far: socket.socket, devices: list[int]) -> None:
        self.clock = ManualClock(now=100.0)
        self.near, self.far, self.devices = near, far, devices
        self.shuttle = Shuttle(settings, seed=1, near=devices[0], far=devices[1], clock=self.clock)

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.shuttle.turn(self.devices)

    def ask(self, what: str, **arguments: object) -> Any:
        return json.loads(self.shuttle.answer(json.dumps({"what": what, **arguments}).encode()))


def heard(end: socket.socket) -> list[bytes]:
    packets = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packets.append(end.recv(2048))
    return packets


@pytest.fixture(name="sockets")
def make_sockets() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(end) for _ in range(2) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ]
        for end in made:
            end.settimeout(0.0)
        yield made


def bench(sockets: list[socket.socket], settings: LinkSettings) -> Bench:
    near, near_device, far, far_device = sockets
    return Bench(settings, near, far, [near_device.fileno(), far_device.fileno()])


def test_packets_cross_in_both_directions_at_their_time(sockets: list[socket.socket]) -> None:
    one = bench(sockets, LinkSettings(delay_s=0.05))
    one.near.send(b"up")
    one.far.send(b"down")
    one.turn()
    assert one.shuttle.wait_s() == pytest.approx(0.05)
    assert (heard(one.near), heard(one.far)) == ([], [])
    one.turn(0.051)
    assert (heard(one.near), heard(one.far)) == ([b"down"], [b"up"])
    assert one.shuttle.wait_s() is None


def test_a_turn_takes_in_no_more_than_its_share(sockets: list[socket.socket]) -> None:
    one = bench(sockets, LinkSettings())
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            one.near.send(b"x")
            sent += 1
    assert sent > READS_IN_A_TURN
    one.turn()
    assert len(heard(one.far)) == READS_IN_A_TURN


def test_a_receiver_without_room_loses_the_packet_and_nothing_else(sockets: list[socket.socket]) -> None:
    one = bench(sockets, LinkSettings())
    for _ in range(1000):
        one.near.send(b"x" * 100)
        one.turn()
    assert 0 < len(heard(one.far)) < 1000
    one.near.send(b"next")
    one.turn()
    assert heard(one.far) == [b"next"]


def test_what_can_be_asked_of_it(sockets: list[socket.socket]) -> None:
    one = bench(sockets, LinkSettings(delay_s=0.05, changes=(Change(1.0, {"delay_s": 0.2}),)))
    assert one.ask("change", values={"delay_s": 0.01}, direction="up") == {"answer": None}
    one.near.send(b"a")
    one.turn()
    assert one.shuttle.wait_s() == pytest.approx(0.01)
    one.turn(0.02)
    statistics = one.ask("statistics", reset=True)["answer"]
    assert (statistics["up"]["delivered"], statistics["seconds"]) == (1, pytest.approx(0.02))
    assert one.ask("statistics", reset=False)["answer"]["up"]["delivered"] == 0
    assert one.ask("restart_clock") == {"answer": pytest.approx(100.02)}
    assert one.shuttle.wait_s() == pytest.approx(1.0)
    assert one.ask("stop") == {"answer": os.getpid()}
    assert one.shuttle.stopping


def test_a_bad_question_harms_nothing(sockets: list[socket.socket]) -> None:
    one = bench(sockets, LinkSettings())
    assert one.ask("change", values={"loss": 2}, direction=None) == {
        "error": "loss is 2; allowed: a share from 0 to 1",
        "refused": True,
    }
    for question in (b"", b"[]", b"{}", b'{"what": "dance"}', b'{"what": "change", "values": {}, "direction": "left"}'):
        answer = json.loads(one.shuttle.answer(question))
        assert answer["error"].startswith("no question for a link"), question
    assert one.ask("statistics", reset=False)["answer"]["up"]["packets"] == 0


def test_its_log_has_a_line_for_each_packet(sockets: list[socket.socket], tmp_path: Path) -> None:
    one = bench(sockets, LinkSettings(delay_s=0.05))
    file = tmp_path / "log.tsv"
    assert one.ask("log", path=str(file)) == {"answer": None}
    assert "writes a log already" in one.ask("log", path=str(file))["error"]
    one.clock.advance(1.0)
    assert one.ask("mark") == {"answer": 101.0}
    one.near.send(b"12345")
    one.turn()
    one.ask("change", values={"loss": 1}, direction=None)
    one.far.send(b"1234567")
    one.turn(0.06)
    assert one.ask("end_log") == {"answer": None}
    one.near.send(b"not any more")
    one.turn()
    fields = [line.split("\t") for line in file.read_text().splitlines()[1:]]
    assert [(line[0], line[1], line[2], line[4]) for line in fields] == [
        ("0.060000", "down", "7", "lost"),
        ("0.000000", "up", "5", "delivered"),
    ]


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(sockets: list[socket.socket], tmp_path: Path) -> None:
    one = bench(sockets, LinkSettings())
    answer = one.ask("log", path=str(tmp_path / "none" / "log.tsv"))
    assert "none/log.tsv" in answer["error"]
    assert not answer["refused"]


def test_it_shows_its_state(sockets: list[socket.socket]) -> None:
    assert repr(bench(sockets, LinkSettings()).shuttle).startswith("<Shuttle  <Model <Lane up waiting=0 B")
