"""What every service opens first: the bus with its topology declared, and the blob store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from aif_runtime.blob_folder import folder_check
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.failures import SettingsInvalid
from aif_runtime.nats_bus import NatsBus
from aif_runtime.open_blob_store import open_blob_store
from aif_runtime.process import S, Surroundings
from aif_runtime.watched_blobs import WatchedBlobStore


class Connections(Struct, frozen=True, kw_only=True):
    bus: NatsBus
    blobs: WholeBlobStore


@asynccontextmanager
async def open_connections(surroundings: Surroundings[S]) -> AsyncIterator[Connections]:
    """Connect, and watch the connection and the store on the health page.

    A service with a NATS user of its own hears replies below `_INBOX.<user>` only. Raises BusUnavailable, SettingsInvalid.
    """
    settings = surroundings.settings
    async with await NatsBus.connect(
        settings.nats_url,
        name=surroundings.instance_id,
        user=settings.nats_user,
        password=settings.nats_password.reveal() if settings.nats_password is not None else None,
        inbox_prefix=f"_INBOX.{settings.nats_user}" if settings.nats_user is not None else "_INBOX",
    ) as bus:
        await bus.declare_topology()

        async def check() -> str | None:
            return bus.trouble

        async def check_blobs() -> str | None:
            return blobs.trouble or (await look() if look is not None else None)

        blobs = WatchedBlobStore(_blob_store(settings.blobs_url, bus))
        look = folder_check(settings.blobs_url)
        surroundings.health.add("nats", check)
        surroundings.health.add("blobs", check_blobs)
        yield Connections(bus=bus, blobs=blobs)


def _blob_store(url: str, bus: NatsBus) -> WholeBlobStore:
    try:
        return open_blob_store(url, bus)
    except ValueError as mistake:
        raise SettingsInvalid((f"AIF_BLOBS_URL: {mistake}",)) from mistake
