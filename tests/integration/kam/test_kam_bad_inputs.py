"""Whatever is wrong, the answer is a problem document that names the field and the mend, and nothing is stored half."""

import asyncio
import gzip
import json
import re
from typing import Any

import httpx
import msgspec
import pytest

from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from integration.kam.orchestrator_stand_in import COURSE as STOCK
from support.waiting import eventually

COURSE = "content_granulation_course"
ORDERS = "/api/kam/orders"
REQUESTS = "/api/kam/requests"


def order(**parameters: Any) -> bytes:
    return json.dumps({"selected_template": COURSE, "parameters": parameters}).encode()


BODIES = [
    (REQUESTS, b"", 400, "malformed_body", None, None),
    (REQUESTS, b"{", 400, "malformed_body", None, None),
    (REQUESTS, b"[]", 400, "malformed_body", None, None),
    (REQUESTS, b'"text"', 400, "malformed_body", None, None),
    (REQUESTS, b'{"message": "\xff"}', 400, "malformed_body", None, None),
    (REQUESTS, b'{"message": "\\ud800"}', 400, "malformed_body", None, None),
    (REQUESTS, b'{"message": ' + b"[" * 100_000, 400, "malformed_body", None, None),
    (REQUESTS, b'{"message": "a\\u0000b"}', 422, "invalid_input", "message", "remove it"),
    (REQUESTS, b'{"massage": "x"}', 422, "invalid_input", "massage", "did you mean message?"),
    (REQUESTS, b'{"message": 5}', 422, "invalid_input", "message", "4000 characters"),
    (REQUESTS, b'{"urgency_level": "now"}', 422, "invalid_input", "urgency_level", "low, normal, high, critical"),
    (REQUESTS, b'{"request_type": "dance"}', 422, "invalid_input", "request_type", "send pipeline_execution"),
    (REQUESTS, b'{"client_id": "../x"}', 422, "invalid_input", "client_id", "letters, digits, _ and -"),
    (REQUESTS, b'{"status": "completed"}', 422, "invalid_input", "status", "leave it out"),
    (REQUESTS, b'{"workspace_id": "' + b"w" * 65 + b'"}', 422, "invalid_input", "workspace_id", "64 at most"),
    (ORDERS, b"{}", 422, "invalid_input", "selected_template", "add selected_template"),
    (
        ORDERS,
        b'{"selected_template": "content_granulation_curse"}',
        422,
        "unknown_template",
        "selected_template",
        f"did you mean {COURSE}?",
    ),
    (ORDERS, order(granularityLevel="four"), 422, "invalid_input", "parameters.granularityLevel", "number"),
    (ORDERS, order(granularityLevel=9), 422, "invalid_input", "parameters.granularityLevel", "5"),
    (ORDERS, order(granularitylevel=3), 422, "invalid_input", "parameters.granularitylevel", "granularityLevel"),
    (ORDERS, order(structureType="quiz"), 422, "invalid_input", "parameters.structureType", "course"),
    (ORDERS, order(source=5), 422, "invalid_input", "parameters.source", "source_id"),
    (ORDERS, order(source="src_nothing"), 422, "invalid_input", "parameters.source", "upload it"),
    (ORDERS, order(source="src_x\x00"), 422, "invalid_input", "parameters.source", "remove it"),
    (ORDERS, order(source="src_x", source_text="x"), 422, "invalid_input", "parameters.source_text", "keep one"),
    (ORDERS, order(source_text="   "), 422, "source_empty", "parameters.source_text", "text in it"),
    (ORDERS, order(source_text=["x"]), 422, "invalid_input", "parameters.source_text", "one string"),
]


@pytest.mark.parametrize(("path", "body", "status", "code", "field", "mend"), BODIES)
async def test_a_bad_body_is_refused_by_name(
    kam: GatewayUnderTest,
    alice: httpx.AsyncClient,
    path: str,
    body: bytes,
    status: int,
    code: str,
    field: str | None,
    mend: str | None,
) -> None:
    refused = await alice.post(path, content=body, headers={"Content-Type": "application/json"})

    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (status, f"urn:aif:problem:{code}")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["instance"]) == (status, path)
    assert problem["title"]
    assert problem["detail"]
    if field is not None and mend is not None:
        assert problem["errors"][0]["field"] == field
        assert mend in problem["errors"][0]["mend"]
    assert await kam.rows("SELECT 1 FROM client_requests UNION ALL SELECT 1 FROM sources") == []
    assert kam.orchestrator.orders == {}


async def test_all_wrong_fields_are_named_at_once(alice: httpx.AsyncClient) -> None:
    refused = await alice.post(REQUESTS, json={"massage": "x", "urgency_level": 7, "workspace_id": ""})

    assert [mistake["field"] for mistake in refused.json()["errors"]] == ["massage", "urgency_level", "workspace_id"]


UPLOADS = [
    ("a.md", b"", "source_empty"),
    ("a.exe", b"MZ\x90", "source_kind"),
    ("a.txt", b"caf\xe9", "source_encoding"),
    ("a.txt", b"a\x00b", "source_binary"),
    ("a.pdf", b"%PDF-1.4 broken", "source_broken_pdf"),
    ("a.pdf", b"no pdf", "source_broken_pdf"),
    ("a.docx", b"PK\x03\x04broken", "source_broken_docx"),
    ("a.md", b"%PDF-1.4", "source_kind"),
]


@pytest.mark.parametrize(("name", "content", "code"), UPLOADS)
@pytest.mark.parametrize("way", ["raw", "multipart"])
async def test_a_bad_source_is_refused_by_name(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, name: str, content: bytes, code: str, way: str
) -> None:
    if way == "raw":
        refused = await alice.post(f"/api/kam/sources?file_name={name}", content=content)
    else:
        refused = await alice.post("/api/kam/sources", files={"source": (name, content)})

    assert (refused.status_code, refused.json()["type"]) == (422, f"urn:aif:problem:{code}")
    assert refused.json()["errors"][0]["field"] == "source"
    assert refused.json()["errors"][0]["mend"]
    assert await kam.rows("SELECT 1 FROM sources") == []


@pytest.mark.parametrize("way", ["with length", "in chunks", "multipart"])
async def test_sixty_megabytes_are_too_many(kam: GatewayUnderTest, alice: httpx.AsyncClient, way: str) -> None:
    megabyte = b"word " * (1024 * 1024 // 5)

    async def chunks() -> Any:
        for _ in range(60):
            yield megabyte

    path = "/api/kam/sources?file_name=a.txt"
    match way:
        case "with length":
            refused = await alice.post(path, content=megabyte * 60)
        case "in chunks":
            refused = await alice.post(path, content=chunks())
        case _:
            refused = await alice.post("/api/kam/sources", files={"source": ("a.txt", megabyte * 60)})

    assert (refused.status_code, refused.json()["type"]) == (413, "urn:aif:problem:body_too_large")
    assert "50 MiB" in refused.json()["errors"][0]["mend"]
    assert await kam.rows("SELECT 1 FROM sources") == []


async def test_a_json_body_above_one_mebibyte_is_too_large(alice: httpx.AsyncClient) -> None:
    refused = await alice.post(ORDERS, content=order(source_text="x" * (1024 * 1024)))

    assert (refused.status_code, refused.json()["type"]) == (413, "urn:aif:problem:body_too_large")


async def test_another_media_type_is_named(alice: httpx.AsyncClient) -> None:
    refused = await alice.post(REQUESTS, data={"message": "x"})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (415, "Content-Type")
    assert "application/json" in refused.json()["errors"][0]["mend"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"no parts", {"Content-Type": "multipart/form-data"}),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\ntext\r\n--x--\r\n',
            {"Content-Type": "multipart/form-data; boundary=x"},
        ),
    ],
)
async def test_a_broken_multipart_body_is_refused(alice: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
    refused = await alice.post("/api/kam/sources", content=body, headers=headers)

    assert (refused.status_code, refused.json()["type"]) == (400, "urn:aif:problem:malformed_body")
    assert refused.json()["errors"][0]["field"] == "source"
    assert "curl -F source=@FILE" in refused.json()["errors"][0]["mend"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (REQUESTS, "application/json"),
        ("/api/kam/pipelines", "application/yaml"),
        ("/api/kam/sources?file_name=bees.md", "text/markdown"),
        ("/api/kam/sources", "multipart/form-data; boundary=x"),
    ],
)
async def test_a_compressed_body_is_named_as_what_it_is(alice: httpx.AsyncClient, path: str, media_type: str) -> None:
    headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}

    refused = await alice.post(path, content=gzip.compress(b"{}"), headers=headers)
    plain = await alice.post(REQUESTS, json={}, headers={"Content-Encoding": "identity"})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (415, "Content-Encoding")
    assert plain.status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "no_such_address"),
        ("GET", "/schema/swagger", 404, "no_such_address"),
        ("PATCH", "/api/kam/requests", 405, "method_not_allowed"),
        ("GET", "/api/kam/requests/req_unknown", 404, "unknown_request"),
        ("GET", "/api/kam/requests/%00", 404, "not_found"),
        ("GET", "/api/kam/requests/..%2f..%2fetc", 404, None),
        ("GET", "/api/v1/ai/pipelines/exec_unknown", 404, "unknown_execution"),
        ("GET", "/api/kam/deliverables/dlv_unknown", 404, "not_found"),
        ("GET", "/api/kam/templates/unknown", 404, "unknown_template"),
        ("GET", "/api/kam/requests?limit=0", 422, "invalid_input"),
        ("GET", "/api/kam/requests?limit=x", 422, "invalid_input"),
        ("GET", "/api/kam/requests?status=dancing", 422, "invalid_input"),
        ("GET", "/api/kam/requests?cursor=%00", 422, "invalid_input"),
    ],
)
async def test_a_bad_address_is_answered_with_a_problem(
    alice: httpx.AsyncClient, method: str, path: str, status: int, code: str | None
) -> None:
    refused = await alice.request(method, path)

    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert code is None or refused.json()["type"] == f"urn:aif:problem:{code}"
    if status == 405:
        assert "GET" in refused.headers["allow"]
    assert refused.headers["x-content-type-options"] == "nosniff"


