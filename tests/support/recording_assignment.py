"""An assignment outside any worker loop, which remembers what the action did with it."""

from collections.abc import Mapping
from typing import Any

from aif_contracts.audit import Severity
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import Context, Grant, PreviousAttempt
from aif_runtime.blobs import BlobStore
from aif_runtime.memory_blobs import MemoryBlobStore


class RecordingAssignment:
    execution_id = "exec_1"
    stage_id = "structure"
    attempt = 1
    worker_name = "content_granulator"

    def __init__(
        self,
        *,
        action: str = "structure_course",
        input: Mapping[str, Any] | None = None,
        grant: Grant | None = None,
        blobs: BlobStore | None = None,
        previous: PreviousAttempt | None = None,
        is_compensation: bool = False,
        client_id: str = "client_1",
    ) -> None:
        self.action = action
        self.input = input or {}
        self.grant = grant or Grant()
        self.context = Context(client_id=client_id)
        self.blobs = blobs or MemoryBlobStore()
        self.previous = previous
        self.is_compensation = is_compensation
        self.calls: list[ProviderCall] = []
        self.announced: list[ProviderCall] = []
        self.audited: list[tuple[str, Severity, dict[str, Any]]] = []
        self.messages: list[tuple[int, str]] = []
        self.seconds: dict[str, float] = {}
        self._numbers = 0

    def remaining_seconds(self) -> float:
        return 60.0

    async def progress(self, percent: int, message: str) -> None:
        self.messages.append((percent, message))

    async def announce_call(self, call: ProviderCall) -> None:
        self.announced.append(call)

    async def audit(self, action: str, severity: Severity, details: Mapping[str, Any]) -> None:
        self.audited.append((action, severity, dict(details)))

    async def record_call(self, call: ProviderCall) -> None:
        self.calls.append(call)

    def next_call_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def spent_on(self, part: str, seconds: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds
