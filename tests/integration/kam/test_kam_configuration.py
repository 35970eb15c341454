"""Configuration by HTTP: read and changed by whom it concerns, versioned, on record, and shown to every process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_contracts.configuration import COMPLETE
from aif_kam.configuration.push import ConfigurationPush
from aif_kam.configuration.store import ConfigurationStore
from aif_kam.loops import run_configuration
from aif_runtime.bus import ConsumerSpec
from aif_runtime.clock import SystemClock
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.sql_files import load_queries
from integration.kam.gateway_under_test import GatewayUnderTest
from support.waiting import eventually

CONFIG = "/api/admin/config"
PRIMARY = "orchestrator_primary_model"
HIVE = {"name": "Hive", "description": "A house for bees.", "price_usd": "120.50", "tags": ["wood"]}


@pytest_asyncio.fixture
async def admin(kam: GatewayUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with kam.client("admin") as client:
        yield client


@asynccontextmanager
async def pushing(kam: GatewayUnderTest, *, look_seconds: float = 3600.0) -> AsyncIterator[None]:
    """The gateway's loop runs meanwhile. It hears of changes; it does not see them in time by itself."""
    stop = asyncio.Event()
    loop = asyncio.create_task(
        run_configuration(stop, push=kam.gateway.push, work=kam.gateway.push_work, look_seconds=look_seconds)
    )
    try:
        yield
    finally:
        stop.set()
        await loop


async def shown(kam: GatewayUnderTest, entry: str) -> Any:
    """What the bucket shows."""
    content = await kam.bus.entry(subjects.BUCKET_CONFIG, entry)
    return None if content is None else msgspec.json.decode(content)["content"]


async def eventually_shown(kam: GatewayUnderTest, entry: str, content: Any) -> None:
    async def is_shown() -> bool:
        return bool(await shown(kam, entry) == content)

    await eventually(is_shown)


async def test_a_key_is_set_read_and_unset(admin: httpx.AsyncClient) -> None:
    before = (await admin.get(f"{CONFIG}/{PRIMARY}")).json()
    answer = await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "claude-sonnet-4"})
    after = (await admin.get(f"{CONFIG}/{PRIMARY}")).json()
    removed = await admin.delete(f"{CONFIG}/{PRIMARY}")

    assert (before["value"], before["is_set"], before["version"]) == (None, False, 0)
    assert answer.status_code == 200
    assert answer.json() == after
    assert (after["value"], after["is_set"]) == ("claude-sonnet-4", True)
    assert after["version"] > 0
    assert after["updated_by"].startswith("api_key:")
    assert (removed.status_code, removed.json()["is_set"]) == (200, False)
    assert (await admin.delete(f"{CONFIG}/{PRIMARY}")).json()["type"] == "urn:aif:problem:not_configured"


async def test_a_key_for_an_action_that_nobody_has_is_set_with_a_remark(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    misspelt = await admin.put(f"{CONFIG}/agent.structure_curse.primary_model", json={"value": "gpt-4o"})
    right = await admin.put(f"{CONFIG}/agent.structure_course.primary_model", json={"value": "gpt-4o"})
    kam.orchestrator.is_away = True
    unasked = await admin.put(f"{CONFIG}/agent.structure_curse.fallback_model", json={"value": "gpt-4o"})

    assert (misspelt.status_code, misspelt.json()["is_set"]) == (200, True)
    assert "did you mean structure_course?" in misspelt.json()["remark"]
    assert right.json()["remark"] is None
    assert (unasked.status_code, unasked.json()["remark"]) == (200, None)


async def test_the_list_shows_the_general_keys_and_all_that_is_set(admin: httpx.AsyncClient) -> None:
    await admin.put(f"{CONFIG}/agent.structure_course.enable_fallback", json={"value": False})
    await admin.put(f"{CONFIG}/provider_requests_per_minute.openai", json={"value": 90})

    keys = (await admin.get(CONFIG)).json()["config"]

    assert [(key["key"], key["value"], key["is_set"]) for key in keys] == [
        ("orchestrator_primary_model", None, False),
        ("orchestrator_fallback_model", None, False),
        ("orchestrator_enable_fallback", None, False),
        ("prices", None, False),
        ("agent.structure_course.enable_fallback", False, True),
        ("provider_requests_per_minute.openai", 90, True),
    ]


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        (PRIMARY, 4, "value"),
        (PRIMARY, None, "value"),
        (PRIMARY, "two words", "value"),
        ("orchestrator_enable_fallback", "yes", "value"),
        ("provider_requests_per_minute.openai", 0, "value"),
        ("agent.structure_course.primary_model", "", "value"),
        ("prices", {"prices": [{"provider": "openai", "model": "m", "rates": {"input": 0.1}}]}, "value.prices[0].rates.input"),
        ("prices", {"prices": [{"provider": "openai", "model": "m"}]}, "value.prices[0].rates"),
        ("prices", {"price": []}, "value.price"),
    ],
)
async def test_a_value_that_cannot_be_used_is_refused_by_name(
    admin: httpx.AsyncClient, key: str, value: Any, field: str
) -> None:
    answer = await admin.put(f"{CONFIG}/{key}", json={"value": value})

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
    assert answer.json()["errors"][0]["mend"]


