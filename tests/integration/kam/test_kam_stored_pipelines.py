"""Pipelines as documents over HTTP: checked, stored, listed, read back, and ordered by name."""

import json
from typing import Any

import httpx
import pytest

from aif_contracts.orders import TemplateView
from integration.kam.gateway_under_test import GatewayUnderTest

PIPELINES = "/api/kam/pipelines"
YAML = """\
name: bee_course
version: 1.0.0
stages:
  - id: structure
    worker: content_granulator
    action: structure_course
"""
AS_YAML = {"Content-Type": "application/yaml"}


def document(**changes: Any) -> dict[str, Any]:
    stage = {"id": "structure", "worker": "content_granulator", "action": "structure_course"}
    return {"name": "bee_course", "version": "1.0.0", "stages": [stage], **changes}


@pytest.mark.parametrize("media_type", ["application/yaml", "text/yaml", "application/yaml; charset=utf-8", "Text/YAML"])
async def test_a_yaml_document_is_stored_as_the_clients_own(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, media_type: str
) -> None:
    saved = await alice.post(PIPELINES, content=YAML, headers={"Content-Type": media_type})

    assert saved.status_code == 201
    assert {name: saved.json()[name] for name in ("name", "version", "owner", "is_new")} == {
        "name": "bee_course",
        "version": "1.0.0",
        "owner": "alice",
        "is_new": True,
    }
    read = (await alice.get(f"{PIPELINES}/bee_course")).json()
    assert (read["pipeline"]["owner"], read["document"]["stages"][0]["id"]) == ("alice", "structure")


async def test_the_same_document_again_is_harmless_and_another_under_its_version_is_not(alice: httpx.AsyncClient) -> None:
    first = await alice.post(PIPELINES, json=document())
    again = await alice.post(PIPELINES, json=document())
    other = await alice.post(PIPELINES, json=document(description="another"))

    assert (first.status_code, again.status_code, again.json()["is_new"]) == (201, 200, False)
    assert (other.status_code, other.json()["type"]) == (409, "urn:aif:problem:pipeline_version_taken")
    assert "raise the version" in other.json()["detail"]


