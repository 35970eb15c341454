"""Statements out of files: what the providers' consoles export as CSV, and lists of single requests as CSV or JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_console.failures import BadInput
from aif_console.reconciliation.sides import StatementDay, StatementEntry, family
from aif_console.reconciliation.usage import Usage

OPTION = "--statement"
MEND = (
    "give the usage export of OpenAI or Anthropic, or a list of requests with the columns model, at, input_tokens, "
    "cache_read_tokens, cache_write_tokens, output_tokens, and response_id or client_request_id"
)
_OPENAI = frozenset({"start_time", "model", "input_tokens", "output_tokens", "num_model_requests"})
_OPENAI_WITHOUT_USE = frozenset({"start_time", "end_time", "start_time_iso", "end_time_iso"})
"""All columns of OpenAI's export of a time in which nothing was used."""
_ANTHROPIC = frozenset({"usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"})
_OPENAI_TOKENS = ("input_tokens", "output_tokens")
_ANTHROPIC_WRITES = ("cache_write_5m", "cache_write_1h", "cache_write")
"""The last one stands in older exports, alone."""
_REQUESTS = frozenset({"model", "at", "input_tokens", "output_tokens"})


class Statement(Struct, frozen=True, kw_only=True):
    """Days or entries, whichever the file tells."""

    days: Sequence[StatementDay] = ()
    entries: Sequence[StatementEntry] = ()
    names_requests: bool = False


class _Request(Struct, frozen=True, kw_only=True):
    """`input_tokens` are those that were neither read from nor written to a cache."""

    model: str
    at: datetime
    response_id: str | None = None
    client_request_id: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_usd: str | None = None


def read_statement(path: Path) -> Statement:
    """Raises BadInput for a file that is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        raise BadInput(OPTION, f"{path} cannot be read: {failure}", MEND) from failure
    try:
        if text.lstrip()[:1] == "[":
            return _of_requests(msgspec.json.decode(text, type=list[_Request]))
        return _of_rows(list(csv.DictReader(io.StringIO(text))))
    except (msgspec.MsgspecError, ValueError, InvalidOperation, KeyError) as wrong:
        raise BadInput(OPTION, f"{path.name} cannot be understood: {wrong}", MEND) from wrong


def _of_rows(rows: Sequence[Mapping[str, str]]) -> Statement:
    columns = set(rows[0]) if rows else set()
    if columns >= _OPENAI:
        return Statement(days=[_openai_day(row) for row in rows if any(_number(row, name) for name in _OPENAI_TOKENS)])
    if columns == _OPENAI_WITHOUT_USE:
        return Statement()
    if columns >= _ANTHROPIC:
        return Statement(days=[_anthropic_day(row) for row in rows])
    if columns >= _REQUESTS:
        said = ({name: value for name, value in row.items() if value} for row in rows)
        return _of_requests([msgspec.convert(row, _Request, strict=False) for row in said])
    raise ValueError("its columns are those of no known export" if rows else "it has no row")


def _openai_day(row: Mapping[str, str]) -> StatementDay:
    """`input_tokens` of OpenAI hold the cached ones, too. Its models are told when the export is grouped by them."""
    if not row["model"]:
        raise ValueError("it tells tokens and not of which model; group the usage by model before you export it")
    read, written = _number(row, "input_cached_tokens"), _number(row, "input_cache_write_tokens")
    return StatementDay(
        day=datetime.fromtimestamp(int(row["start_time"]), UTC).date(),
        model=family(row["model"]),
        usage=Usage(
            input=_number(row, "input_tokens") - read - written,
            cache_read=read,
            cache_write=written,
            output=_number(row, "output_tokens"),
        ),
        requests=_number(row, "num_model_requests"),
    )


def _anthropic_day(row: Mapping[str, str]) -> StatementDay:
    written = sum(_number(row, f"usage_input_tokens_{name}") for name in _ANTHROPIC_WRITES)
    return StatementDay(
        day=date.fromisoformat(row["usage_date_utc"][:10]),
        model=family(row["model_version"]),
        usage=Usage(
            input=_number(row, "usage_input_tokens_no_cache"),
            cache_read=_number(row, "usage_input_tokens_cache_read"),
            cache_write=written,
            output=_number(row, "usage_output_tokens"),
        ),
    )


def _of_requests(requests: Sequence[_Request]) -> Statement:
    return Statement(entries=[_entry(each) for each in requests], names_requests=True)


def _entry(request: _Request) -> StatementEntry:
    at = request.at if request.at.tzinfo is not None else request.at.replace(tzinfo=UTC)
    return StatementEntry(
        model=family(request.model),
        at=at.astimezone(UTC),
        usage=Usage(
            input=request.input_tokens,
            cache_read=request.cache_read_tokens,
            cache_write=request.cache_write_tokens,
            output=request.output_tokens,
        ),
        response_id=request.response_id,
        call_key=request.client_request_id,
        cost_usd=None if request.cost_usd is None else Decimal(request.cost_usd),
    )


def _number(row: Mapping[str, str], column: str) -> int:
    text = (row.get(column) or "0").strip()
    return int(Decimal(text))
