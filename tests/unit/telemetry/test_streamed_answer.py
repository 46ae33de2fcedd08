from __future__ import annotations

import math

import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.streamed_answer import StreamedAnswer
from proxy.testing.calls import MemoryCarrier, exchange
from proxy.testing.clock import ManualClock
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall


class Story:
    """A call with a deadline of a second, whose answer's messages are sent at the given times."""

    def __init__(self, *sent_at: float, token_deadline_s: float, requested_at: float = 0.0, limit_at: float = math.inf):
        self.clock = ManualClock()
        self.sent_at = sent_at
        self.requested_at = requested_at
        self.head = CallHead("/a/b", deadline=Deadline(1.0, limit_at))
        self.token_deadline_s = token_deadline_s
        self.answer: StreamedAnswer

    async def __call__(self, call: IncomingCall) -> None:
        self.clock.advance(self.requested_at)
        self.answer = StreamedAnswer(call, self.head, token_deadline_s=self.token_deadline_s, clock=self.clock)
        assert (self.answer.on_time, self.answer.first_message_at) == (None, None)
        assert await self.answer.receive() == b"request"
        await self.answer.send_initial_metadata((("k", "v"),))
        for number, at in enumerate(self.sent_at):
            self.clock.advance(at - self.clock.now())
            await self.answer.send(f"{number}".encode())
        await self.answer.finish(CallStatus(Code.OK))

    async def run(self) -> StreamedAnswer:
        answer = await exchange(MemoryCarrier(self), self.head, b"request")
        assert (answer.initial, len(answer.messages), answer.status.code) == ((("k", "v"),), len(self.sent_at), Code.OK)
        return self.answer


@pytest.mark.parametrize(
    ("story", "on_time"),
    [
        (Story(0.9, 1.8, 2.7, token_deadline_s=1.0), True),
        (Story(1.1, 1.2, token_deadline_s=1.0), False),
        (Story(0.9, 2.0, token_deadline_s=1.0), False),
        # Without a deadline of their own all messages are due when the first is.
        (Story(0.5, 1.0, token_deadline_s=math.inf), True),
        (Story(0.5, 1.1, token_deadline_s=math.inf), False),
        # It is due a second after the request came, however long the stream was open before.
        (Story(4.9, token_deadline_s=1.0, requested_at=4.0), True),
        (Story(5.1, token_deadline_s=1.0, requested_at=4.0), False),
        # Nothing is due after the gRPC deadline.
        (Story(0.9, 1.6, token_deadline_s=1.0, limit_at=1.5), False),
    ],
)
async def test_every_message_has_to_be_in_time(story: Story, on_time: bool) -> None:
    answer = await story.run()
    assert (answer.on_time, answer.first_message_at) == (on_time, story.sent_at[0])
    assert answer.head is not None
    assert f"on_time={on_time}" in repr(answer)
