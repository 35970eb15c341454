"""Logging of the process, configured for one test and put back after it."""

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import structlog

from aif_runtime.logs import configure_logging
from aif_runtime.process_settings import LogLevel
from support.manual_clock import ManualClock

LOGGED_SECRET = 'correct/horse+battery"staple'


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What has been logged so far, from info on, line by line."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("granulator", LogLevel.INFO, [LOGGED_SECRET], stream=stream, clock=ManualClock())
    yield lambda: [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