async def test_an_address_tells_all_its_methods_and_nothing_else_as_allowed(alice: httpx.AsyncClient) -> None:
    described = (await alice.get("/schema")).json()["paths"]

    for path, operations in described.items():
        if "/admin/" in path or path == "/worker-insights":
            continue
        methods = {name.upper() for name in operations if name in ("get", "put", "post", "delete")}
        expected = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        asked, refused = await alice.options(path), await alice.patch(path)
        assert (asked.status_code, refused.status_code) == (204, 405)
        assert [set(answer.headers["allow"].split(", ")) for answer in (asked, refused)] == [expected, expected], path


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/kam/keys?scope=dancing", "scope"),
        ("/api/kam/keys?active=perhaps", "active"),
        (f"/api/admin/audit?from={'9' * 41}", "from"),
        (f"/api/admin/calls?to={'9' * 41}", "to"),
    ],
)
async def test_a_wrong_parameter_is_named_as_it_stands_in_the_address(kam: GatewayUnderTest, path: str, field: str) -> None:
    async with kam.client("admin") as admin:
        refused = await admin.get(path)

    assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize("query", ["analysis_period=soon", "analysis_period=1000d", "worker_name=%00"])
async def test_insights_of_no_period_or_worker_are_refused(kam: GatewayUnderTest, query: str) -> None:
    async with kam.client("admin") as admin:
        refused = await admin.get(f"/worker-insights?{query}")

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, query.partition("=")[0])


@pytest.mark.parametrize(
    ("method", "path", "field", "mend"),
    [
        ("POST", "/api/kam/pipelines?dryrun=true", "dryrun", "did you mean dry_run?"),
        ("GET", "/api/kam/requests?statsu=failed", "statsu", "did you mean status?"),
        ("GET", "/api/kam/pipelines/lesson?name=x", "name", "leave it out; known are version, client_id"),
        ("GET", "/api/kam/requests/req_1/events?from=2", "from", "leave it out; known are after"),
        ("DELETE", "/api/kam/requests/req_1?force=true", "force", "leave it out"),
    ],
)
async def test_a_parameter_that_the_address_does_not_have_is_named_with_the_one_that_was_meant(
    alice: httpx.AsyncClient, method: str, path: str, field: str, mend: str
) -> None:
    refused = await alice.request(method, path)

    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert [(each["field"], each["mend"]) for each in refused.json()["errors"]] == [(field, mend)]


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "/api/kam/pipelines?dry_run=true&dry_run=false", "dry_run"),
        ("GET", "/api/v1/ai/pipelines/budget/spend?group_by=day&group_by=model", "group_by"),
        ("GET", "/api/kam/requests?status=failed&limit=5&status=failed", "status"),
    ],
)
async def test_a_parameter_that_comes_twice_is_refused_and_neither_value_is_taken(
    alice: httpx.AsyncClient, method: str, path: str, field: str
) -> None:
    refused = await alice.request(method, path)

    assert refused.status_code == 422
    assert [(each["field"], each["message"]) for each in refused.json()["errors"]] == [(field, "is given more than once")]


async def test_parameters_that_the_address_does_not_have_are_named_in_the_order_in_which_they_came(
    alice: httpx.AsyncClient,
) -> None:
    names = [f"filter_{number}" for number in range(20)]

    refused = await alice.get("/api/kam/requests?" + "&".join(f"{name}=1" for name in names))

    assert [each["field"] for each in refused.json()["errors"]] == names


@pytest.mark.parametrize("path", ["/health?verbose", "/metrics?name=x", "/?source=bookmark"])
async def test_what_needs_no_key_takes_any_parameter(kam: GatewayUnderTest, path: str) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as machine:
        assert (await machine.get(path)).status_code == 200


