"""Idempotency keys: the same key with the same body is one effect and one answer, for 24 hours.

The key is claimed in the transaction of the effect, so of many calls one has the effect and the others read its answer. Where
the answer comes from the orchestrator, the key is bound to the execution first, and whoever gets the orchestrator's answer,
the caller itself or the sweeper after a crash, writes it down. A refusal that asks to come again is no answer to keep: the
call that comes again under the key is a first one. Where the effect itself is the orchestrator's, the key is
claimed before the question and answered after it; a claim whose caller died is free again after ten seconds.
"""

import hashlib
import re
from collections.abc import Mapping

from msgspec import Struct

from aif_kam.failures import KeyInFlight, KeyReused, invalid
from aif_runtime.postgres import Connection, Database

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
"""As Stripe names it: `true` on an answer that was given before."""
MAX_KEY_CHARACTERS = 200
KEY_PATTERN = f"^[!-~]{{1,{MAX_KEY_CHARACTERS}}}$"
"""As the API's description tells it."""

OPERATOR = "*"
"""In place of a client's id, for the operator's calls that are no client's: no client can be called so."""

_KEY = re.compile(KEY_PATTERN)


class Answer(Struct, frozen=True, kw_only=True):
    """What a caller gets; kept under its key byte for byte."""

    status: int
    body: bytes
    is_replayed: bool = False
    """It was given before, to an earlier call with the same key."""
    retry_after_seconds: int | None = None
    """Of a refusal that asks to come again; such a one is not kept under a key."""


class KeyedCall(Struct, frozen=True, kw_only=True):
    """A call that may be repeated."""

    client_id: str
    key: str
    fingerprint: str


class KeyUse(Struct, frozen=True, kw_only=True):
    """The first call with a key."""

    fingerprint: str
    execution_id: str | None
    answer: Answer | None


def keyed_call(*, client_id: str, key: str | None, target: str, body: bytes) -> KeyedCall | None:
    """None without a key. `target` says what is called, such as method and path. Raises InvalidInput for a bad key."""
    if key is None:
        return None
    if not is_key(key):
        raise invalid(HEADER, f"is not 1 to {MAX_KEY_CHARACTERS} visible ASCII characters", "use a fresh UUID for every order")
    fingerprint = hashlib.sha256(target.encode() + b"\n" + body).hexdigest()
    return KeyedCall(client_id=client_id, key=key, fingerprint=fingerprint)


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def checked_use(use: KeyUse, call: KeyedCall) -> KeyUse:
    """Raises KeyReused when the key came with another body before."""
    if use.fingerprint != call.fingerprint:
        message = "this key was used for another call within the last 24 hours"
        raise KeyReused(message, mistakes=invalid(HEADER, message, "use a fresh key for every new order").mistakes)
    return use


def in_flight() -> KeyInFlight:
    return KeyInFlight("the first call with this key is still at work; ask again in a moment", retry_after_seconds=1)


class KeyStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def find(self, connection: Connection, call: KeyedCall) -> KeyUse | None:
        row = await connection.fetchrow(self._sql["find_key_use"], call.client_id, call.key)
        if row is None:
            return None
        answer = None if row["status"] is None else Answer(status=row["status"], body=row["body"], is_replayed=True)
        return KeyUse(fingerprint=row["fingerprint"], execution_id=row["execution_id"], answer=answer)

    async def claim(self, connection: Connection, call: KeyedCall) -> KeyUse | None:
        """None when the key is ours now; else the first call with it, which has been committed.

        Raises KeyInFlight when the first call has just let go of it.
        """
        await connection.execute(self._sql["drop_expired_key"], call.client_id, call.key)
        if await connection.fetchval(self._sql["claim_key"], call.client_id, call.key, call.fingerprint) is not None:
            return None
        use = await self.find(connection, call)
        if use is None:
            raise in_flight()
        return use

    async def earlier_answer(self, connection: Connection, call: KeyedCall | None) -> Answer | None:
        """Claim the key; the answer of the first call with it, None when this is the first, or has no key.

        Raises KeyReused, KeyInFlight.
        """
        if call is None or (use := await self.claim(connection, call)) is None:
            return None
        if (answer := checked_use(use, call).answer) is None:
            raise in_flight()
        return answer

    async def bind(self, connection: Connection, call: KeyedCall, execution_id: str) -> None:
        await connection.execute(self._sql["bind_key_to_execution"], call.client_id, call.key, execution_id)

    async def release(self, connection: Connection, call: KeyedCall) -> None:
        """Give up a claim that nothing came of."""
        await connection.execute(self._sql["release_key"], call.client_id, call.key)

    async def answer(self, connection: Connection, call: KeyedCall, answer: Answer) -> None:
        await connection.execute(self._sql["answer_key"], call.client_id, call.key, answer.status, answer.body)

    async def answer_execution(self, connection: Connection, execution_id: str, answer: Answer) -> None:
        await connection.execute(self._sql["answer_keys_of_execution"], execution_id, answer.status, answer.body)

    async def release_execution(self, connection: Connection, execution_id: str) -> None:
        """Nothing came of the execution, and its caller may come again under the same key."""
        await connection.execute(self._sql["release_keys_of_execution"], execution_id)

    async def delete_expired(self, connection: Connection) -> None:
        await connection.execute(self._sql["delete_expired_keys"])


async def answer_given(database: Database, keys: KeyStore, call: KeyedCall | None) -> Answer | None:
    """What the first call with the key was answered; None without a key, and while there is no answer. Nothing is claimed.

    Raises KeyReused.
    """
    if call is None:
        return None
    async with database.connection() as connection:
        use = await keys.find(connection, call)
    return None if use is None else checked_use(use, call).answer
