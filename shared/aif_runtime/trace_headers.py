"""W3C trace context in message headers: `traceparent` says which trace and which span a message belongs to."""

import hashlib
import re
from collections.abc import Mapping

from msgspec import Struct

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_SHAPE = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")
_SAMPLED = 0x01
_SPAN_ID_BYTES = 8


class TraceParent(Struct, frozen=True, kw_only=True):
    trace_id: str
    """32 hex digits, not all zero."""
    span_id: str
    """16 hex digits, not all zero."""
    sampled: bool
    tracestate: str = ""


def read_trace_headers(headers: Mapping[str, str] | None) -> TraceParent | None:
    """The sender's span, or None when there is none or what is there is malformed: a broken trace never breaks the work."""
    text = _header(headers, TRACEPARENT)
    match = _SHAPE.match(text.strip().lower()) if text else None
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    if not int(match[2], 16) or not int(match[3], 16):
        return None
    return TraceParent(
        trace_id=match[2],
        span_id=match[3],
        sampled=bool(int(match[4], 16) & _SAMPLED),
        tracestate=_header(headers, TRACESTATE),
    )


def write_trace_headers(parent: TraceParent) -> dict[str, str]:
    headers = {TRACEPARENT: f"00-{parent.trace_id}-{parent.span_id}-{'01' if parent.sampled else '00'}"}
    if parent.tracestate:
        headers[TRACESTATE] = parent.tracestate
    return headers


def headers_of_child(parent: Mapping[str, str], name: str) -> dict[str, str]:
    """Of the span that is going to be recorded under this name: the same id whoever works it out, and whenever.

    So a span can have children in other processes before it has ended itself. Empty when there is no trace.
    """
    read = read_trace_headers(parent)
    if read is None:
        return {}
    digest = hashlib.blake2b(f"{read.trace_id}{read.span_id}{name}".encode(), digest_size=_SPAN_ID_BYTES)
    child = TraceParent(trace_id=read.trace_id, span_id=digest.hexdigest(), sampled=read.sampled, tracestate=read.tracestate)
    return write_trace_headers(child)


def trace_headers_only(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a message's headers those that continue its trace, to hand on."""
    return {name: headers[name] for name in (TRACEPARENT, TRACESTATE) if name in headers}


def _header(headers: Mapping[str, str] | None, name: str) -> str:
    if not headers:
        return ""
    return headers.get(name) or headers.get(name.title()) or ""
