"""The messages on the wire stay what they are: one JSON file for each struct, read and written.

A change that an old reader or writer would notice changes a file here. A new field needs a default; set it in
`contract_samples.py` and add it to the file.
"""

import importlib
import inspect
import pkgutil
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

import aif_contracts
from aif_contracts import events, orders, packets, pipelines, reports
from architecture.contract_samples import SAMPLES

GOLDEN = Path(__file__).with_name("golden")

FAMILIES: tuple[tuple[Any, str], ...] = (
    (reports.Report, "type"),
    (packets.ClaimAnswer, "type"),
    (packets.ProgressAnswer, "type"),
    (events.EventData, "event_type"),
    (orders.Accepted | orders.Refusal, "reply"),
    (orders.Resumed | orders.Refusal, "reply"),
    (pipelines.PipelineSaved | orders.Refusal, "reply"),
)
"""Unions of messages that travel together, and the field that tells them apart."""


def _message_structs() -> list[type[Struct]]:
    modules = [importlib.import_module(f"aif_contracts.{found.name}") for found in pkgutil.iter_modules(aif_contracts.__path__)]
    return [
        member
        for module in modules
        for name, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Struct) and member.__module__ == module.__name__ and not name.startswith("_")
    ]


def _name(message: Struct | type[Struct]) -> str:
    kind = message if isinstance(message, type) else type(message)
    return f"{kind.__module__.removeprefix('aif_contracts.')}.{kind.__name__}"


def _golden(message: Struct) -> bytes:
    return (GOLDEN / f"{_name(message)}.json").read_bytes()


def _families_of(message: Struct) -> list[Any]:
    """The unions that a reader meets the message in; for most it is its own type."""
    return [family for family, _ in FAMILIES if isinstance(message, family)] or [type(message)]


def test_every_message_struct_has_a_sample_and_a_golden_file() -> None:
    structs = {_name(kind) for kind in _message_structs()}

    assert [_name(sample) for sample in SAMPLES if _name(sample) not in structs] == []
    assert structs - {_name(sample) for sample in SAMPLES} == set()
    assert {path.stem for path in GOLDEN.iterdir()} == structs


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_a_message_is_written_as_its_golden_file(message: Struct) -> None:
    assert msgspec.json.format(msgspec.json.encode(message), indent=2) + b"\n" == _golden(message)


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_a_golden_file_is_read_as_its_message_in_every_family(message: Struct) -> None:
    for family in _families_of(message):
        assert msgspec.json.decode(_golden(message), type=family) == message


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_a_golden_file_shows_every_field_with_something_else_than_its_default(message: Struct) -> None:
    shown = msgspec.json.decode(_golden(message))

    for field in msgspec.structs.fields(message):
        assert field.encode_name in shown
        if not field.required:
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            assert getattr(message, field.name) != default, f"{field.name} is at its default in the sample"


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_a_field_of_a_newer_writer_is_ignored(message: Struct) -> None:
    newer = msgspec.json.decode(_golden(message)) | {"from_the_future": {"type": ["anything"]}}

    for family in _families_of(message):
        assert msgspec.json.decode(msgspec.json.encode(newer), type=family) == message


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_a_message_without_one_of_its_required_fields_is_refused_by_that_name(message: Struct) -> None:
    for field in msgspec.structs.fields(message):
        if field.required:
            poorer = msgspec.json.decode(_golden(message))
            del poorer[field.encode_name]
            with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field.encode_name}`"):
                msgspec.json.decode(msgspec.json.encode(poorer), type=type(message))


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_the_fields_that_an_old_writer_does_not_know_have_defaults(message: Struct) -> None:
    required = {field.encode_name for field in msgspec.structs.fields(message) if field.required}
    golden = msgspec.json.decode(_golden(message))
    tag_field = message.__struct_config__.tag_field
    oldest = {name: value for name, value in golden.items() if name in required or name == tag_field}

    assert isinstance(msgspec.json.decode(msgspec.json.encode(oldest), type=type(message)), type(message))


@pytest.mark.parametrize(("family", "tag_field"), FAMILIES, ids=lambda part: part if isinstance(part, str) else "")
def test_an_unknown_type_of_message_is_refused_with_its_place(family: Any, tag_field: str) -> None:
    member = next(message for message in SAMPLES if isinstance(message, family))
    unknown = msgspec.json.decode(_golden(member)) | {tag_field: "nope"}

    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(unknown), type=family)

    assert str(refused.value) == f"Invalid value 'nope' - at `$.{tag_field}`"


def test_every_tagged_message_belongs_to_a_family() -> None:
    everything = reduce(or_, (family for family, _ in FAMILIES))
    tagged = [message for message in SAMPLES if message.__struct_config__.tag is not None]

    assert [_name(message) for message in tagged if not isinstance(message, everything)] == []
    assert len(tagged) == 36


def test_an_event_with_unknown_data_is_refused_with_its_place() -> None:
    event = next(message for message in SAMPLES if isinstance(message, events.ExecutionEvent))
    unknown = msgspec.json.decode(_golden(event))
    unknown["data"]["event_type"] = "STEP_DREAMT"

    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(unknown), type=events.ExecutionEvent)

    assert str(refused.value) == "Invalid value 'STEP_DREAMT' - at `$.data.event_type`"


@pytest.mark.parametrize(
    "amount", ["1.50E-7", "NaN", "1,5", "0.0000000000001", ".5", "Infinity", "-1", "1.", "1\n", "1" * 13, ""]
)
def test_money_that_is_not_plain_decimal_text_is_refused_with_its_place(amount: str) -> None:
    lines = msgspec.json.encode({"storage_usd": amount})

    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.storage_usd`"):
        msgspec.json.decode(lines, type=type(next(m for m in SAMPLES if _name(m) == "metering.CostLines")))


@pytest.mark.parametrize("message", SAMPLES, ids=_name)
def test_no_line_break_slips_in_behind_a_text_of_a_fixed_form(message: Struct) -> None:
    """Ids become tokens of subjects, and keys become headers, where a line break is a command."""
    whole = msgspec.json.decode(_golden(message))
    for field in msgspec.structs.fields(message):
        if "pattern" in str(msgspec.json.schema(field.type)) and isinstance(whole[field.encode_name], str):
            broken = whole | {field.encode_name: whole[field.encode_name] + "\n"}
            with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{field.encode_name}`"):
                msgspec.json.decode(msgspec.json.encode(broken), type=type(message))


@pytest.mark.parametrize("text", ["", "a.b", "a*", "a>", "a b", "../a", "ä", "-a", "a\n"])
@pytest.mark.parametrize("field", ["client_id", "execution_id"])
def test_an_id_that_would_be_more_than_one_token_of_a_subject_is_refused(field: str, text: str) -> None:
    order = next(message for message in SAMPLES if isinstance(message, orders.Execute))
    broken = msgspec.json.decode(_golden(order)) | {field: text}

    with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{field}`"):
        msgspec.json.decode(msgspec.json.encode(broken), type=orders.Execute)


def test_money_as_a_json_number_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `str`, got `float` - at `\$\.max_cost_usd`"):
        msgspec.json.decode(b'{"max_cost_usd": 0.1}', type=packets.Grant)