async def test_the_fallback_model_may_be_none_and_prices_are_kept_as_they_are(admin: httpx.AsyncClient) -> None:
    prices = {"prices": [{"provider": "openai", "model": "gpt-4o-mini", "rates": {"input": "0.12", "output": "0.48"}}]}

    fallback = await admin.put(f"{CONFIG}/agent.research_topic.fallback_model", json={"value": None})
    await admin.put(f"{CONFIG}/prices", json={"value": prices})

    assert (fallback.json()["value"], fallback.json()["is_set"]) == (None, True)
    assert (await admin.get(f"{CONFIG}/prices")).json()["value"] == prices


@pytest.mark.parametrize("key", ["orchestrator_primary_modell", "agent.x.colour", "agent.x", "provider_requests_per_minute."])
async def test_a_key_that_there_is_not_is_not_found(admin: httpx.AsyncClient, key: str) -> None:
    answers = [
        await admin.get(f"{CONFIG}/{key}"),
        await admin.put(f"{CONFIG}/{key}", json={"value": "x"}),
        await admin.delete(f"{CONFIG}/{key}"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert "known are" in answers[0].json()["detail"] or "did you mean" in answers[0].json()["detail"]


async def test_the_factorys_configuration_is_for_operators(alice: httpx.AsyncClient) -> None:
    answers = [await alice.get(CONFIG), await alice.put(f"{CONFIG}/{PRIMARY}", json={"value": "x"})]

    assert [answer.status_code for answer in answers] == [403, 403]


async def test_of_two_who_change_the_same_version_the_second_is_told(
    admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    version = (await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "one", "version": 0})).json()["version"]

    first = await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "two", "version": version})
    second = await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "three", "version": version})
    third = await admin.delete(f"{CONFIG}/{PRIMARY}", params={"version": version})

    assert (first.status_code, second.status_code, third.status_code) == (200, 409, 409)
    assert second.json()["type"] == "urn:aif:problem:version_conflict"
    assert second.json()["errors"][0]["mend"] == f"read it again, and send {first.json()['version']}"
    assert (await admin.get(f"{CONFIG}/{PRIMARY}")).json()["value"] == "two"
    assert (await alice.put("/api/kam/company", json={"name": "Acme", "version": 3})).status_code == 409


async def test_many_changes_at_once_of_one_version_let_one_through(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(admin.put(f"{CONFIG}/{PRIMARY}", json={"value": f"model-{number}", "version": 0}) for number in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]


async def test_a_version_never_comes_again(admin: httpx.AsyncClient) -> None:
    old = (await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "one"})).json()["version"]
    await admin.delete(f"{CONFIG}/{PRIMARY}")

    new = (await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "one"})).json()["version"]

    assert new > old


async def test_a_client_keeps_its_company_profile_and_settings(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    company = await alice.put("/api/kam/company", json={"name": "Acme", "industry": "Bees", "brand_voice": "Warm."})
    settings = await alice.put(
        "/api/kam/ai-settings", json={"language": "de-AT", "tone": "friendly", "preferred_models": ["gpt-4o-mini"]}
    )
    profile = await alice.put("/api/kam/profile", json={"display_name": "Alice", "timezone": "Europe/Vienna"})

    assert [answer.status_code for answer in (company, settings, profile)] == [200, 200, 200]
    assert (await alice.get("/api/kam/company")).json() == company.json()
    assert (await alice.get("/api/kam/ai-settings")).json()["preferred_models"] == ["gpt-4o-mini"]
    view = (await alice.get("/api/kam/profile")).json()
    assert (view["display_name"], view["tier"], view["coins"]) == ("Alice", "standard", 0)
    assert [(await bob.get(f"/api/kam/{part}")).json()["version"] for part in ("company", "ai-settings", "profile")] == [
        0,
        0,
        0,
    ]
    assert (await bob.get("/api/kam/company")).json()["name"] == ""


async def test_tier_and_coins_are_not_the_clients_to_change(alice: httpx.AsyncClient) -> None:
    answer = await alice.put("/api/kam/profile", json={"tier": "premium", "coins": 1000})

    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"tier", "coins"}