async def test_a_key_is_asked_for_before_the_parameters_of_an_address(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as nobody:
        refused = await nobody.get("/api/kam/requests?statsu=failed")

    assert refused.status_code == 401


@pytest.mark.parametrize("key", ["", "with space", "x" * 201, "é"])
async def test_a_bad_idempotency_key_is_named(alice: httpx.AsyncClient, key: str) -> None:
    refused = await alice.post(REQUESTS, json={}, headers={b"Idempotency-Key": key.encode("latin-1")})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_without_the_broker_orders_are_refused_quickly_and_the_database_still_answers(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id = (await alice.post(REQUESTS, json={})).json()["request_id"]
    await alice.get("/api/kam/templates")
    kam.broker.go_down()

    refused = await alice.post(ORDERS, content=order(topic="bees"))

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert refused.elapsed.total_seconds() < 2
    assert (await alice.get(f"{REQUESTS}/{request_id}")).status_code == 200
    assert len((await alice.get(REQUESTS)).json()["requests"]) == 2
    async with kam.client("admin") as admin:
        assert (await admin.get("/worker-insights")).status_code == 503
    kam.broker.come_back()
    assert await kam.gateway.submissions.sweep() == 1


async def test_without_the_database_the_answer_is_unavailable(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await kam.database.close()

    refused = await alice.post(REQUESTS, json={})

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert "password" not in refused.text


async def test_a_mistake_of_ours_tells_nothing_of_the_inside(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    async with kam.database.connection() as connection:
        await connection.execute("DROP TABLE idempotency_keys")

    failed = await alice.post(REQUESTS, json={}, headers={"Idempotency-Key": "k"})

    assert (failed.status_code, failed.json()["type"]) == (500, "urn:aif:problem:internal_error")
    assert "idempotency_keys" not in failed.text


async def test_a_good_document_after_bad_ones_is_read(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    for name, content, _ in UPLOADS[:3]:
        await alice.post(f"/api/kam/sources?file_name={name}", content=content)

    read = await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())

    assert read.status_code == 201


@pytest.mark.parametrize("host", ["kam:99999999", "kam:x", "[::1"])
async def test_a_strange_host_header_changes_no_answer(alice: httpx.AsyncClient, host: str) -> None:
    landing = await alice.get("/", headers={"Host": host, "Accept": "text/html"})
    refused = await alice.get("/api/kam/requests/nothing", headers={"Host": host})
    keyed = await alice.post(REQUESTS, json={}, headers={"Host": host, "Idempotency-Key": "once"})

    assert (landing.status_code, refused.status_code, keyed.status_code) == (200, 404, 201)
    assert refused.json()["instance"] == "/api/kam/requests/nothing"


async def test_a_caller_that_leaves_in_the_middle_of_a_body_is_no_mistake_of_ours(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", int(kam.url.rpartition(":")[2]))
    key = alice.headers["X-API-Key"]
    writer.write(f"POST {REQUESTS} HTTP/1.1\r\nHost: kam\r\nX-API-Key: {key}\r\nContent-Length: 9\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()

    async def counted() -> bool:
        return f'method="POST",route="{REQUESTS}",status="400"' in (await alice.get("/metrics")).text

    await eventually(counted)
    failed = re.findall(r'^aif_http_requests_total\{.*status="500"\} (.*)$', (await alice.get("/metrics")).text, re.MULTILINE)
    assert failed
    assert set(failed) == {"0.0"}


async def test_parameters_that_nobody_would_admit_are_refused_before_anything_is_stored(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schema = {"type": "object", "properties": {"letter": {"type": "string"}}}
    kam.orchestrator.library.templates.append(
        msgspec.structs.replace(STOCK, name="letters", structure_type=None, parameters=schema)
    )
    ordered = {"selected_template": "letters"}
    letter = {"letter": "x" * 70_000}
    calls: list[tuple[str, dict[str, Any], str]] = [
        (ORDERS, {**ordered, "parameters": letter}, "parameters"),
        ("/api/kam/batches", {**ordered, "inputs": [{}, letter]}, "inputs[1]"),
        ("/api/kam/batches", {**ordered, "inputs": [{}], "parameters": letter}, "inputs[0]"),
        ("/api/kam/schedules", {**ordered, "name": "x", "cron": "0 6 * * *", "parameters": letter}, "parameters"),
        ("/api/kam/templates/letters/simulate", {"parameters": letter}, "parameters"),
    ]

    for path, body, field in calls:
        refused = await alice.post(path, json=body)
        assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, [field]), path
        assert "source document" in refused.json()["errors"][0]["mend"]
    for things in ("requests", "batches", "schedules"):
        assert (await alice.get(f"/api/kam/{things}")).json()[things] == []


async def test_a_name_in_an_address_is_refused_by_what_a_name_is_and_not_by_a_pattern(kam: GatewayUnderTest) -> None:
    async with kam.client() as alice:
        answer = await alice.get("/api/kam/pipelines", params={"name": "Bad Name"})

    assert answer.json()["errors"] == [
        {
            "field": "name",
            "message": "does not have the form that is asked for",
            "mend": "send a text of this kind: name of the pipeline: lower-case letters, digits and _, a letter first",
        }
    ]
