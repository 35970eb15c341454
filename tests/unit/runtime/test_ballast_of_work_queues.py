"""When the message that keeps a work queue's file is renewed."""

from typing import cast

from aif_runtime import nats_ballast
from aif_runtime.nats_ballast import Ballast
from aif_runtime.nats_connection import NatsConnection


class Sent:
    """A connection that counts what is sent over it."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def send(self, subject: str, payload: bytes = b"", *, headers: dict[str, str]) -> None:
        assert headers == {"Nats-Rollup": "sub"}
        self.subjects.append(subject)


async def test_it_is_laid_down_with_the_first_messages_and_renewed_after_so_many_more() -> None:
    sent = Sent()
    ballast = Ballast(cast(NatsConnection, sent), "AIF_WORK")

    await ballast.keep(1)
    for _ in range(nats_ballast.RENEWED_AFTER_MESSAGES - 1):
        await ballast.keep(1)
    before_the_last = list(sent.subjects)
    await ballast.keep(1)

    assert before_the_last == ["aif.ballast.AIF_WORK"]
    assert len(sent.subjects) == 2
