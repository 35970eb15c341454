"""When the message that keeps a work queue's file is renewed."""

from typing import cast

from aif_runtime.nats_ballast import RENEWED_AFTER_MESSAGES, RENEWED_AFTER_SECONDS, Ballast
from aif_runtime.nats_connection import NatsConnection


class Sent:
    """A connection that counts what is sent over it."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def send(self, subject: str, payload: bytes = b"", *, headers: dict[str, str]) -> None:
        assert headers == {"Nats-TTL": "3s"}
        self.subjects.append(subject)


class Rig:
    def __init__(self) -> None:
        self.sent = Sent()
        self.now = 100.0
        self.ballast = Ballast(cast(NatsConnection, self.sent), "AIF_WORK", monotonic=lambda: self.now)

    async def renewed_by(self, taken: int) -> bool:
        before = len(self.sent.subjects)
        await self.ballast.keep(taken)
        return len(self.sent.subjects) > before


async def test_it_is_laid_down_with_the_first_message() -> None:
    rig = Rig()

    assert await rig.renewed_by(1)
    assert rig.sent.subjects == ["aif.ballast.AIF_WORK"]


async def test_it_is_renewed_after_so_many_messages() -> None:
    rig = Rig()
    await rig.ballast.keep(1)

    assert not await rig.renewed_by(RENEWED_AFTER_MESSAGES - 1)
    assert await rig.renewed_by(1)
    assert not await rig.renewed_by(1)


async def test_it_is_renewed_with_the_first_message_after_a_while() -> None:
    rig = Rig()
    await rig.ballast.keep(1)

    rig.now += RENEWED_AFTER_SECONDS - 0.01
    too_early = await rig.renewed_by(1)
    rig.now += 0.01

    assert not too_early
    assert await rig.renewed_by(1)
