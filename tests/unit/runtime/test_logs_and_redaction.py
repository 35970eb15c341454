import asyncio
import base64
import errno
import io
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from aif_runtime.logs import configure_logging, name_lines
from aif_runtime.process_settings import LogLevel
from aif_runtime.redaction import Redactor
from support.manual_clock import ManualClock

SECRET = 'correct/horse+battery"staple'


Lines = Callable[[], list[dict[str, Any]]]


class FullDisk(io.StringIO):
    """A file where nothing can be written."""

    refusals = 0

    def write(self, text: str, /) -> int:
        self.refusals += 1
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_event_is_one_json_line_with_its_fields(log_lines: Lines) -> None:
    structlog.get_logger().info("packet_buried", reason="poison", deliveries=6)

    assert log_lines() == [
        {
            "time": "2026-05-01T09:30:00.000Z",
            "level": "info",
            "event": "packet_buried",
            "service": "granulator",
            "reason": "poison",
            "deliveries": 6,
        }
    ]


async def test_the_ids_of_a_task_are_on_every_line_of_it_and_below(log_lines: Lines) -> None:
    log = structlog.get_logger()

    async def attempt() -> None:
        name_lines({"execution_id": "exec_1", "attempt": 2})
        log.info("inside", attempt=3)
        await asyncio.create_task(below())

    async def below() -> None:
        log.info("below")

    await asyncio.create_task(attempt())
    log.info("outside")

    assert [(line.get("execution_id"), line.get("attempt")) for line in log_lines()] == [
        ("exec_1", 3),
        ("exec_1", 2),
        (None, None),
    ]


def test_lines_below_the_level_are_not_written(log_lines: Lines) -> None:
    structlog.get_logger().debug("too_fine")

    assert log_lines() == []


def test_libraries_write_the_same_way_from_warning_on(log_lines: Lines) -> None:
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("nats").warning("lost %s", "the server")

    assert [(line["event"], line["logger"], line["message"]) for line in log_lines()] == [
        ("library_message", "nats", "lost the server")
    ]


def test_what_our_own_parts_log_by_the_standard_library_is_an_event_with_its_fields(log_lines: Lines) -> None:
    violation = {"connection": "kam", "error": f"permissions violation for {SECRET}"}
    logging.getLogger("aif_runtime.nats_connection").error("nats_permission_violation", extra=violation)

    assert log_lines() == [
        {
            "time": "2026-05-01T09:30:00.000Z",
            "level": "error",
            "event": "nats_permission_violation",
            "service": "granulator",
            "logger": "aif_runtime.nats_connection",
            "connection": "kam",
            "error": "permissions violation for ***",
        }
    ]


def test_what_our_own_parts_log_by_the_standard_library_is_heard_from_the_level_of_the_process_on(log_lines: Lines) -> None:
    logging.getLogger("aif_runtime.nats_connection").debug("nats_pinged")
    logging.getLogger("aif_runtime.nats_connection").info("nats_reconnected", extra={"connection": "kam"})

    assert [(line["level"], line["event"], line["connection"]) for line in log_lines()] == [("info", "nats_reconnected", "kam")]


def test_an_error_that_a_library_only_warns_of_is_told_in_words(log_lines: Lines) -> None:
    try:
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connection refused by {SECRET}")
    except ConnectionRefusedError:
        logging.getLogger("asyncpg.pool").warning("Failed to restore the pool", exc_info=True)
        logging.getLogger("asyncio").exception("Task exception was never retrieved")

    warning, error = log_lines()
    assert warning["error"] == "ConnectionRefusedError: [Errno 111] Connection refused by ***"
    assert "traceback" not in warning
    assert error["error_type"] == "ConnectionRefusedError"
    assert "Connection refused by ***" in error["traceback"]


@pytest.mark.usefixtures("log_lines")
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else() -> None:
    with FullDisk() as full:
        configure_logging("granulator", LogLevel.INFO, [], stream=full)

        structlog.get_logger().warning("told_in_vain")

    assert full.refusals == 1


