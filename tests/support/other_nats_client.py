"""Another system's connection to NATS: the client library as it is."""

from nats.aio.client import Client


async def all_is_read(client: Client) -> None:
    """Return when the broker has read all that was sent. The library's ping overtakes what it has not yet written; only the
    second comes behind it."""
    await client.flush()
    await client.flush()
