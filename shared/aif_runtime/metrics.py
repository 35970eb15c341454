"""Prometheus figures: one registry per process, made in wiring and passed on."""

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST


def new_registry(*, service: str, version: str) -> CollectorRegistry:
    """A registry that already tells the process's memory, CPU and open files, and what was built."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    Info("aif_service", "What runs here", registry=registry).info({"service": service, "version": version})
    return registry


def metrics_page(registry: CollectorRegistry) -> bytes:
    """The page that Prometheus reads, in OpenMetrics, exemplars included."""
    page: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return page