@pytest.mark.parametrize(
    ("part", "body", "field"),
    [
        ("profile", {"timezone": "Vienna"}, "timezone"),
        ("profile", {"timezone": "localtime"}, "timezone"),
        ("profile", {"timezone": "Factory"}, "timezone"),
        ("profile", {"contact_email": "nobody"}, "contact_email"),
        ("company", {"website": "javascript:alert(1)"}, "website"),
        ("company", {"brand_voice": "x" * 4001}, "brand_voice"),
        ("ai-settings", {"language": "German!"}, "language"),
        ("ai-settings", {"preferred_models": ["a"] * 11}, "preferred_models"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(alice: httpx.AsyncClient, part: str, body: dict[str, Any], field: str) -> None:
    answer = await alice.put(f"/api/kam/{part}", json=body)

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_products_are_added_changed_listed_and_removed(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    added = await alice.post("/api/kam/products", json=HIVE, headers={"Idempotency-Key": "one"})
    again = await alice.post("/api/kam/products", json=HIVE, headers={"Idempotency-Key": "one"})
    product_id = added.json()["product_id"]
    changed = await alice.put(
        f"/api/kam/products/{product_id}", json={**HIVE, "name": "Big hive", "version": added.json()["version"]}
    )

    assert (added.status_code, again.json()) == (201, added.json())
    assert changed.json()["name"] == "Big hive"
    assert [each["name"] for each in (await alice.get("/api/kam/products")).json()["products"]] == ["Big hive"]
    assert (await bob.get("/api/kam/products")).json()["products"] == []
    foreign = [
        await bob.get(f"/api/kam/products/{product_id}"),
        await bob.put(f"/api/kam/products/{product_id}", json=HIVE),
        await bob.delete(f"/api/kam/products/{product_id}"),
    ]
    assert [answer.status_code for answer in foreign] == [404, 404, 404]
    assert (await alice.delete(f"/api/kam/products/{product_id}")).json()["name"] == "Big hive"
    assert (await alice.get(f"/api/kam/products/{product_id}")).status_code == 404


async def test_the_products_of_a_client_have_a_limit_together(alice: httpx.AsyncClient) -> None:
    large = {"name": "Hive", "description": "ü" * 4000}
    for _ in range(64):
        assert (await alice.post("/api/kam/products", json=large)).status_code == 201

    answer = await alice.post("/api/kam/products", json=large)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "description")
    assert (await alice.post("/api/kam/products", json={"name": "Small"})).status_code == 201


async def test_an_id_that_ends_with_a_newline_is_none_and_keeps_no_configuration_from_the_bucket(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    async with pushing(kam):
        refused = await alice.post("/api/kam/workspaces", json={"workspace_id": "spring\n", "name": "Spring"})
        await alice.post("/api/kam/workspaces", json={"workspace_id": "summer", "name": "Summer"})

        summer = {"workspace_id": "summer", "name": "Summer", "branding": {}, "ai_behaviour": {}, "funnels": {}}
        await eventually_shown(kam, "client.alice.workspace.summer", summer)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "workspace_id"
    assert refused.json()["errors"][0]["mend"] == (
        "send a text of this kind: letters, digits, _ and -, a letter or digit first, 64 at most"
    )


async def test_of_two_who_make_the_same_workspace_at_once_the_second_hears_that_it_exists(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    async def both_wait() -> bool:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return len(await kam.rows(waiting)) == 2

    async with kam.database.transaction() as connection:
        await connection.execute("LOCK TABLE configuration_pushes IN EXCLUSIVE MODE")
        calls = [
            asyncio.create_task(alice.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": name}))
            for name in ("one", "two")
        ]
        await eventually(both_wait)
    answers = await asyncio.gather(*calls)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert {answer.json().get("type") for answer in answers} == {None, "urn:aif:problem:workspace_exists"}


async def test_a_client_has_a_hundred_workspaces_at_most_however_many_are_made_at_once(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    for number in range(98):
        await alice.post("/api/kam/workspaces", json={"workspace_id": f"w{number}", "name": "Spring"})

    answers = await asyncio.gather(
        *(alice.post("/api/kam/workspaces", json={"workspace_id": f"at_once_{n}", "name": "Spring"}) for n in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [422] * 6
    assert len((await alice.get("/api/kam/workspaces")).json()["workspaces"]) == 100


async def test_a_workspace_is_its_clients_alone(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    spring = {"workspace_id": "spring", "name": "Spring", "branding": {"colour": "yellow"}, "funnels": {"steps": ["visit"]}}
    added = await alice.post("/api/kam/workspaces", json=spring)
    twice = await alice.post("/api/kam/workspaces", json=spring)
    await bob.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": "Bob's"})
    await alice.put("/api/kam/workspaces/spring", json={"name": "Summer", "ai_behaviour": {"greets": True}})

    assert (added.status_code, twice.status_code) == (201, 409)
    assert twice.json()["type"] == "urn:aif:problem:workspace_exists"
    view = (await alice.get("/api/kam/workspaces/spring")).json()
    assert (view["name"], view["branding"], view["ai_behaviour"]) == ("Summer", {}, {"greets": True})
    assert (await bob.get("/api/kam/workspaces/spring")).json()["name"] == "Bob's"
    assert [each["name"] for each in (await bob.get("/api/kam/workspaces")).json()["workspaces"]] == ["Bob's"]
    assert (await bob.delete("/api/kam/workspaces/spring")).status_code == 200
    assert (await bob.get("/api/kam/workspaces/spring")).status_code == 404
    assert (await bob.put("/api/kam/workspaces/spring", json={"name": "x"})).status_code == 404
    assert (await alice.get("/api/kam/workspaces/spring")).status_code == 200


async def test_a_free_object_has_limits(alice: httpx.AsyncClient) -> None:
    deep: Any = "x"
    for _ in range(9):
        deep = {"a": deep}

    large = await alice.post("/api/kam/workspaces", json={"workspace_id": "a", "branding": {"a": "x" * 16384}})
    nested = await alice.post("/api/kam/workspaces", json={"workspace_id": "a", "funnels": {"a": deep}})

    assert (large.status_code, large.json()["errors"][0]["field"]) == (422, "branding")
    assert (nested.status_code, nested.json()["errors"][0]["field"]) == (422, "funnels")


async def test_the_operator_acts_for_a_client_that_there_is(admin: httpx.AsyncClient, alice: httpx.AsyncClient) -> None:
    put = await admin.put("/api/kam/company", params={"client_id": "alice"}, json={"name": "Acme"})
    unknown = await admin.put("/api/kam/company", params={"client_id": "nobody"}, json={"name": "Acme"})
    unnamed = await admin.get("/api/kam/company")

    assert (put.status_code, unknown.status_code, unnamed.status_code) == (200, 422, 422)
    assert (await alice.get("/api/kam/company")).json()["name"] == "Acme"


async def test_a_change_is_shown_in_the_bucket_at_once(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    async with pushing(kam):
        await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "claude-sonnet-4"})
        await eventually_shown(kam, "system", {"values": {PRIMARY: "claude-sonnet-4"}})
        await alice.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": "Spring"})
        spring = {"workspace_id": "spring", "name": "Spring", "branding": {}, "ai_behaviour": {}, "funnels": {}}
        await eventually_shown(kam, "client.alice.workspace.spring", spring)
        await admin.delete(f"{CONFIG}/{PRIMARY}")
        await alice.delete("/api/kam/workspaces/spring")
        await eventually_shown(kam, "system", {"values": {}})
        await eventually_shown(kam, "client.alice.workspace.spring", None)


async def test_the_operator_changes_tier_and_coins_on_record(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    account = "/api/admin/clients/alice/account"

    before = (await admin.get(account)).json()
    changed = await admin.put(account, json={"tier": "free", "coins": 12})
    again = await admin.put(account, json={"tier": "free"})

    assert before == {"client_id": "alice", "tier": "standard", "coins": 0}
    assert (changed.status_code, changed.json()) == (200, {"client_id": "alice", "tier": "free", "coins": 12})
    assert again.json() == changed.json()
    profile = (await alice.get("/api/kam/profile")).json()
    assert (profile["tier"], profile["coins"]) == ("free", 12)
    [record] = await kam.rows("SELECT old_value, new_value, changed_by FROM configuration_changes WHERE item = 'account'")
    assert (msgspec.json.decode(record["old_value"]), msgspec.json.decode(record["new_value"])) == (
        {"tier": "standard", "coins": 0},
        {"tier": "free", "coins": 12},
    )
    assert record["changed_by"].startswith("api_key:")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "tier"), ({"tier": "Free Tier"}, "tier"), ({"coins": -1}, "coins"), ({"coins": "7"}, "coins"), ({"gold": 1}, "gold")],
)
async def test_a_wrong_account_is_refused_by_its_field(admin: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await admin.put("/api/admin/clients/alice/account", json=body)

    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])


async def test_accounts_are_the_operators_and_of_clients_that_exist(admin: httpx.AsyncClient, alice: httpx.AsyncClient) -> None:
    foreign = await alice.put("/api/admin/clients/alice/account", json={"coins": 5})
    nobody = await admin.put("/api/admin/clients/nobody/account", json={"coins": 5})

    assert (foreign.status_code, nobody.status_code) == (403, 404)
    assert nobody.json()["type"] == "urn:aif:problem:unknown_client"


async def test_tier_and_coins_reach_the_profile_whoever_changes_them(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    async with pushing(kam, look_seconds=0.05):
        await alice.put("/api/kam/profile", json={"display_name": "Alice"})
        await kam.rows("UPDATE clients SET tier = 'free', coins = 12 WHERE client_id = 'alice'")
        profile = {"tier": "free", "coins": 12, "display_name": "Alice", "contact_email": "", "timezone": "UTC"}

        await eventually_shown(kam, "client.alice.profile", profile)

    assert (await alice.get("/api/kam/profile")).json()["tier"] == "free"


async def test_what_a_gateway_left_unpushed_when_it_died_is_pushed_by_the_next(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "claude-sonnet-4"})
    kam.gateway.push_work.clear()
    assert await shown(kam, "system") is None

    async with pushing(kam):
        await eventually_shown(kam, "system", {"values": {PRIMARY: "claude-sonnet-4"}})


async def test_a_broker_that_lost_everything_is_told_everything_again(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "claude-sonnet-4"})
    await alice.post("/api/kam/products", json=HIVE)
    await kam.gateway.push.follow()
    await kam.gateway.push.mend()
    before = await kam.bus.entries(subjects.BUCKET_CONFIG)

    kam.broker.wipe()
    await kam.gateway.push.mend()

    assert set(before) >= {"system", "client.alice.products", "client.alice.profile", COMPLETE}
    assert await kam.bus.entries(subjects.BUCKET_CONFIG) == before


async def test_an_entry_that_somebody_else_has_changed_is_mended(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "claude-sonnet-4"})
    await kam.gateway.push.mend()
    before = await kam.bus.entries(subjects.BUCKET_CONFIG)

    await kam.bus.put_entry(subjects.BUCKET_CONFIG, "system", b"rubbish")
    await kam.bus.delete_entry(subjects.BUCKET_CONFIG, "client.alice.profile")
    await kam.bus.put_entry(subjects.BUCKET_CONFIG, "client.gone.profile", b'{"revision": 1}')
    started_anew = another_push(kam, kam.bus)
    await started_anew.mend()
    await started_anew.follow()

    assert await kam.bus.entries(subjects.BUCKET_CONFIG) == before


async def test_nothing_is_lost_while_the_broker_is_away(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    async with pushing(kam, look_seconds=0.05):
        kam.broker.go_down()
        answer = await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "claude-sonnet-4"})
        kam.broker.come_back()

        assert answer.status_code == 200
        await eventually_shown(kam, "system", {"values": {PRIMARY: "claude-sonnet-4"}})


def another_push(kam: GatewayUnderTest, bus: MemoryBus) -> ConfigurationPush:
    """Of a second gateway, or of one that has started anew."""
    store = ConfigurationStore(load_queries("aif_kam"))
    return ConfigurationPush(database=kam.database, store=store, bus=bus, clock=SystemClock())


class SlowBus(MemoryBus):
    """Its first entry waits to be let go."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.has_begun = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def put_entry(self, bucket: str, key: str, value: bytes, *, ttl_seconds: float | None = None) -> None:
        self.has_begun.set()
        await self.goes_on.wait()
        await super().put_entry(bucket, key, value, ttl_seconds=ttl_seconds)


async def test_a_slow_gateway_puts_no_older_value_over_a_newer_one(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    await kam.gateway.push.follow()
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "older"})
    bus = SlowBus(kam.broker)
    slow = asyncio.create_task(another_push(kam, bus).follow())
    await bus.has_begun.wait()

    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "newer"})
    fast = asyncio.create_task(kam.gateway.push.follow())
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    async def fast_waits_or_is_done() -> bool:
        return fast.done() or bool(await kam.rows(waiting))

    async with kam.bus.watch(subjects.BUCKET_CONFIG) as changes:
        await eventually(fast_waits_or_is_done)
        bus.goes_on.set()
        await asyncio.gather(slow, fast)
        told = [change for _ in range(3) if (change := await changes.next(0.05)) is not None]

    assert [msgspec.json.decode(change.payload)["content"]["values"][PRIMARY] for change in told] == ["older", "newer"]


async def test_gateways_that_push_at_once_leave_the_newest_value(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    async def change() -> None:
        for number in range(10):
            await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": f"model-{number}"})

    async def push() -> None:
        for _ in range(20):
            await kam.gateway.push.follow()

    await asyncio.gather(change(), push(), push(), push())
    await kam.gateway.push.follow()

    assert await shown(kam, "system") == {"values": {PRIMARY: "model-9"}}


async def test_every_change_is_told_to_the_audit_log_without_secrets(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "one"})
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "two"})
    await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": "two"})
    await admin.delete(f"{CONFIG}/{PRIMARY}")
    funnels = {"crm": {"api_key": "canary", "note": "Bearer canary-canary"}}
    await alice.post("/api/kam/workspaces", json={"workspace_id": "spring", "funnels": funnels})
    kam.broker.go_down()
    kam.broker.come_back()
    await kam.gateway.push.follow()
    await kam.gateway.push.follow()

    entries = await _audited(kam)
    assert [(entry.action, entry.details["old_value"], entry.details["new_value"]) for entry in entries[:3]] == [
        ("CONFIGURATION_CHANGED", None, "one"),
        ("CONFIGURATION_CHANGED", "one", "two"),
        ("CONFIGURATION_CHANGED", "two", None),
    ]
    assert [(entry.actor, entry.client_id) for entry in entries] == [
        *[(f"api_key:{kam.keys['admin'].split('_')[2]}", None)] * 3,
        (f"api_key:{kam.keys['alice'].split('_')[2]}", "alice"),
    ]
    assert entries[3].details["new_value"]["funnels"] == {"crm": {"api_key": "***", "note": "Bearer ***"}}
    assert len({entry.audit_id for entry in entries}) == 4
    kept = await kam.rows("SELECT old_value::text || new_value::text AS text FROM configuration_changes")
    assert "canary" not in str([row["text"] for row in kept])


async def test_a_change_is_deleted_a_month_after_it_was_told(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    for value in ("old", "late", "untold"):
        await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": value})
    aged = "UPDATE configuration_changes SET told_at = now() - make_interval(days => $2) WHERE new_value = to_jsonb($1::text)"
    await kam.rows(f"{aged} RETURNING 1", "old", 31)
    await kam.rows(f"{aged} RETURNING 1", "late", 29)

    await kam.gateway.push.mend()

    kept = await kam.rows("SELECT new_value FROM configuration_changes ORDER BY version")
    assert [msgspec.json.decode(row["new_value"]) for row in kept] == ["late", "untold"]


async def test_changes_that_another_gateway_is_deleting_hold_nobody_up(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    for value in ("first", "second"):
        await admin.put(f"{CONFIG}/{PRIMARY}", json={"value": value})
    await kam.rows("UPDATE configuration_changes SET told_at = now() - interval '31 days'")

    async with kam.database.transaction() as another:
        await another.execute("""SELECT FROM configuration_changes WHERE new_value = '"first"' FOR UPDATE""")
        await kam.gateway.push.mend()

    kept = await kam.rows("SELECT new_value FROM configuration_changes")
    assert [msgspec.json.decode(row["new_value"]) for row in kept] == ["first"]


async def _audited(kam: GatewayUnderTest) -> list[AuditEntry]:
    spec = ConsumerSpec(stream=subjects.STREAM_AUDIT, durable=subjects.CONSUMER_AUDIT, filter_subject=subjects.ALL_AUDIT)
    deliveries = await kam.bus.open_consumer(spec)
    found = await deliveries.fetch(100, 1.0)
    assert {delivery.subject for delivery in found} == {"aif.audit.kam"}
    return [msgspec.json.decode(delivery.payload, type=AuditEntry) for delivery in found]
