import pytest

from aif_runtime.telemetry import TracingOff
from aif_runtime.trace_headers import TraceParent, read_trace_headers, write_trace_headers

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PARENT = TraceParent(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331", sampled=True)


def test_headers_are_read_and_written() -> None:
    assert read_trace_headers({"traceparent": HEADER}) == PARENT
    assert write_trace_headers(PARENT) == {"traceparent": HEADER}


def test_tracestate_travels_along() -> None:
    parent = read_trace_headers({"Traceparent": HEADER, "tracestate": "vendor=1"})

    assert parent is not None
    assert write_trace_headers(parent) == {"traceparent": HEADER, "tracestate": "vendor=1"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        HEADER.replace("00-0af7", "ff-0af7"),
        HEADER + "-more",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        HEADER.replace("0af7", "zzzz"),
    ],
)
def test_a_malformed_trace_is_no_trace(header: str) -> None:
    assert read_trace_headers({"traceparent": header}) is None


def test_a_later_version_may_say_more() -> None:
    parent = read_trace_headers({"traceparent": "01" + HEADER[2:] + "-more"})

    assert parent is not None
    assert parent.trace_id == "0af7651916cd43dd8448eb211c80319c"


def test_an_untraced_process_hands_the_trace_on() -> None:
    tracing = TracingOff()
    headers = {"traceparent": HEADER, "Nats-Msg-Id": "x"}

    with tracing.span("attempt", parent=headers) as span:
        onward = span.headers

    assert onward == {"traceparent": HEADER}
    assert tracing.record_span("wait", start_ns=1, end_ns=2, parent=headers) == {"traceparent": HEADER}
