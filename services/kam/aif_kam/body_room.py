"""How much of bodies is in memory at a time, over all connections.

Each body has its own bound, but many slow senders together would fill the memory. What a caller holds may not be more than it
leaves free for the others, so one alone gets half of the room, two a third each, and nobody locks the others out. A body is
held from its first byte to the end of its answer. Uploads are not: they go into their files as they come.
"""

from collections import Counter

from aif_kam.failures import Unavailable
from aif_runtime.health import AsgiApp, Receive, Scope, Send

ROOM_BYTES = 64 * 1024 * 1024
RETRY_AFTER_SECONDS = 5
STREAMED = "body_is_streamed"
"""Option of a route that keeps no body in memory."""


class BodyRoom:
    def __init__(self, *, room_bytes: int = ROOM_BYTES) -> None:
        self._room_bytes = room_bytes
        self._held: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        return self._held.total()

    def around(self, app: AsgiApp) -> AsgiApp:
        """The app, whose routes hear Unavailable while they read a body that the room has no place for."""

        async def within(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            caller, taken = "", 0

            async def receive_piece() -> Scope:
                nonlocal caller, taken
                message = await receive()
                size = len(message.get("body", b""))
                if size and STREAMED not in scope["route_handler"].opt:
                    # Known by now: a body is read behind the guard of keys.
                    caller = scope["auth"].client_id or ""
                    taken += size
                    self._take(caller, size)
                return message

            try:
                await app(scope, receive_piece, send)
            finally:
                self._give_back(caller, taken)

        return within

    def _take(self, caller: str, size: int) -> None:
        self._held[caller] += size
        if self._held[caller] > self._room_bytes - self.held_bytes:
            message = "bodies that are being read fill the room that they may have in memory; try again"
            raise Unavailable(message, code="too_many_bodies", retry_after_seconds=RETRY_AFTER_SECONDS)

    def _give_back(self, caller: str, size: int) -> None:
        self._held[caller] -= size
        if not self._held[caller]:
            del self._held[caller]
