"""A factory for Python programs: pipelines ordered, followed and read over HTTP."""

from aif_client.executor import PipelineExecutor
from aif_client.failures import ArgumentInvalid, ClientFailure, ExecutionNotEnded, GatewayUnavailable, RequestRefused
from aif_client.result import ExecutionResult

__all__ = [
    "ArgumentInvalid",
    "ClientFailure",
    "ExecutionNotEnded",
    "ExecutionResult",
    "GatewayUnavailable",
    "PipelineExecutor",
    "RequestRefused",
]
