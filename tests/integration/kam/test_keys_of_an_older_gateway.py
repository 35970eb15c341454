"""Keys and repeated calls that were there before keys had scopes and ends."""

import httpx

from aif_kam.api_keys import KeyDigest, key_id_of, mint_api_key
from aif_kam.wiring import SCHEMA
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database
from aif_runtime.settings import Secret
from integration.kam.gateway_under_test import PEPPER, open_gateway

BEFORE_SCOPES = 13


async def test_a_clients_key_of_an_older_gateway_orders_and_changes_no_keys_and_the_operators_goes_on(
    fresh_database: str,
) -> None:
    acmes, operators, revoked = (mint_api_key() for _ in range(3))
    digest = KeyDigest(Secret(PEPPER))
    database = await Database.open(fresh_database, application_name="kam", schema=SCHEMA)
    await migrate(database, schema=SCHEMA, migrations=load_migrations("aif_kam")[:BEFORE_SCOPES])
    add = "INSERT INTO api_keys (key_id, client_id, scope, digest) VALUES ($1, $2, $3, $4)"
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO clients (client_id) VALUES ('acme')")
        for key, client_id, scope in ((acmes, "acme", "client"), (operators, None, "admin"), (revoked, "acme", "client")):
            await connection.execute(add, key_id_of(key), client_id, scope, digest.of(key))
        await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE key_id = $1", key_id_of(revoked))
        await connection.execute("INSERT INTO idempotency_keys (client_id, key, fingerprint) VALUES ('acme', 'k', 'digest')")
    await database.close()

    async with open_gateway(fresh_database) as kam, httpx.AsyncClient(base_url=kam.url, timeout=60) as http:
        acme, operator = {"X-API-Key": acmes}, {"X-API-Key": operators}
        made = await http.post("/api/kam/requests", json={}, headers=acme)
        refused = await http.post("/api/kam/keys", json={"name": "x"}, headers=acme)
        listed = (await http.get("/api/kam/keys?client_id=acme", headers=operator)).json()["keys"]
        ended = await http.get("/api/kam/requests", headers={"X-API-Key": revoked})

    assert (made.status_code, refused.status_code, ended.status_code) == (201, 403, 401)
    assert {(key["name"], key["scope"], key["status"], key["created_by"]) for key in listed} == {
        ("bootstrap", "order", "active", None),
        ("bootstrap", "order", "revoked", None),
    }
