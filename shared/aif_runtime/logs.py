"""Logs are events: one JSON object a line on stderr, with a stable `event` name and ids as fields.

Our own events (structlog) and those of libraries (the standard `logging`) pass the same redaction and leave by the same writer.
"""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import WrappedLogger

from aif_runtime.clock import Clock, SystemClock, rfc3339
from aif_runtime.process_settings import LogLevel
from aif_runtime.redaction import Redactor

_LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
_LIBRARIES_AT_LEAST = logging.WARNING
_TRACEBACK_LIMIT = 30
_FIRST_FIELDS = ("time", "level", "event", "service")
_OUR_LOGGERS = "aif_"
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({})))

_ids_here: ContextVar[Mapping[str, str | int]] = ContextVar("aif_log_ids", default=MappingProxyType({}))


def configure_logging(
    service: str,
    level: LogLevel,
    secrets: Iterable[str],
    *,
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> Redactor:
    """Direct all logging of this process to JSON lines. Returns the redactor, for the other ways out of the process.

    Libraries are heard from warning on, whatever `level` is, except at debug, where everything is.
    """
    redactor = Redactor(secrets)
    writer = _LineWriter(service=service, redactor=redactor, stream=stream or sys.stderr, clock=clock or SystemClock())
    threshold = _LEVELS[level]
    structlog.configure(
        processors=[_with_ids, structlog.processors.add_log_level, writer.write_event],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    libraries_at_least = threshold if level is LogLevel.DEBUG else max(threshold, _LIBRARIES_AT_LEAST)
    root.addHandler(_LibraryRecords(writer, libraries_at_least))
    root.setLevel(threshold)
    logging.captureWarnings(True)
    return redactor


def name_lines(ids: Mapping[str, str | int]) -> None:
    """Put ids such as `execution_id` and `trace_id` on every line logged from now on, in this asyncio task and below.

    Costs next to nothing until a line is logged.
    """
    _ids_here.set(ids)


def _with_ids(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in _ids_here.get().items():
        event.setdefault(name, value)
    return event


class _LineWriter:
    def __init__(self, *, service: str, redactor: Redactor, stream: TextIO, clock: Clock) -> None:
        self._service = service
        self._redactor = redactor
        self._stream = stream
        self._clock = clock
        self._encoder = msgspec.json.Encoder()

    def write_event(self, _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
        """The last structlog processor: writes the event; nothing is left for structlog's own logger to do."""
        fields = dict(event)
        name = str(fields.pop("event", ""))
        level = str(fields.pop("level", "info"))
        error = _exception_of(fields.pop("exc_info", None))
        self.write(level, name, fields, error)
        return ""

    def write(self, level: str, event: str, fields: Mapping[str, Any], error: BaseException | None) -> None:
        line: dict[str, Any] = {"time": rfc3339(self._clock.now()), "level": level, "event": event, "service": self._service}
        line.update((name, value) for name, value in fields.items() if name not in _FIRST_FIELDS)
        if error is not None:
            line["error_type"] = type(error).__name__
            line["traceback"] = "".join(traceback.format_exception(error, limit=-_TRACEBACK_LIMIT))
        text = self._encoder.encode(self._redactor.value(line)).decode()
        # A disk without room for a line is no reason to fail for the work that wanted to tell of itself.
        with contextlib.suppress(OSError):
            self._stream.write(text + "\n")
            self._stream.flush()


class _LibraryRecords(logging.Handler):
    """Brings records of the standard library's loggers (uvicorn, nats, asyncpg, asyncio …) to the same writer.

    Some parts of ours log there, too: their message is the event, and what they name as `extra` are its fields. The level of
    the process holds for them as for the rest of ours. What a library only warns of, as of a server that is away, it survives:
    its error is told in words, without the way through the library's code.
    """

    def __init__(self, writer: _LineWriter, libraries_at_least: int) -> None:
        super().__init__()
        self._writer = writer
        self._libraries_at_least = libraries_at_least

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        error = record.exc_info[1] if record.exc_info else None
        if record.name.startswith(_OUR_LOGGERS):
            extra = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
            self._writer.write(level, record.getMessage(), {"logger": record.name, **extra}, error)
            return
        if record.levelno < self._libraries_at_least:
            return
        fields = {"logger": record.name, "message": record.getMessage()}
        if error is not None and record.levelno < logging.ERROR:
            fields["error"], error = f"{type(error).__name__}: {error}", None
        self._writer.write(level, "library_message", fields, error)


def _exception_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None
