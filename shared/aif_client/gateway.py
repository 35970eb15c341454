"""Calls to the gateway. Each may be sent again, because it reads, or is harmless twice, or carries an idempotency key."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import msgspec

from aif_client.failures import PROBLEM_TYPE, ArgumentInvalid, GatewayUnavailable, Problem, RequestRefused
from aif_contracts.events import ExecutionEvent

CALL_SECONDS = 30.0
SILENCE_SECONDS = 45.0
"""A stream of events sends a sign of life each 15 s; after so much silence the connection is dead."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0

_NOT_NOW = frozenset({429, 502, 503, 504})
"""The gateway, or what stands before it, is away or has too much to do."""

T = TypeVar("T")


class Gateway:
    def __init__(self, url: str, api_key: str, *, patience_seconds: float) -> None:
        """Raises ArgumentInvalid."""
        _check_address(url)
        check_key("API key", api_key)
        self._url = url
        self._patience_seconds = patience_seconds
        # Whatever proxies the environment names are for the way out, not for a factory.
        self._http = httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=CALL_SECONDS, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, answer_type: type[T], **content: Any) -> T:
        """Raises RequestRefused, GatewayUnavailable."""
        return self.decoded((await self.call(method, path, **content)).content, answer_type)

    async def call(self, method: str, path: str, **content: Any) -> httpx.Response:
        """An answer that is a yes. Who is away, or asks to come again, is asked again. Raises as `ask`."""
        deadline = asyncio.get_running_loop().time() + self._patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            failure: GatewayUnavailable | RequestRefused
            try:
                response = await self._http.request(method, path, **content)
            except httpx.InvalidURL as nonsense:
                raise ArgumentInvalid(f"{path[:100]}…: {nonsense}") from nonsense
            except httpx.DecodingError as garbled:
                raise self._strange(garbled) from garbled
            except httpx.TransportError as broken:
                failure, wait = self._unavailable(str(broken) or type(broken).__name__), pause
            else:
                if response.is_success:
                    return response
                failure = self._failure(response)
                asked_wait = _asked_wait(response.headers.get("Retry-After", ""))
                if asked_wait is None and response.status_code not in _NOT_NOW:
                    raise failure
                wait = asked_wait or pause
            if asyncio.get_running_loop().time() + wait > deadline:
                raise failure
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def events(self, path: str, after: int) -> AsyncGenerator[ExecutionEvent, None]:
        """What follows the event with that number, until the connection ends, for whatever reason. Raises RequestRefused."""
        headers, timeout = {"Last-Event-ID": str(after)}, httpx.Timeout(CALL_SECONDS, read=SILENCE_SECONDS)
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    await response.aread()
                    if response.status_code in _NOT_NOW:
                        return
                    raise self._failure(response)
                rest = b""
                async for chunk in response.aiter_bytes():
                    # At line feeds only: an event's text may hold other characters that end a line elsewhere.
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.startswith(b"data:"):
                            yield self.decoded(line.removeprefix(b"data:"), ExecutionEvent)
        except httpx.InvalidURL as nonsense:
            raise ArgumentInvalid(f"{path[:100]}…: {nonsense}") from nonsense
        except httpx.DecodingError as garbled:
            raise self._strange(garbled) from garbled
        except httpx.TransportError:
            return

    def decoded(self, content: bytes, answer_type: type[T]) -> T:
        """JSON that the gateway gave. Raises GatewayUnavailable."""
        try:
            return msgspec.json.decode(content, type=answer_type)
        except (msgspec.MsgspecError, UnicodeDecodeError) as strange:
            raise self._strange(strange) from strange

    def _failure(self, response: httpx.Response) -> RequestRefused | GatewayUnavailable:
        if response.has_redirect_location:
            return self._unavailable(f"it sends on to {response.headers['Location']!r}; give the address that answers itself")
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            problem = None
        if problem is None or not problem.type.startswith(PROBLEM_TYPE):
            return self._unavailable(f"it answers with status {response.status_code} and without a factory's reason")
        return RequestRefused(problem)

    def _strange(self, cause: Exception) -> GatewayUnavailable:
        return self._unavailable(f"it answers what this client does not understand: {cause}")

    def _unavailable(self, reason: str) -> GatewayUnavailable:
        return GatewayUnavailable(f"{self._url} does not serve: {reason}")


def check_key(name: str, key: str) -> None:
    """Whether a header may hold it. Raises ArgumentInvalid."""
    if not key or not key.isascii() or not key.isprintable() or key != key.strip():
        raise ArgumentInvalid(
            f"the {name} is empty or holds what is in no key: give it as one line of ASCII, with no space or line end around it"
        )


def _check_address(url: str) -> None:
    """Raises ArgumentInvalid."""
    try:
        address = httpx.URL(url)
        is_address = (
            address.scheme in ("http", "https") and bool(address.host) and (address.port is None or 0 < address.port < 65_536)
        )
    except (httpx.InvalidURL, ValueError):
        is_address = False
    if not is_address or " " in url:
        raise ArgumentInvalid(f"{url!r} is no address of a factory: write it as http://127.0.0.1:8420")


def _asked_wait(retry_after: str) -> float | None:
    """Seconds from now. The header says seconds, or, from what stands before the gateway, a time (RFC 9110, 10.2.3)."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
