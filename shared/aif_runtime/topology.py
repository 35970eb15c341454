"""Everything the broker keeps for us, as data: streams, buckets, object stores, and how much and how long each may hold.

A stream that is full refuses new messages at once and says so (an old message is never thrown away to make room), because a
full disk would only look like silence. The limits together stay well below the disk of a small machine.
"""

import enum

from msgspec import Struct

from aif_contracts import subjects

GIB = 1024**3
DAY_SECONDS = 24 * 60 * 60.0
DUPLICATE_WINDOW_SECONDS = 120.0
SHORTEST_WINDOW_SECONDS = 0.1
"""The broker takes no shorter one."""


class Retention(enum.Enum):
    WORK_QUEUE = "work_queue"
    """A message is gone once its consumer has acknowledged it."""
    LIMITS = "limits"
    """Messages stay until they are too old; every durable consumer has its own place in them."""


class StreamSpec(Struct, frozen=True, kw_only=True):
    name: str
    subjects: tuple[str, ...]
    retention: Retention
    max_bytes: int
    max_age_seconds: float | None = None
    """None: kept until acknowledged."""
    duplicate_window_seconds: float = DUPLICATE_WINDOW_SECONDS
    """So long the broker drops a message under an id that the stream has seen, whoever sent the first."""
    replicas: int = 1


class BucketSpec(Struct, frozen=True, kw_only=True):
    """Entries by key, the latest value of each; an entry may carry its own time to live."""

    name: str
    max_bytes: int
    max_age_seconds: float | None = None
    replicas: int = 1
    drops_oldest: bool = False
    """Whether a full bucket makes room by itself, as a cache should, in place of refusing."""


class ObjectStoreSpec(Struct, frozen=True, kw_only=True):
    """Large values, kept in chunks."""

    name: str
    max_bytes: int
    max_age_seconds: float | None = None
    replicas: int = 1


class Topology(Struct, frozen=True, kw_only=True):
    streams: tuple[StreamSpec, ...]
    buckets: tuple[BucketSpec, ...]
    object_stores: tuple[ObjectStoreSpec, ...]


class StoreLimits(Struct, frozen=True, kw_only=True):
    """How large and how long. The sum of all sizes has to fit under the broker's file store."""

    stream_max_bytes: int = GIB
    """Each stream."""
    registry_max_bytes: int = 64 * 1024**2
    config_max_bytes: int = 64 * 1024**2
    responses_max_bytes: int = 256 * 1024**2
    responses_max_age_seconds: float = DAY_SECONDS
    blobs_kv_max_bytes: int = GIB
    blobs_max_bytes: int = 2 * GIB
    events_max_age_seconds: float = 7 * DAY_SECONDS
    performance_max_age_seconds: float = 7 * DAY_SECONDS
    dead_max_age_seconds: float = 30 * DAY_SECONDS
    blobs_max_age_seconds: float | None = None
    """None: blobs stay until they are collected."""
    replicas: int = 1
    """3 on a cluster of three brokers."""


def factory_topology(limits: StoreLimits | None = None) -> Topology:
    """The factory's streams, buckets and object stores under the given limits, by default those of a laptop."""
    chosen = limits if limits is not None else StoreLimits()
    return Topology(
        streams=(
            # Clients choose their ids without knowing of one another; the gateway tells them apart, the broker does not.
            _work_queue(
                subjects.STREAM_REQUESTS, subjects.ALL_REQUESTS, chosen, duplicate_window_seconds=SHORTEST_WINDOW_SECONDS
            ),
            _work_queue(subjects.STREAM_WORK, subjects.ALL_WORK, chosen),
            _work_queue(subjects.STREAM_REPORTS, subjects.ALL_REPORTS, chosen),
            _work_queue(subjects.STREAM_USAGE, subjects.ALL_USAGE, chosen),
            _work_queue(subjects.STREAM_AUDIT, subjects.ALL_AUDIT, chosen),
            _kept(subjects.STREAM_EVENTS, (subjects.ALL_EVENTS, subjects.ALL_ALERTS), chosen.events_max_age_seconds, chosen),
            _kept(subjects.STREAM_PERFORMANCE, (subjects.ALL_PERFORMANCE,), chosen.performance_max_age_seconds, chosen),
            _kept(subjects.STREAM_DEAD, (subjects.ALL_DEAD,), chosen.dead_max_age_seconds, chosen),
        ),
        buckets=(
            BucketSpec(name=subjects.BUCKET_REGISTRY, max_bytes=chosen.registry_max_bytes, replicas=chosen.replicas),
            BucketSpec(name=subjects.BUCKET_CONFIG, max_bytes=chosen.config_max_bytes, replicas=chosen.replicas),
            BucketSpec(
                name=subjects.BUCKET_RESPONSES,
                max_bytes=chosen.responses_max_bytes,
                max_age_seconds=chosen.responses_max_age_seconds,
                replicas=chosen.replicas,
                drops_oldest=True,
            ),
            BucketSpec(
                name=subjects.BUCKET_BLOBS_KV,
                max_bytes=chosen.blobs_kv_max_bytes,
                max_age_seconds=chosen.blobs_max_age_seconds,
                replicas=chosen.replicas,
            ),
        ),
        object_stores=(
            ObjectStoreSpec(
                name=subjects.BUCKET_BLOBS,
                max_bytes=chosen.blobs_max_bytes,
                max_age_seconds=chosen.blobs_max_age_seconds,
                replicas=chosen.replicas,
            ),
        ),
    )


def _work_queue(
    name: str, subject: str, limits: StoreLimits, *, duplicate_window_seconds: float = DUPLICATE_WINDOW_SECONDS
) -> StreamSpec:
    return StreamSpec(
        name=name,
        subjects=(subject,),
        retention=Retention.WORK_QUEUE,
        duplicate_window_seconds=duplicate_window_seconds,
        max_bytes=limits.stream_max_bytes,
        replicas=limits.replicas,
    )


def _kept(name: str, listened: tuple[str, ...], max_age_seconds: float, limits: StoreLimits) -> StreamSpec:
    return StreamSpec(
        name=name,
        subjects=listened,
        retention=Retention.LIMITS,
        max_bytes=limits.stream_max_bytes,
        max_age_seconds=max_age_seconds,
        replicas=limits.replicas,
    )
