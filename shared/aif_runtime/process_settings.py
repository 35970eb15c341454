"""The settings that every service has; a service's own struct inherits them."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_runtime.settings import Secret


class LogLevel(enum.StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class CommonSettings(Struct, frozen=True, kw_only=True):
    nats_url: Annotated[str, Meta(description="Where the NATS server listens")] = "nats://127.0.0.1:4222"
    nats_user: Annotated[str | None, Meta(description="This service's own NATS user; unset for a server without users")] = None
    nats_password: Annotated[Secret | None, Meta(description="Password of the NATS user")] = None
    blobs_url: Annotated[
        str,
        Meta(description="Where blobs lie: nats: (the NATS server's own stores), file:///folder or s3://bucket/prefix"),
    ] = "nats:"
    health_host: Annotated[str, Meta(description="Address of the port that serves /health and /metrics")] = "127.0.0.1"
    health_port: Annotated[int, Meta(ge=0, le=65535, description="Port for /health and /metrics; 0 takes any free one")] = 0
    ready_file: Annotated[
        str | None,
        Meta(description="File that is written once the service is ready: JSON with pid, port and service"),
    ] = None
    log_level: Annotated[LogLevel, Meta(description="Least level that is logged")] = LogLevel.INFO
    drain_seconds: Annotated[
        float,
        Meta(ge=0, le=3600, description="How long work in flight may take after SIGTERM before it is handed back"),
    ] = 25.0
    telemetry_name: Annotated[
        str | None,
        Meta(description="Name in traces; unset for the service's own name", extra={"env": "OTEL_SERVICE_NAME"}),
    ] = None
    telemetry_endpoint: Annotated[
        str | None,
        Meta(
            description="Base URL of an OTLP/HTTP receiver, for example http://127.0.0.1:4318; unset for no traces",
            extra={"env": "OTEL_EXPORTER_OTLP_ENDPOINT"},
        ),
    ] = None
