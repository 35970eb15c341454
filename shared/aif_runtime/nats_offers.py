"""Offers over NATS: plain messages to a queue group, which nobody stores.

Where nobody listens the broker itself answers at once, with a status and no content: that is a refusal like any other.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aif_runtime.bus import Offer, OfferTaker
from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_connection import NatsConnection
from aif_runtime.nats_wire import Arrived
from aif_runtime.prepared_message import Prepared

_logger = logging.getLogger(__name__)


async def make_offers(connection: NatsConnection, offers: Sequence[Offer]) -> None:
    """Raises BusUnavailable."""
    await connection.send_all(
        (offer.refused_to, Prepared(subject=offer.subject, payload=offer.payload, headers=offer.headers)) for offer in offers
    )


@asynccontextmanager
async def taking_offers(connection: NatsConnection, subject: str, group: str, taker: OfferTaker) -> AsyncIterator[None]:
    """As `Bus.take_offers`. What had been sent to this member when the context ends is still taken or refused."""
    refused: asyncio.Queue[str] = asyncio.Queue()

    def take(message: Arrived) -> None:
        if not message.reply:
            _logger.warning("offer_from_nobody", extra={"subject": message.subject})
            return
        offer = Offer(subject=message.subject, payload=message.data, headers=message.headers, refused_to=message.reply)
        if not taker(offer):
            refused.put_nowait(message.reply)

    refusing = asyncio.create_task(_refuse(connection, refused))
    try:
        subscription = await connection.subscribe(subject, take, queue=group)
        try:
            await connection.flush()
            yield
        finally:
            await connection.drain(subscription)
            await refused.join()
    finally:
        refusing.cancel()


async def _refuse(connection: NatsConnection, refused: "asyncio.Queue[str]") -> None:
    while True:
        reply = await refused.get()
        try:
            await connection.send(reply)
        except BusUnavailable as failure:
            _logger.warning("offer_not_refused", extra={"reason": str(failure)})
        finally:
            refused.task_done()
