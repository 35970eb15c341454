"""From text to a pipeline and back."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from aif_pipelines.checks import check_pipeline
from aif_pipelines.definition import DEFAULT_STAGE_TIMEOUT, Pipeline
from aif_pipelines.document_text import Positions, read_document
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.mistakes import MOST_MISTAKES, Mistake
from aif_pipelines.older_documents import Origins, translate
from aif_pipelines.shape import Shape

_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(ms|s|m|h)")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Pipeline)


Check = Callable[[Pipeline], Sequence[Mistake]]


def load_pipeline(text: str | bytes, check: Check = check_pipeline) -> Pipeline:
    """Read a JSON or YAML document, of the present or the older style, and check it.

    `check` is for who knows more than the document says, for example which workers there are. Raises PipelineInvalid with every
    mistake found, a hundred at the most, and its line and column.
    """
    document = read_document(text)
    value, origins = translate(document.value)
    _read_durations(value)
    shape = Shape()
    shape.check(value, Pipeline)
    mistakes: Sequence[Mistake] = shape.mistakes
    if not mistakes:
        pipeline = msgspec.convert(value, Pipeline)
        mistakes = check(pipeline)
        if not mistakes:
            return pipeline
    raise PipelineInvalid([_placed(mistake, document.positions, origins) for mistake in mistakes[:MOST_MISTAKES]])


def dump_pipeline(pipeline: Pipeline) -> bytes:
    """The one canonical JSON of a pipeline: every default written, keys sorted. `load_pipeline` gives it back equal."""
    # Through the decoder once, because 600 and 600.0 are the same pipeline but not the same bytes.
    return _ENCODER.encode(_DECODER.decode(_ENCODER.encode(pipeline)))


def restore_pipeline(dumped: bytes) -> Pipeline:
    """Read what `dump_pipeline` wrote, without checks: a stored version stays readable when checks grow stricter.

    Raises msgspec.ValidationError for anything else.
    """
    return _DECODER.decode(dumped)


def pipeline_digest(pipeline: Pipeline) -> str:
    """SHA-256 in hex of the canonical JSON: equal for equal pipelines, however they were written."""
    return hashlib.sha256(dump_pipeline(pipeline)).hexdigest()


def default_stage_timeout(pipeline_timeout: float) -> float:
    """Seconds for a stage that says nothing: the usual, but never more than the whole pipeline has."""
    return float(min(DEFAULT_STAGE_TIMEOUT, pipeline_timeout))


def seconds(value: Any) -> Any:
    """`"5m"` as 300.0; any other value as it is."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match.group(1)) * _UNIT_SECONDS[match.group(2)]
    return value


def _read_durations(value: Any) -> None:
    """Timeouts of the document, of its stages and of the stages that rules add; those that say nothing get theirs."""
    if not isinstance(value, dict):
        return
    if "timeout" in value:
        value["timeout"] = seconds(value["timeout"])
    whole = value.get("timeout")
    default = default_stage_timeout(whole) if isinstance(whole, int | float) and whole > 0 else None
    for stage in _items(value, "stages"):
        _read_stage_durations(stage, default)


def _read_stage_durations(stage: Any, default: float | None) -> None:
    if not isinstance(stage, dict):
        return
    if "timeout" in stage:
        stage["timeout"] = seconds(stage["timeout"])
    elif default is not None:
        stage["timeout"] = default
    for rule in _items(stage, "rules"):
        # Only add_stage holds a stage; skip_stage names one.
        if isinstance(rule, dict):
            _read_stage_durations(rule.get("stage"), default)


def _items(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _placed(mistake: Mistake, positions: Positions, origins: Origins) -> Mistake:
    path = _as_written(mistake.path, origins)
    at: str | None = path
    while at and at not in positions:
        at = at[: max(at.rfind("."), at.rfind("["), 0)]
    line, column = positions.get(at or "", (None, None))
    return msgspec.structs.replace(mistake, path=path, line=line, column=column)


def _as_written(path: str, origins: Origins) -> str:
    """The path in the author's own words: the longest translated beginning is put back."""
    begins = [begin for begin in origins if path.startswith(begin) and path[len(begin) : len(begin) + 1] in ("", ".", "[")]
    begin = max(begins, key=len, default="")
    return origins.get(begin, "") + path[len(begin) :]
