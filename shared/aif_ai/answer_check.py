"""Whether a model's answer is the JSON that was asked for, said so that the model can mend it."""

import re
from collections import OrderedDict
from typing import Any

import jsonschema_rs
import msgspec

from aif_ai.requests import Answer, GenerationRequest
from aif_ai.strict_schema import without_nulls

_MOST_COMPLAINTS = 8
_MOST_VALIDATORS = 64
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


class AnswerCheck:
    """Judges answers by the request's schema and its own check. Keeps the validators of the schemas it met last; usable from
    several threads."""

    def __init__(self) -> None:
        self._validators: OrderedDict[bytes, jsonschema_rs.Validator] = OrderedDict()

    def judge(self, request: GenerationRequest, answer: Answer) -> tuple[bytes, tuple[str, ...]]:
        """The output, and what is wrong with it; the output is empty when it is no JSON and should be."""
        complaints: tuple[str, ...] = ()
        if answer.finished or request.schema is None:
            output = answer.text.encode()
        else:
            output, complaints = self.checked_json(answer.text, request.schema)
        if not complaints and request.check is not None and not answer.finished:
            complaints = request.check(output)
        return output, complaints

    def checked_json(self, text: str, schema: dict[str, Any]) -> tuple[bytes, tuple[str, ...]]:
        fenced = _FENCE.match(text)
        validator = self._validator(schema)
        try:
            value = without_nulls(msgspec.json.decode(fenced.group(1) if fenced else text))
            complaints = _complaints(validator, value)
            return msgspec.json.encode(value), complaints
        except msgspec.DecodeError as wrong:
            return b"", (f"the answer is not valid JSON: {wrong}",)
        except (RecursionError, ValueError):
            # Each of the three has a limit of its own; the validator's is a ValueError.
            return b"", ("the answer is nested too deeply",)

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        """Making one costs far more than using it."""
        key = msgspec.json.encode(schema)
        validator = self._validators.get(key)
        if validator is None:
            validator = jsonschema_rs.validator_for(schema)
            self._validators[key] = validator
            if len(self._validators) > _MOST_VALIDATORS:
                self._validators.popitem(last=False)
        return validator


def _complaints(validator: jsonschema_rs.Validator, value: Any) -> tuple[str, ...]:
    complaints: list[str] = []
    for error in validator.iter_errors(value):
        place = "/".join(str(part) for part in error.instance_path) or "the answer"
        complaints.append(f"{place}: {error.message[:300]}")
        if len(complaints) == _MOST_COMPLAINTS:
            break
    return tuple(complaints)
