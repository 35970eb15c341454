"""What one WebSocket may take, beside what any connection may. Only the gateway has them, and the library that they need."""

import asyncio

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from aif_runtime.bounded_connections import BoundedConfig, StallWatch


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Who does not read what it is told is not heard either: each ping would be one more answer that waits."""

    config: BoundedConfig

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._stalls = StallWatch(self.transport, loop=self.loop, seconds=self.config.limits.stalled_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stalls.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalls.told_of_progress()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated:
            # The first bytes are a whole head: what is no handshake then never will be one, and there are no words for it.
            self.transport.abort()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if not self.writable.is_set() and not self.transport.is_closing():
            self.transport.pause_reading()
        return message

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < self.config.limits.socket_message_frames:
            super().handle_cont(event)
            return
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "a message of too many frames")
        self.handle_parser_exception()
