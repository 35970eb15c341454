"""What follows from a happening: the shell performs these after (or together with) storing the new state."""

from msgspec import Struct

from aif_contracts.blobs import BlobRef
from aif_contracts.events import ExecutionEvent
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import ClaimAnswer, ControlMessage, ProgressAnswer, WorkPacket
from aif_contracts.performance import PerformanceRecord


class DispatchPacket(Struct, frozen=True, kw_only=True):
    packet: WorkPacket


class EmitEvent(Struct, frozen=True, kw_only=True):
    event: ExecutionEvent


class RecordAttempt(Struct, frozen=True, kw_only=True):
    """An attempt has ended: keep it, and tell the classifier."""

    record: PerformanceRecord


class RecordCall(Struct, frozen=True, kw_only=True):
    """Keep a provider call under its key, once."""

    call: ProviderCall


class LoadOutputs(Struct, frozen=True, kw_only=True):
    """Read stored outputs for a stage's input, then say `OutputsLoaded` or `InputUnavailable`."""

    stage_id: str
    refs: dict[str, BlobRef]


class StoreInput(Struct, frozen=True, kw_only=True):
    """Store a stage's input, then say `InputStored`."""

    stage_id: str
    storage_key: str
    content: bytes


class TellWorkers(Struct, frozen=True, kw_only=True):
    worker_name: str
    message: ControlMessage


class AnswerClaim(Struct, frozen=True, kw_only=True):
    answer: ClaimAnswer


class AnswerProgress(Struct, frozen=True, kw_only=True):
    answer: ProgressAnswer


Command = (
    DispatchPacket
    | EmitEvent
    | RecordAttempt
    | RecordCall
    | LoadOutputs
    | StoreInput
    | TellWorkers
    | AnswerClaim
    | AnswerProgress
)
