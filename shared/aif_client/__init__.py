"""A factory for Python programs: pipelines ordered, followed and read over HTTP."""

from aif_client.executor import PipelineExecutor
from aif_client.failures import ClientFailure, ExecutionNotEnded, GatewayUnavailable, RequestRefused
from aif_client.result import ExecutionResult

__all__ = [
    "ClientFailure",
    "ExecutionNotEnded",
    "ExecutionResult",
    "GatewayUnavailable",
    "PipelineExecutor",
    "RequestRefused",
]
