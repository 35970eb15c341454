"""From the blob store's URL in the settings to the store."""

from aif_runtime.blobs import WholeBlobStore
from aif_runtime.bus import Bus
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.obstore_blobs import ObstoreBlobStore

NATS_OF_THE_BUS = "nats:"


def open_blob_store(url: str, bus: Bus) -> WholeBlobStore:
    """`nats:` is the NATS of the bus; `file:///folder`, `s3://bucket/prefix` and `memory://` are stores of their own.

    Raises ValueError for a URL that names no store.
    """
    if url != NATS_OF_THE_BUS:
        return ObstoreBlobStore.from_url(url)
    if not isinstance(bus, NatsBus):
        raise ValueError(
            f"blob store URL {url!r} means the bus's own NATS, and this bus has none: use memory:// or file:///folder"
        )
    return NatsBlobStore(bus)