def test_warnings_of_python_are_logged(log_lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)

    assert "old way" in log_lines()[0]["message"]


def test_an_exception_is_told_with_its_trace_and_without_secrets(log_lines: Lines) -> None:
    try:
        raise ValueError(f"refused: {SECRET}")
    except ValueError:
        structlog.get_logger().error("part_broke", exc_info=True)

    [line] = log_lines()
    assert line["error_type"] == "ValueError"
    assert "refused: ***" in line["traceback"]
    assert "horse" not in line["traceback"]


def test_secrets_are_taken_out_of_nested_values_and_keys(log_lines: Lines) -> None:
    structlog.get_logger().info("odd", detail={"list": [f"a {SECRET} b"], SECRET: 1, "password": "short"}, raw=SECRET.encode())

    [line] = log_lines()
    assert line["detail"] == {"list": ["a *** b"], "***": 1, "password": "***"}
    assert line["raw"] == "***"


def test_what_cannot_be_written_as_json_is_written_as_text(log_lines: Lines) -> None:
    structlog.get_logger().info("odd", thing=object, self_made=ManualClock)

    assert log_lines()[0]["thing"] == "<class 'object'>"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key sk-proj-abcDEF123456 used", "key *** used"),
        ("Authorization: Bearer eyJhbGciOi.x.y", "Authorization: Bearer ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("postgres://kam:s3cr3t@db:5432/aif", "postgres://***@db:5432/aif"),
        ("postgresql://kam:s3cr3t@/aif?host=/a%20b&port=5432", "postgresql://***@/aif?host=/a%20b&port=5432"),
        ("nats://user:p%40ss@host", "nats://***@host"),
        ("http://host:8080/path", "http://host:8080/path"),
        ("af_live_k1_abcdefghijk_1a2b", "***"),
        ("GET /x?api_key=abc&y=1", "GET /x?api_key=***&y=1"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----.", "***."),
        ("the task-oriented risk-averse desk", "the task-oriented risk-averse desk"),
        ("rk-0123456789 or pk-0123456789", "*** or ***"),
        ("ASIAIOSFODNN7EXAMPLE", "***"),
        ("af_test_k1_abcdefghijk_1a2b", "***"),
        *((f"gh{kind}_0123456789abcdef", "***") for kind in "pousr"),
        ("authorization: BASIC dXNlcjpwYXNz", "authorization: BASIC ***"),
        ("PASSWORD=abc access_token=def", "PASSWORD=*** access_token=***"),
        ("pa\u017f\u017fword=abc", "pa\u017f\u017fword=***"),
    ],
)
def test_secrets_are_known_by_their_shape(text: str, clean: str) -> None:
    assert Redactor().text(text) == clean


def test_a_large_text_in_which_nothing_looks_like_a_secret_takes_little_time() -> None:
    redactor = Redactor(["a secret of ours"])
    large = "[" * 500_000

    with_nothing = _cpu_seconds(lambda: redactor.text(large))
    with_something = _cpu_seconds(lambda: redactor.text(f"{large} password=abc"))

    assert with_nothing * 4 < with_something


def test_tokens_used_is_no_secret() -> None:
    assert Redactor().value({"tokens_used": 120, "max_tokens": 5}) == {"tokens_used": 120, "max_tokens": 5}


@given(
    secret=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=8, max_size=40),
    before=st.binary(max_size=4),
    after=st.binary(max_size=4),
)
def test_a_known_secret_is_found_in_every_spelling(secret: str, before: bytes, after: bytes) -> None:
    redactor = Redactor([secret])
    spelled = (
        secret,
        quote(secret, safe=""),
        msgspec.json.encode(secret).decode(),
        repr(secret),
    )

    for text in spelled:
        assert text.strip("\"'") not in redactor.text(f"<{text}>")
    in_base64 = base64.b64encode(before + secret.encode() + after).decode()
    assert "***" in redactor.text(in_base64)
    with_leak = redactor.text(in_base64).split("***")
    assert all(len(part) <= 12 for part in with_leak)


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