async def test_an_order_says_in_which_version_of_its_template_and_its_parameters_are_checked_as_that_version_says(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schema = {"type": "object", "properties": {"hives": {"type": "integer"}}, "additionalProperties": False}
    await alice.post(PIPELINES, json=document(parameters=schema))
    await alice.post(PIPELINES, json=document(version="2.0.0"))
    chosen = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    await alice.put(f"/api/kam/requests/{chosen}", json={"selected_template": "bee_course"})
    older, newest = {"hives": 3}, {"topic": "bees"}
    step, whole, other = f"/api/kam/requests/{chosen}/execute", "/api/kam/orders", "/api/v1/ai/pipelines/execute"
    bodies: list[tuple[str, dict[str, Any]]] = [
        (step, {"parameters": older, "template_version": "1.0.0"}),
        (whole, {"selected_template": "bee_course", "parameters": older, "template_version": "1.0.0"}),
        (whole, {"selected_template": "bee_course", "parameters": newest, "template_version": "2.0.0"}),
        (whole, {"selected_template": "bee_course", "parameters": newest}),
        (other, {"pipeline_name": "bee_course", "input_data": older, "pipeline_version": "1.0.0"}),
    ]

    answers = [await alice.post(path, json=body) for path, body in bodies]
    wrong = await alice.post(whole, json={"selected_template": "bee_course", "template_version": "3.0.0"})
    misfit = await alice.post(other, json={"pipeline_name": "bee_course", "input_data": newest, "pipeline_version": "1.0.0"})

    assert [answer.status_code for answer in answers] == [202] * 5
    asked_for = [order.template_version for order in kam.orchestrator.orders.values()]
    assert asked_for == ["1.0.0", "1.0.0", "2.0.0", None, "1.0.0"]
    assert [(each.status_code, each.json()["errors"][0]["field"]) for each in (wrong, misfit)] == [
        (422, "template_version"),
        (422, "input_data.topic"),
    ]


async def test_templates_are_listed_page_by_page(alice: httpx.AsyncClient) -> None:
    for name in ("zebra", "ants", "bees"):
        await alice.post(PIPELINES, json=document(name=name))

    everything = [each["name"] for each in (await alice.get("/api/kam/templates?limit=100")).json()["templates"]]
    pages, cursor = [], ""
    while cursor is not None:
        page = (await alice.get(f"/api/kam/templates?limit=2{cursor and '&cursor=' + cursor}")).json()
        pages.append([each["name"] for each in page["templates"]])
        cursor = page["next_cursor"]

    assert everything == sorted(everything)
    assert {"ants", "bees", "zebra"} < set(everything)
    assert [name for page in pages for name in page] == everything
    assert {len(page) for page in pages[:-1]} == {2}


@pytest.mark.parametrize("query", ["cursor=Bees", "cursor=bees%00", "cursor=", "limit=0", "limit=101"])
async def test_a_page_of_templates_that_there_cannot_be_is_refused_by_name(alice: httpx.AsyncClient, query: str) -> None:
    refused = await alice.get(f"/api/kam/templates?{query}")

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == query.partition("=")[0]


async def test_a_dry_run_stores_nothing(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    checked = await alice.post(f"{PIPELINES}?dry_run=true", json=document())

    assert (checked.status_code, checked.json()["is_new"]) == (200, True)
    assert kam.orchestrator.library.pipelines == []


async def test_every_mistake_of_a_document_names_its_place(alice: httpx.AsyncClient) -> None:
    stage = {"id": "structure", "worker": "bee_keeper", "action": "keep"}

    refused = await alice.post(PIPELINES, json=document(stages=[stage]))
    later = await alice.post(f"{PIPELINES}?require_workers=false", json=document(stages=[stage]))

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:invalid_pipeline")
    assert refused.json()["errors"] == [
        {
            "field": "stages[0].worker",
            "message": "no live worker is named 'bee_keeper'",
            "mend": "start it, or save without require_workers",
        }
    ]
    assert later.status_code == 201


@pytest.mark.parametrize(
    ("body", "media_type", "status", "field"),
    [
        (b"", "application/json", 400, "body"),
        (b"", "application/yaml", 400, "body"),
        (b"{name: bees}", "application/json", 400, "body"),
        (b"[]", "application/json", 400, "body"),
        (b"name: \xff", "application/yaml", 400, "body"),
        (b"name: a\x00b", "application/yaml", 400, "body"),
        (b"name: a\x1bb", "text/yaml", 400, "body"),
        (YAML.encode(), "text/plain", 415, "Content-Type"),
        (YAML.encode(), "", 415, "Content-Type"),
        (b"# " + b"x" * 262_144, "application/yaml", 413, "body"),
        (b"# " + "\u00e9".encode() * 262_144, "application/yaml", 413, "body"),
        (b"# " + b"x" * 1_100_000, "application/yaml", 413, "body"),
    ],
)
async def test_a_body_that_is_no_document_is_refused(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, body: bytes, media_type: str, status: int, field: str
) -> None:
    refused = await alice.post(PIPELINES, content=body, headers={"Content-Type": media_type})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (status, field)
    assert refused.json()["errors"][0]["mend"]
    assert kam.orchestrator.library.pipelines == []


async def test_the_largest_document_reaches_the_orchestrator(alice: httpx.AsyncClient) -> None:
    filler = "#" + "\u00e9" * (262_144 - len(YAML) - 1)

    assert (await alice.post(PIPELINES, content=YAML + filler, headers=AS_YAML)).status_code == 201


@pytest.mark.parametrize(
    ("query", "field"), [("dry_run=perhaps", "dry_run"), ("require_workers=", "require_workers"), ("client_id=..", "client_id")]
)
async def test_a_wrong_wish_about_saving_is_named(alice: httpx.AsyncClient, query: str, field: str) -> None:
    refused = await alice.post(f"{PIPELINES}?{query}", json=document())

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_one_clients_pipeline_is_nothing_to_another(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await bob.get("/api/kam/templates")
    await alice.post(PIPELINES, json=document())

    assert (await bob.get(f"{PIPELINES}/bee_course")).json()["type"] == "urn:aif:problem:unknown_pipeline"
    assert (await bob.get(f"{PIPELINES}/bee_course")).status_code == 404
    assert (await bob.get(PIPELINES)).json()["pipelines"] == []
    assert [each["name"] for each in (await bob.get("/api/kam/templates")).json()["templates"]] == [
        "content_granulation_course"
    ]
    assert (await bob.get("/api/kam/templates/bee_course")).status_code == 404
    ordered = await bob.post("/api/kam/orders", json={"selected_template": "bee_course"})
    assert (ordered.status_code, ordered.json()["type"]) == (422, "urn:aif:problem:unknown_template")
    request_id = (await bob.post("/api/kam/requests", json={})).json()["request_id"]
    chosen = await bob.put(f"/api/kam/requests/{request_id}", json={"selected_template": "bee_course"})
    assert (chosen.status_code, chosen.json()["type"]) == (422, "urn:aif:problem:unknown_template")


@pytest.mark.parametrize("path", [PIPELINES, f"{PIPELINES}/bee_course", "/api/kam/templates", "/api/kam/templates/bee_course"])
async def test_a_client_key_names_no_other_client(alice: httpx.AsyncClient, path: str) -> None:
    refused = await alice.get(f"{path}?client_id=bob")
    saved = await alice.post(f"{PIPELINES}?client_id=bob", json=document())

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, "client_id")
    assert saved.status_code == 403


async def test_an_admin_saves_for_everybody_or_for_a_named_client(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    await bob.get("/api/kam/templates")
    async with kam.client("admin") as admin:
        of_all = await admin.post(PIPELINES, json=document(name="for_all"))
        of_bob = await admin.post(f"{PIPELINES}?client_id=bob", json=document(name="for_bob"))
        of_nobody = await admin.post(f"{PIPELINES}?client_id=nobody", json=document())
        everything = (await admin.get(PIPELINES)).json()["pipelines"]
        seen_by_alice = (await admin.get(f"{PIPELINES}?client_id=alice")).json()["pipelines"]

    assert (of_all.json()["owner"], of_bob.json()["owner"]) == (None, "bob")
    assert (of_nobody.status_code, of_nobody.json()["type"]) == (422, "urn:aif:problem:unknown_client")
    assert [each["name"] for each in everything] == ["for_all", "for_bob"]
    assert [each["name"] for each in seen_by_alice] == ["for_all"]
    assert "for_all" in (await alice.get("/api/kam/templates")).text
    assert "for_bob" in (await bob.get("/api/kam/templates")).text
    assert "for_bob" not in (await alice.get("/api/kam/templates")).text


async def test_a_saved_pipeline_is_offered_and_ordered_at_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    before = (await alice.get("/api/kam/templates")).json()["templates"]
    await alice.post(PIPELINES, json=document())

    offered = (await alice.get("/api/kam/templates")).json()["templates"]
    ordered = await alice.post("/api/kam/orders", json={"selected_template": "bee_course", "parameters": {"topic": "bees"}})

    assert [each["name"] for each in before] == ["content_granulation_course"]
    assert [(each["name"], each["owner"]) for each in offered] == [
        ("bee_course", "alice"),
        ("content_granulation_course", None),
    ]
    assert ordered.status_code == 202
    assert kam.orchestrator.orders[ordered.json()["execution_id"]].template_name == "bee_course"


async def test_a_pipeline_whose_saving_was_not_answered_is_offered_as_soon_as_it_is_known(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.loses_answers = True
    unknown = await alice.post(PIPELINES, json=document())
    kam.orchestrator.loses_answers = False

    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")
    assert "bee_course" in (await alice.get("/api/kam/templates")).text
    assert (await alice.post(PIPELINES, json=document())).status_code == 200


async def test_pipelines_are_listed_by_name_and_page_and_read_by_version(alice: httpx.AsyncClient) -> None:
    for name, version in (("one", "1.0.0"), ("one", "1.1.0"), ("two", "1.0.0")):
        await alice.post(PIPELINES, content=json.dumps(document(name=name, version=version)), headers=AS_YAML)

    first = (await alice.get(f"{PIPELINES}?limit=2")).json()
    second = (await alice.get(f"{PIPELINES}?limit=2&cursor={first['next_cursor']}")).json()
    named = (await alice.get(f"{PIPELINES}?name=two")).json()
    old = (await alice.get(f"{PIPELINES}/one?version=1.0.0")).json()

    assert [each["name"] for each in (*first["pipelines"], *second["pipelines"])] == ["one", "one", "two"]
    assert [each["name"] for each in named["pipelines"]] == ["two"]
    assert old["pipeline"]["version"] == "1.0.0"
    assert (await alice.get(f"{PIPELINES}/one")).json()["pipeline"]["version"] == "1.1.0"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{PIPELINES}/nothing", 404, "unknown_pipeline"),
        (f"{PIPELINES}/No.Name", 404, "unknown_pipeline"),
        (f"{PIPELINES}/one?version=%00", 422, "invalid_input"),
        (f"{PIPELINES}?name=No.Name", 422, "invalid_input"),
        (f"{PIPELINES}?limit=0", 422, "invalid_input"),
        (f"{PIPELINES}?cursor=%00", 422, "invalid_input"),
    ],
)
async def test_a_wrong_pipeline_address_is_answered_with_a_problem(
    alice: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    refused = await alice.get(path)

    assert (refused.status_code, refused.json()["type"]) == (status, f"urn:aif:problem:{code}")


async def test_of_two_templates_with_one_name_a_client_is_offered_its_own(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    own = TemplateView(
        name="content_granulation_course",
        version="7.0.0",
        title="Own course",
        description="",
        structure_type=None,
        parameters={"type": "object"},
        stages=("structure",),
        owner="alice",
    )
    kam.orchestrator.library.templates.insert(0, own)

    of_alice = (await alice.get("/api/kam/templates/content_granulation_course")).json()
    of_bob = (await bob.get("/api/kam/templates/content_granulation_course")).json()

    assert (of_alice["version"], of_bob["version"]) == ("7.0.0", "1.0.0")


async def test_a_key_without_a_client_sees_the_factorys_templates(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.post(PIPELINES, json=document())
    async with kam.client("admin") as admin:
        offered = (await admin.get("/api/kam/templates")).json()["templates"]
        of_alice = (await admin.get("/api/kam/templates?client_id=alice")).json()["templates"]

    assert [each["name"] for each in offered] == ["content_granulation_course"]
    assert [each["name"] for each in of_alice] == ["bee_course", "content_granulation_course"]
