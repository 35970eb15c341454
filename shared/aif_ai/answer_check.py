"""Whether a model's answer is the JSON that was asked for, said so that the model can mend it."""

import re
from typing import Any

import jsonschema_rs
import msgspec

from aif_ai.strict_schema import without_nulls

_MOST_COMPLAINTS = 8
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


def checked_json(text: str, schema: dict[str, Any]) -> tuple[bytes, tuple[str, ...]]:
    """The answer as JSON bytes, and what is wrong with it; the bytes are empty when it is no JSON at all."""
    fenced = _FENCE.match(text)
    try:
        value = without_nulls(msgspec.json.decode(fenced.group(1) if fenced else text))
    except msgspec.DecodeError as wrong:
        return b"", (f"the answer is not valid JSON: {wrong}",)
    complaints: list[str] = []
    for error in jsonschema_rs.validator_for(schema).iter_errors(value):
        place = "/".join(str(part) for part in error.instance_path) or "the answer"
        complaints.append(f"{place}: {error.message[:300]}")
        if len(complaints) == _MOST_COMPLAINTS:
            break
    return msgspec.json.encode(value), tuple(complaints)
