"""The topology, declared to a NATS server."""

from typing import Any

from aif_contracts import subjects
from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_connection import JetStreamRefusal, NatsConnection
from aif_runtime.topology import BucketSpec, ObjectStoreSpec, Retention, StreamSpec, Topology

NAME_TAKEN = 10058
"""The stream is there with another configuration."""
NANOSECONDS = 1_000_000_000


async def declare(connection: NatsConnection, topology: Topology) -> None:
    """Make what is missing and update what has other limits. Harmless when repeated, by several processes at once too.

    Raises BusUnavailable when the broker does not answer or refuses.
    """
    for config in configurations(topology):
        try:
            await _declare_stream(connection, config)
        except JetStreamRefusal as refusal:
            raise BusUnavailable(f"the broker refuses the stream {config['name']}: {refusal}") from refusal


async def _declare_stream(connection: NatsConnection, config: dict[str, Any]) -> None:
    try:
        await connection.api(f"STREAM.CREATE.{config['name']}", config, dict)
    except JetStreamRefusal as refusal:
        if refusal.error.err_code != NAME_TAKEN:
            raise
        await connection.api(f"STREAM.UPDATE.{config['name']}", config, dict)


def configurations(topology: Topology) -> list[dict[str, Any]]:
    """Every stream as JetStream wants to be told; buckets and object stores are streams with agreed names and subjects."""
    return [
        *(_stream(spec) for spec in topology.streams),
        *(_bucket(spec) for spec in topology.buckets),
        *(_object_store(spec) for spec in topology.object_stores),
    ]


def bucket_stream(bucket: str) -> str:
    return f"KV_{bucket}"


def object_stream(store: str) -> str:
    return f"OBJ_{store}"


def _stream(spec: StreamSpec) -> dict[str, Any]:
    is_queue = spec.retention is Retention.WORK_QUEUE
    return {
        "name": spec.name,
        "subjects": [*spec.subjects, *([subjects.ballast(spec.name)] if is_queue else [])],
        "retention": "workqueue" if is_queue else "limits",
        # For the ballast alone. No roll-ups: by one header of one message everybody else's would be gone.
        "allow_msg_ttl": is_queue,
        "duplicate_window": _nanoseconds(spec.duplicate_window_seconds),
        "allow_direct": True,
        "allow_batched": True,
        **_limits(spec),
    }


def _bucket(spec: BucketSpec) -> dict[str, Any]:
    return {
        "name": bucket_stream(spec.name),
        "subjects": [f"$KV.{spec.name}.>"],
        "max_msgs_per_subject": 1,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "deny_delete": True,
        **_limits(spec),
        "discard": "old" if spec.drops_oldest else "new",
    }


def _object_store(spec: ObjectStoreSpec) -> dict[str, Any]:
    return {
        "name": object_stream(spec.name),
        "subjects": [f"$O.{spec.name}.C.>", f"$O.{spec.name}.M.>"],
        "allow_direct": True,
        # Every NATS client describes its objects by roll-ups.
        "allow_rollup_hdrs": True,
        **_limits(spec),
    }


def _limits(spec: StreamSpec | BucketSpec | ObjectStoreSpec) -> dict[str, Any]:
    return {
        "storage": "file",
        "discard": "new",
        "max_bytes": spec.max_bytes,
        "max_age": _nanoseconds(spec.max_age_seconds or 0.0),
        "num_replicas": spec.replicas,
    }


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
