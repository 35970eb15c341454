"""The description of the channels says what the messages are, and leaves no subject out."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.asyncapi import asyncapi_document
from aif_contracts.channels import CHANNELS, PARAMETERS, Channel
from aif_contracts.field_docs import field_docs
from aif_contracts.packets import WorkPacket
from aif_contracts.reports import Progress
from architecture.contract_samples import SAMPLES

GOLDEN = Path(__file__).with_name("golden")
DOCUMENT = json.loads(json.dumps(asyncapi_document("1.2.3")))
OF_SERVICES_ALONE = {
    "aif.orchestrator.{}",
    "aif.classifier.{}",
    "aif.audit.{}",
    "aif.performance.{}",
    "aif.ballast.{}",
}
"""Families of subjects that only the factory's own services use, but for single ones that are channels."""


def _schema_of(payload: Any) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**payload, "components": DOCUMENT["components"]})


def _golden_of(kind: Any) -> list[Any]:
    """The golden files of a type, or of each member of a union."""
    members = tuple(each for each in SAMPLES if isinstance(each, kind))
    names = [f"{type(each).__module__.removeprefix('aif_contracts.')}.{type(each).__name__}" for each in members]
    return [json.loads((GOLDEN / f"{name}.json").read_bytes()) for name in names]


def _message_of(channel: Channel) -> Any:
    return DOCUMENT["channels"][channel.name]["messages"][channel.name]["payload"]


def _item_of(kind: Any) -> tuple[Any, bool]:
    """What a message is made of, and whether it is an array of that."""
    shown = msgspec.inspect.type_info(kind)
    return (kind.__args__[0], True) if isinstance(shown, msgspec.inspect.ListType) else (kind, False)


WITH_CONTENT = [channel for channel in CHANNELS if channel.message is not None]


@pytest.mark.parametrize("channel", WITH_CONTENT, ids=lambda channel: channel.name)
def test_the_messages_of_a_channel_fit_its_schema(channel: Channel) -> None:
    item, is_array = _item_of(channel.message)
    schema = _schema_of(_message_of(channel))

    found = _golden_of(item)

    assert found
    for message in found:
        schema.validate([message] if is_array else message)


@pytest.mark.parametrize("channel", WITH_CONTENT, ids=lambda channel: channel.name)
def test_a_message_without_a_field_that_it_needs_does_not_fit_the_schema_of_its_channel(channel: Channel) -> None:
    item, is_array = _item_of(channel.message)
    schema = _schema_of(_message_of(channel))

    for message in _golden_of(item):
        kind = next(each for each in SAMPLES if isinstance(each, item) and json.loads(msgspec.json.encode(each)) == message)
        needed = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
        assert needed
        for name in needed:
            poorer = {key: value for key, value in message.items() if key != name}
            assert not schema.is_valid([poorer] if is_array else poorer), name


def test_an_array_longer_than_its_reader_takes_does_not_fit() -> None:
    progress = next(channel for channel in CHANNELS if channel.name == "progress")
    (sign,) = _golden_of(Progress)
    schema = _schema_of(_message_of(progress))

    assert schema.is_valid([sign] * 64)
    assert not schema.is_valid([sign] * 65)


def test_every_answer_to_a_claim_fits_the_schema_of_its_answer() -> None:
    claims = next(channel for channel in CHANNELS if channel.name == "claims")
    schema = _schema_of(DOCUMENT["channels"]["claims_answer"]["messages"]["claims_answer"]["payload"])

    answers = _golden_of(claims.answer)

    assert {answer["type"] for answer in answers} == {"granted", "later", "superseded", "cancelled"}
    for answer in answers:
        schema.validate(answer)


def test_every_family_of_subjects_is_a_channel_or_of_the_services_alone() -> None:
    listed = {
        re.sub(r"<\w+>", "{}", family) for family in re.findall(r"^\| `(aif\.[^`]+)`", subjects.__doc__ or "", re.MULTILINE)
    }
    described = {re.sub(r"\{\w+\}", "{}", channel.address) for channel in CHANNELS}

    left_out = {family for family in listed - OF_SERVICES_ALONE if not any(_is_of(each, family) for each in described)}

    assert len(listed) == 16
    assert left_out == set()
    assert listed >= OF_SERVICES_ALONE


def _is_of(address: str, family: str) -> bool:
    return len(address.split(".")) == len(family.split(".")) and all(
        token in ("{}", one) for one, token in zip(address.split("."), family.split("."), strict=True)
    )


def test_every_reference_in_the_document_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)))

    assert len(references) > 50
    for reference in references:
        found: Any = DOCUMENT
        for step in reference.split("/"):
            assert step in found, reference
            found = found[step]


def test_every_changing_token_of_an_address_is_explained_and_no_other() -> None:
    used = {name for channel in DOCUMENT["channels"].values() for name in channel.get("parameters", {})}

    assert used == set(PARAMETERS)
    for channel in CHANNELS:
        assert set(re.findall(r"\{(\w+)\}", channel.address)) == set(DOCUMENT["channels"][channel.name]["parameters"])


def test_what_is_written_below_a_field_stands_in_the_document_in_the_words_of_json() -> None:
    fields = DOCUMENT["components"]["schemas"]["WorkPacket"]["properties"]

    assert fields["data_ref"]["description"] == "The stage's input, a JSON object."
    assert fields["data_ref"]["allOf"] == [{"$ref": "#/components/schemas/BlobRef"}]
    assert fields["previous"]["description"] == "null for a first attempt, and after an attempt that only fell silent."


def test_no_description_speaks_the_words_of_python() -> None:
    assert re.findall(r'"description": "[^"]*\b(?:None|True|False|tuple|dict)\b', json.dumps(DOCUMENT)) == []


def test_the_words_of_a_field_stand_before_those_of_its_kind() -> None:
    described = DOCUMENT["components"]["schemas"]["Totals"]["properties"]["in_doubt_usd"]["description"]

    field, _, kind = described.partition("beside `cost_usd`. ")
    assert field == "What calls without an answer can have cost at most, "
    assert kind.startswith("US dollars as decimal text")


def test_the_words_of_an_inherited_field_are_found() -> None:
    class Richer(WorkPacket, frozen=True, kw_only=True):
        pass

    assert field_docs(Richer) == field_docs(WorkPacket) != {}


def test_a_class_without_a_source_has_no_words() -> None:
    assert field_docs(msgspec.defstruct("Made", [("field", int)])) == {}
