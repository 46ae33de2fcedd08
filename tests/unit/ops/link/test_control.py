from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from ops.link import control
from ops.link.errors import LinkError, LinkGoneError, SettingsError

NAMES = (f"test-{os.getpid()}-{number}" for number in itertools.count())


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A link that answers one question, whatever it is."""
    name = next(NAMES)
    questions: list[bytes] = []
    with control.listener(name) as listener:
        listener.settimeout(5.0)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                questions.append(connection.recv(control.LONGEST_BYTES))
                assert control.from_same_user(connection)
                if answer:
                    connection.send(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield name, questions
        thread.join()


def test_a_question_and_its_answer() -> None:
    with answering(b'{"answer": [1, 2]}') as (name, questions):
        assert control.ask(name, "change", values={"loss": 0.5}) == [1, 2]
    assert json.loads(questions[0]) == {"what": "change", "values": {"loss": 0.5}}


@pytest.mark.parametrize(("refused", "kind"), [(True, SettingsError), (False, LinkError)])
def test_a_refusal_is_raised_here(refused: bool, kind: type[LinkError]) -> None:
    with (
        answering(json.dumps({"error": "loss is 2", "refused": refused}).encode()) as (name, _),
        pytest.raises(kind, match="loss is 2") as caught,
    ):
        control.ask(name, "change")
    assert type(caught.value) is kind


def test_a_link_that_is_gone() -> None:
    name = next(NAMES)
    with pytest.raises(LinkGoneError, match=f"link {name} does not answer"):
        control.ask(name, "statistics")


def test_a_link_that_hangs_up() -> None:
    with answering(b"") as (name, _), pytest.raises(LinkGoneError, match="closed the connection"):
        control.ask(name, "statistics")


def test_a_question_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(LinkError, match="too long a message; allowed: 65536"):
        control.ask(next(NAMES), "log", path="x" * control.LONGEST_BYTES)


def test_a_name_is_taken_once() -> None:
    name = next(NAMES)
    with control.listener(name), pytest.raises(OSError, match="in use"):
        control.listener(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as again:
        again.bind(control.address(name))
