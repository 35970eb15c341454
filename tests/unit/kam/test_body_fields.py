"""Bodies to structs: strict, and with all mistakes at once."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_contracts.audit import VerifyAudit
from aif_contracts.metering import Tokens
from aif_kam.batches.payloads import BatchWish
from aif_kam.body_fields import read_body
from aif_kam.configuration.payloads import ProductWish
from aif_kam.failures import InvalidInput, KamFailure, MalformedBody
from aif_kam.payloads import PlaceOrder
from aif_kam.routes.calls import Settlement


def test_a_good_body_becomes_its_struct() -> None:
    order = read_body(b'{"selected_template": "course", "parameters": {"a": [1, {"b": null}]}}', PlaceOrder)

    assert order == PlaceOrder(selected_template="course", parameters={"a": [1, {"b": None}]})


def test_a_byte_order_mark_before_a_body_is_passed_over() -> None:
    assert read_body(b'\xef\xbb\xbf{"selected_template": "course"}', PlaceOrder) == PlaceOrder(selected_template="course")


def test_every_mistake_is_told_with_the_place_inside_the_field() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_body(
            b'{"selected_templat": "x", "parameters": {"a": ["\\u0000"]}, "message": 1, "urgency_level": "x"}', PlaceOrder
        )

    assert [(mistake.field, mistake.mend) for mistake in refused.value.mistakes] == [
        ("selected_templat", "did you mean selected_template?"),
        ("parameters.a[0]", "remove it"),
        ("selected_template", "add selected_template"),
        ("message", "send a text of 4000 characters at most"),
        ("urgency_level", "send one of: low, normal, high, critical"),
    ]


def test_a_name_that_is_near_to_several_is_taken_for_the_field_that_is_missing() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_body(b'{"template": "course", "parameters": {}}', PlaceOrder)

    assert refused.value.mistakes[0].mend == "did you mean selected_template?"


def test_a_mistake_inside_a_list_is_told_of_its_item_and_not_of_the_list() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_body(b'{"selected_template": "course", "inputs": [{}, 5]}', BatchWish)

    (mistake,) = refused.value.mistakes
    assert (mistake.field, mistake.message, mistake.mend) == (
        "inputs[1]",
        "is wrong: expected `object`, got `int`",
        "send an object",
    )


@pytest.mark.parametrize(
    ("body", "kind", "mend"),
    [
        (
            {"selected_template": "A B", "parameters": {}},
            PlaceOrder,
            "send a text of this kind: lower-case letters, digits and _, a letter first, 64 at most",
        ),
        (
            {"selected_template": "a", "parameters": {}, "workspace_id": "a b"},
            PlaceOrder,
            "send a text of this kind: letters, digits, _ and -, a letter or digit first, 64 at most",
        ),
        ({"selected_template": "a", "parameters": {}, "max_cost_usd": "1e5"}, PlaceOrder, 'send a text such as "0.50"'),
        ({"name": "x", "url": "ftp://x"}, ProductWish, "send a text of this kind: https://… or empty"),
    ],
)
def test_what_a_text_may_be_is_said_in_words_and_not_by_a_pattern(
    body: dict[str, object], kind: type[msgspec.Struct], mend: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_body(json.dumps(body).encode(), kind)

    (mistake,) = refused.value.mistakes
    sent = body[mistake.field]
    assert (mistake.message, mistake.mend) == (f"is {sent!r}: does not have the form that is asked for", mend)


def test_an_object_inside_a_body_is_read_as_strictly_as_the_body() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_body(b'{"billed": true, "note": "bill", "tokens": {"promt_tokens": 5, "total_tokens": -1}}', Settlement)
    with pytest.raises(InvalidInput) as incomplete:
        read_body(b'{"head": {"sequence": 1}}', VerifyAudit)

    assert [(mistake.field, mistake.mend) for mistake in refused.value.mistakes] == [
        ("tokens.promt_tokens", "did you mean prompt_tokens?"),
        ("tokens.total_tokens", "send a whole number from 0 to 1000000000000"),
    ]
    assert [(mistake.field, mistake.message) for mistake in incomplete.value.mistakes] == [("head.hash", "is missing")]


def test_a_good_object_inside_a_body_becomes_its_struct() -> None:
    settlement = read_body(b'{"billed": false, "note": "bill", "tokens": {"prompt_tokens": 5}}', Settlement)

    assert settlement == Settlement(billed=False, note="bill", tokens=Tokens(prompt_tokens=5))


@pytest.mark.parametrize(
    ("body", "field", "mend"),
    [
        (b'{"name": "x", "tags": ["a", 3]}', "tags[1]", "send a text of 200 characters at most"),
        (b'{"name": "x", "tags": "a"}', "tags", "send a list of 0 to 20"),
        (b'{"name": "x", "is_offered": "yes"}', "is_offered", "send true or false"),
        (b'{"name": "x", "version": -1}', "version", "send a whole number from 0 on"),
    ],
)
def test_what_to_send_instead_is_said_of_lists_truth_values_and_numbers_without_an_upper_bound(
    body: bytes, field: str, mend: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_body(body, ProductWish)

    assert [(mistake.field, mistake.mend) for mistake in refused.value.mistakes] == [(field, mend)]


def test_of_a_body_that_is_nothing_but_unknown_fields_the_first_hundred_are_told() -> None:
    values = {f"field_{number}": number for number in range(50_000)} | {"selected_template": "course"}

    with pytest.raises(InvalidInput) as refused:
        read_body(msgspec.json.encode(values), PlaceOrder)

    assert [mistake.field for mistake in refused.value.mistakes] == [f"field_{number}" for number in range(100)]


@pytest.mark.parametrize(("opened", "closed"), [(b'{"a":', b"}"), (b"[", b"]")])
@pytest.mark.parametrize("levels", [64, 200, 900, 50_000])
def test_a_body_that_is_nested_too_deeply_is_malformed(opened: bytes, closed: bytes, levels: int) -> None:
    with pytest.raises(MalformedBody, match="nested"):
        read_body(b'{"parameters":' + opened * levels + b"1" + closed * levels + b"}", PlaceOrder)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary(max_size=200))
def test_no_bytes_give_anything_but_a_struct_or_a_failure_of_ours(content: bytes) -> None:
    with contextlib.suppress(KamFailure):
        assert isinstance(read_body(content, PlaceOrder), PlaceOrder)


@given(VALUES, st.sampled_from(["selected_template", "parameters", "urgency_level", "template_confidence_score"]))
def test_no_json_value_as_a_field_gives_anything_else_either(value: object, name: str) -> None:
    with contextlib.suppress(KamFailure):
        assert isinstance(read_body(json.dumps({name: value}).encode(), PlaceOrder), PlaceOrder)
