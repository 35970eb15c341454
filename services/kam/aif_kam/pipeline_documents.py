"""The body of an uploaded pipeline: a document in JSON or YAML, as text. What it says, the orchestrator checks."""

from aif_contracts.orders import FieldMistake
from aif_contracts.pipelines import LARGEST_DOCUMENT_CHARACTERS
from aif_kam.body_fields import json_object
from aif_kam.failures import MalformedBody, UnsupportedBody
from aif_kam.problems import body_too_large

LARGEST_DOCUMENT_BYTES = 512 * 1024
"""Written into a question to the orchestrator, so many bytes stay below what the broker takes in one message."""
JSON_TYPES = ("application/json",)
YAML_TYPES = ("application/yaml", "text/yaml")
_LINE_CHARACTERS = frozenset("\t\n\r")


def document_text(content: bytes, content_type: str) -> str:
    """Raises UnsupportedBody, BodyTooLarge, MalformedBody."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in (*JSON_TYPES, *YAML_TYPES):
        message = f"the body is {media_type or 'of no media type'}, but a pipeline is JSON or YAML"
        mend = f"send it with Content-Type: {' or '.join((*JSON_TYPES, *YAML_TYPES))}"
        raise UnsupportedBody(message, mistakes=(FieldMistake(field="Content-Type", message=message, mend=mend),))
    if len(content) > LARGEST_DOCUMENT_BYTES:
        raise _too_large()
    if media_type in JSON_TYPES:
        json_object(content)
    text = _text(content)
    if len(text) > LARGEST_DOCUMENT_CHARACTERS:
        raise _too_large()
    return text


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise _malformed(f"the document is not valid UTF-8 at byte {wrong.start}", "save it as UTF-8") from wrong
    if not text.strip():
        raise _malformed("the document is empty", "send a pipeline in JSON or YAML")
    control = next((at for at, letter in enumerate(text) if letter < " " and letter not in _LINE_CHARACTERS), None)
    if control is not None:
        raise _malformed(f"the document holds a control character, U+{ord(text[control]):04X}, at {control}", "remove it")
    return text


def _malformed(message: str, mend: str) -> MalformedBody:
    return MalformedBody(message, mistakes=(FieldMistake(field="body", message=message, mend=mend),))


def _too_large() -> Exception:
    return body_too_large("256 Ki characters and 512 KiB for a pipeline")
