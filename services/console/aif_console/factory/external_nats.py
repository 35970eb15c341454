"""The operator's own NATS server: whether its address is one, and somebody listens there.

Services wait for a broker that is away. Whoever starts a factory by hand is told at once instead.
"""

import asyncio
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from aif_console.failures import NatsUnusable

_SCHEMES = ("nats", "tls")
_PORT = 4222
_LIMIT_SECONDS = 5.0


async def look_for_nats(url: str) -> None:
    """`url` may name several servers, separated by commas: one of them has to listen. Raises NatsUnusable."""
    reasons = []
    for address in [_parts(each.strip()) for each in url.split(",")]:
        reason = await _why_not_reached(str(address.hostname), address.port or _PORT)
        if reason is None:
            return
        reasons.append(reason)
    raise NatsUnusable("; ".join(reasons))


def _parts(url: str) -> SplitResult:
    scheme, mark, rest = url.rpartition("//")
    shown = f"{scheme.rpartition('@')[2]}{mark}{rest.rpartition('@')[2]}"
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        is_known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError as wrong:
        raise NatsUnusable(f"{shown!r} is no address: {wrong}") from wrong
    if not is_known:
        raise NatsUnusable(f"{shown!r} is no address that begins with nats:// or tls://")
    return parts


async def _why_not_reached(host: str, port: int) -> str | None:
    """None when somebody listens there."""
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"{host}:{port} does not answer within {_LIMIT_SECONDS:g} s"
    except (OSError, UnicodeError) as failed:
        return f"{host}:{port} is not reached: {failed}"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return None
